//! Structs that grow: the first field says how many bytes the caller's version has.

use std::{mem::size_of, ptr};

use crate::{error::Failure, status::tramline_status::TRAMLINE_ERR_STRUCT_SIZE};

/// A struct of the header that begins with `struct_size`.
///
/// # Safety
/// `repr(C)`, the first field is `struct_size: usize`, and every pattern of bits that C may put into the other fields is a value of theirs.
pub(crate) unsafe trait Extensible: Copy {
    /// Size of the first version that was ever handed out.
    const FIRST_SIZE: usize;

    fn defaults() -> Self;
}

/// Copies what the caller has filled in onto the defaults; null is the defaults. Fields that the caller's version has not keep theirs.
///
/// # Safety
/// The rule on structs.
pub(crate) unsafe fn read<T: Extensible>(from: *const T, what: &str) -> Result<T, Failure> {
    let mut value = T::defaults();
    if from.is_null() {
        return Ok(value);
    }
    // SAFETY: by the rule there are as many bytes as the first field says, and that field itself.
    unsafe {
        let size = size_of_struct(from, what)?;
        let known = size.min(size_of::<T>());
        let surplus = std::slice::from_raw_parts(from.cast::<u8>().add(known), size - known);
        if surplus.iter().any(|byte| *byte != 0) {
            return Err(Failure::new(
                TRAMLINE_ERR_STRUCT_SIZE,
                format!(
                    "{what} sets a field behind its byte {known}, which this version of the library does not know; use a newer library"
                ),
            ));
        }
        ptr::copy_nonoverlapping(from.cast::<u8>(), ptr::from_mut(&mut value).cast::<u8>(), known);
    }
    Ok(value)
}

/// Fills in as much as the caller's version has, and zeroes what only a newer one knows. `struct_size` stays the caller's.
///
/// # Safety
/// The rules on structs and results.
pub(crate) unsafe fn write<T: Extensible>(to: *mut T, value: &T, what: &str) -> Result<(), Failure> {
    if to.is_null() {
        return Err(Failure::null(what));
    }
    // SAFETY: by the rule there are as many bytes as the first field says.
    unsafe {
        let size = size_of_struct(to, what)?;
        write_sized(to.cast(), value, size);
    }
    Ok(())
}

/// As [`write`], for a caller whose size is known.
///
/// # Safety
/// There are `size` writable bytes, at least [`Extensible::FIRST_SIZE`].
pub(crate) unsafe fn write_sized<T: Extensible>(to: *mut u8, value: &T, size: usize) {
    let known = size.min(size_of::<T>());
    // SAFETY: within `size`, and within `T`.
    unsafe {
        ptr::copy_nonoverlapping(ptr::from_ref(value).cast::<u8>(), to, known);
        ptr::write_bytes(to.add(known), 0, size - known);
        to.cast::<usize>().write(size);
    }
}

/// The body of every `*_defaults`.
///
/// # Safety
/// `out` is null, or there are `size` writable bytes.
pub(crate) unsafe fn write_defaults<T: Extensible>(
    out: *mut T,
    size: usize,
    what: &str,
) -> Result<(), Failure> {
    if out.is_null() {
        return Err(Failure::null(what));
    }
    check_size::<T>(size, what)?;
    // SAFETY: not null, and large enough.
    unsafe { write_sized(out.cast(), &T::defaults(), size) };
    Ok(())
}

/// # Safety
/// Not null, and by the rule on structs there is the first field.
pub(crate) unsafe fn size_of_struct<T: Extensible>(from: *const T, what: &str) -> Result<usize, Failure> {
    // SAFETY: the rule above.
    let size = unsafe { from.cast::<usize>().read() };
    check_size::<T>(size, what)?;
    Ok(size)
}

fn check_size<T: Extensible>(size: usize, what: &str) -> Result<(), Failure> {
    if (T::FIRST_SIZE..=MAX_SIZE).contains(&size) && size.is_multiple_of(align_of::<T>()) {
        return Ok(());
    }
    Err(Failure::new(
        TRAMLINE_ERR_STRUCT_SIZE,
        format!(
            "{what} has a struct_size of {size}; expected sizeof of the struct, as its *_defaults function sets it"
        ),
    ))
}

/// No struct of any version is larger; a size beyond is memory that was never set.
const MAX_SIZE: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Old {
        struct_size: usize,
        a: u64,
    }

    #[repr(C)]
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct New {
        struct_size: usize,
        a: u64,
        b: u64,
    }

    // SAFETY: as the trait says, of integers only.
    unsafe impl Extensible for New {
        const FIRST_SIZE: usize = size_of::<Old>();

        fn defaults() -> Self {
            Self { struct_size: size_of::<Self>(), a: 1, b: 2 }
        }
    }

    // SAFETY: as the trait says, of integers only.
    unsafe impl Extensible for Old {
        const FIRST_SIZE: usize = size_of::<Old>();

        fn defaults() -> Self {
            Self { struct_size: size_of::<Self>(), a: 1 }
        }
    }

    #[test]
    fn an_older_caller_leaves_later_fields_at_their_defaults_and_gets_none_of_them() {
        let old = [Old { struct_size: size_of::<Old>(), a: 7 }, Old { struct_size: 99, a: 99 }];
        // SAFETY: as many bytes as it says.
        let read = unsafe { read(old.as_ptr().cast::<New>(), "options") }.expect("an older caller");
        assert_eq!((read.a, read.b), (7, 2));
        let mut old = old;
        let value = New { struct_size: size_of::<New>(), a: 3, b: 4 };
        // SAFETY: as many bytes as it says.
        unsafe { write(old.as_mut_ptr().cast::<New>(), &value, "info") }.expect("an older caller");
        assert_eq!(old[0], Old { struct_size: size_of::<Old>(), a: 3 });
        assert_eq!(old[1], Old { struct_size: 99, a: 99 }, "the memory behind it was written");
    }

    #[test]
    fn a_newer_caller_is_served_unless_it_uses_what_is_not_known() {
        let mut new = New { struct_size: size_of::<New>(), a: 7, b: 0 };
        // SAFETY: as many bytes as it says.
        let read_old =
            unsafe { read(ptr::from_ref(&new).cast::<Old>(), "options") }.expect("nothing new is used");
        assert_eq!(read_old.a, 7);
        // SAFETY: as many bytes as it says.
        unsafe { write(ptr::from_mut(&mut new).cast::<Old>(), &read_old, "info") }.expect("a newer caller");
        new.b = 1;
        // SAFETY: as many bytes as it says.
        let error = unsafe { read(ptr::from_ref(&new).cast::<Old>(), "options") }.expect_err("unknown field");
        assert_eq!(error.status, TRAMLINE_ERR_STRUCT_SIZE);
    }

    #[test]
    fn a_struct_without_its_size_is_refused() {
        for size in [0, 8, 17, usize::MAX] {
            let old = Old { struct_size: size, a: 7 };
            // SAFETY: refused by its first field.
            let error = unsafe { read(&raw const old, "options") }.expect_err("no size");
            assert_eq!(error.status, TRAMLINE_ERR_STRUCT_SIZE);
            assert!(error.text.contains(&size.to_string()));
        }
    }
}
