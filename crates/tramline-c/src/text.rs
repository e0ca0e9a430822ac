//! Text and bytes across the boundary.

use std::{ffi::c_char, slice};

use crate::{error::Failure, status::tramline_status::TRAMLINE_ERR_INVALID_UTF8};

/// The length that stands for "up to the NUL"; `TRAMLINE_NUL_TERMINATED` in the header.
pub(crate) const NUL_TERMINATED: usize = usize::MAX;

/// UTF-8 text that belongs to somebody else: `len` bytes at `data`. As an argument `data` may be null when `len` is 0, and `len` may be
/// `TRAMLINE_NUL_TERMINATED`. As a result `data` is never null, and lives as long as the function that gave it says.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_str {
    /// The text.
    pub data: *const c_char,
    /// Its length in bytes.
    pub len: usize,
}

impl tramline_str {
    pub(crate) const EMPTY: Self = Self { data: c"".as_ptr(), len: 0 };

    /// The caller says how long `text` lives.
    pub(crate) fn of(text: &str) -> Self {
        if text.is_empty() { Self::EMPTY } else { Self { data: text.as_ptr().cast(), len: text.len() } }
    }

    /// # Safety
    /// The rule on bytes, for `'a`.
    pub(crate) unsafe fn read<'a>(self, what: &str) -> Result<&'a str, Failure> {
        // SAFETY: the same rule.
        unsafe { text(self.data, self.len, what) }
    }
}

/// UTF-8 text that belongs to the caller, who frees it with `tramline_string_free`. NUL-terminated besides; `data` is never null, also
/// after a call that failed, which leaves it empty.
#[repr(C)]
#[derive(Debug)]
pub struct tramline_string {
    /// The text, and a NUL behind it.
    pub data: *const c_char,
    /// Its length in bytes, without the NUL.
    pub len: usize,
}

impl tramline_string {
    pub(crate) const EMPTY: Self = Self { data: c"".as_ptr(), len: 0 };

    pub(crate) fn new(text: &str) -> Self {
        if text.is_empty() {
            return Self::EMPTY;
        }
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        let bytes: Box<[u8]> = bytes.into_boxed_slice();
        Self { data: Box::into_raw(bytes).cast::<c_char>().cast_const(), len: text.len() }
    }
}

/// Frees a text. An empty one needs it not, and takes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_string_free(string: tramline_string) {
    if string.len > 0 && !string.data.is_null() {
        let bytes = std::ptr::slice_from_raw_parts_mut(string.data.cast_mut().cast::<u8>(), string.len + 1);
        // SAFETY: only `tramline_string::new` makes one that is not empty, of exactly this size.
        drop(unsafe { Box::from_raw(bytes) });
    }
}

/// Bytes that belong to the caller, who frees them with `tramline_bytes_free`.
#[repr(C)]
#[derive(Debug)]
pub struct tramline_bytes {
    /// The bytes; null when there are none.
    pub data: *const u8,
    /// How many.
    pub len: usize,
}

impl tramline_bytes {
    pub(crate) const EMPTY: Self = Self { data: std::ptr::null(), len: 0 };

    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() {
            return Self::EMPTY;
        }
        let bytes = bytes.into_boxed_slice();
        let len = bytes.len();
        Self { data: Box::into_raw(bytes).cast::<u8>().cast_const(), len }
    }
}

/// Frees bytes, and wipes them first: they may be a key. None need it not, and are taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_bytes_free(bytes: tramline_bytes) {
    if bytes.data.is_null() {
        return;
    }
    let slice = std::ptr::slice_from_raw_parts_mut(bytes.data.cast_mut(), bytes.len);
    // SAFETY: only `tramline_bytes::new` makes some that are not null, of exactly this size.
    unsafe {
        for at in 0..bytes.len {
            // Volatile, or it would be left out: nobody reads it.
            std::ptr::write_volatile(bytes.data.cast_mut().add(at), 0);
        }
        drop(Box::from_raw(slice));
    }
}

/// # Safety
/// The rule on bytes, for `'a`.
pub(crate) unsafe fn bytes<'a>(data: *const u8, len: usize, what: &str) -> Result<&'a [u8], Failure> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Failure::null(what)),
        (false, len) if isize::try_from(len).is_err() => {
            Err(Failure::invalid(format!("{what} has a length of {len} bytes, which no memory has")))
        }
        // SAFETY: not null, and by the rule that many bytes can be read.
        (false, len) => Ok(unsafe { slice::from_raw_parts(data, len) }),
    }
}

/// # Safety
/// The rule on bytes, for `'a`.
pub(crate) unsafe fn text<'a>(data: *const c_char, len: usize, what: &str) -> Result<&'a str, Failure> {
    let bytes = if len == NUL_TERMINATED {
        if data.is_null() {
            return Err(Failure::null(what));
        }
        // SAFETY: not null, and by the rule NUL-terminated.
        unsafe { std::ffi::CStr::from_ptr(data) }.to_bytes()
    } else {
        // SAFETY: the same rule.
        unsafe { bytes(data.cast(), len, what) }?
    };
    std::str::from_utf8(bytes).map_err(|error| {
        Failure::new(
            TRAMLINE_ERR_INVALID_UTF8,
            format!("{what} is not UTF-8 from byte {} on", error.valid_up_to()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tramline_status::{TRAMLINE_ERR_INVALID_ARGUMENT, TRAMLINE_ERR_NULL};

    #[test]
    fn text_is_taken_by_length_or_up_to_its_nul_and_must_be_utf8() {
        let c = c"h\xc3\xa9";
        // SAFETY: the literal has these bytes and a NUL.
        unsafe {
            assert_eq!(text(c.as_ptr(), NUL_TERMINATED, "x").expect("text"), "h\u{e9}");
            assert_eq!(text(c.as_ptr(), 1, "x").expect("text"), "h");
            assert_eq!(text(std::ptr::null(), 0, "x").expect("nothing"), "");
            assert_eq!(text(std::ptr::null(), 1, "x").expect_err("null").status, TRAMLINE_ERR_NULL);
            assert_eq!(
                text(std::ptr::null(), NUL_TERMINATED, "x").expect_err("null").status,
                TRAMLINE_ERR_NULL
            );
            let cut = text(c.as_ptr(), 2, "name").expect_err("half a character");
            assert_eq!(
                (cut.status, cut.text.as_ref()),
                (TRAMLINE_ERR_INVALID_UTF8, "name is not UTF-8 from byte 1 on")
            );
        }
    }

    #[test]
    fn a_length_that_no_memory_has_is_refused() {
        // SAFETY: refused before anything is read.
        let error = unsafe { bytes(b"x".as_ptr(), usize::MAX / 2 + 1, "data") }.expect_err("too long");
        assert_eq!(error.status, TRAMLINE_ERR_INVALID_ARGUMENT);
    }

    #[test]
    fn an_owned_text_has_a_nul_behind_it_and_is_freed() {
        let string = tramline_string::new("yard");
        // SAFETY: `new` has put a NUL behind it.
        assert_eq!(unsafe { std::ffi::CStr::from_ptr(string.data) }, c"yard");
        // SAFETY: made above, and not used again.
        unsafe { tramline_string_free(string) };
        // SAFETY: an empty one owns nothing.
        unsafe { tramline_string_free(tramline_string::new("")) };
    }
}
