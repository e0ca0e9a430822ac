//! Frames: the caller's own to push, and received ones as a view that keeps its payload alive.

use std::{mem::size_of, ptr};

use sdk::DataTrackFrame;

use crate::{
    error::{Failure, guard},
    status::tramline_status,
    structs::{self, Extensible},
    text,
};

/// Keeps the payload of a received frame alive.
pub struct tramline_payload(#[allow(dead_code, reason = "kept alive, not read")] DataTrackFrame);

/// One frame of a data track.
///
/// To push one, take `tramline_frame_defaults` and set `data` and `len`; `owner` stays null. A read fills one in: `data` points into the library's
/// memory then and is valid until `tramline_frame_release`, on any thread. A received frame can be pushed on another track as it is.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_frame {
    /// `sizeof(tramline_frame)`.
    pub struct_size: usize,
    /// The payload; null only when `len` is 0.
    pub data: *const u8,
    /// Its length in bytes, at most 2,046,464.
    pub len: usize,
    /// What keeps the payload of a received frame; null in a frame of the caller's.
    pub owner: *mut tramline_payload,
    /// A time stamp of the application's own; by convention milliseconds since 1970. Only when `has_user_timestamp` is not 0.
    pub user_timestamp: u64,
    /// Whether there is a user timestamp: 0 or 1.
    pub has_user_timestamp: u8,
    /// Which one of its publication a received frame was: the publisher counts from 0, and after 65,535 from 0 again. -1 in a frame of the caller's.
    pub number: i32,
    /// How many frames are missing between a received frame and the one that the stream gave before: lost on the way, or dropped because nobody
    /// read them in time.
    pub gap: u32,
}

// SAFETY: integers and pointers, `struct_size` first.
unsafe impl Extensible for tramline_frame {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            data: ptr::null(),
            len: 0,
            owner: ptr::null_mut(),
            user_timestamp: 0,
            has_user_timestamp: 0,
            number: -1,
            gap: 0,
        }
    }
}

impl tramline_frame {
    /// A view of `frame` that keeps its payload.
    pub(crate) fn of(frame: DataTrackFrame) -> Self {
        let payload = frame.payload();
        Self {
            data: payload.as_ptr(),
            len: payload.len(),
            user_timestamp: frame.user_timestamp().unwrap_or(0),
            has_user_timestamp: u8::from(frame.user_timestamp().is_some()),
            number: frame.number().map_or(-1, i32::from),
            gap: frame.gap(),
            // The bytes lie behind a pointer of the frame's: they stay where they are.
            owner: Box::into_raw(Box::new(tramline_payload(frame))),
            ..Self::defaults()
        }
    }

    pub(crate) fn timestamp(&self) -> Option<u64> {
        (self.has_user_timestamp != 0).then_some(self.user_timestamp)
    }

    /// # Safety
    /// The rule on bytes, for `'a`.
    pub(crate) unsafe fn payload<'a>(&self) -> Result<&'a [u8], Failure> {
        // SAFETY: the same rule.
        unsafe { text::bytes(self.data, self.len, "frame.data") }
    }
}

/// Makes `frame` an empty frame without a timestamp. `struct_size` is `sizeof(tramline_frame)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_frame_defaults(
    frame: *mut tramline_frame,
    struct_size: usize,
) -> tramline_status {
    // SAFETY: the rule on structs, with the size as an argument.
    guard(|| unsafe { structs::write_defaults(frame, struct_size, "frame") })
}

/// Gives the payload of a received frame back, and makes `frame` empty. Nothing for a frame of the caller's, or one that was released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_frame_release(frame: *mut tramline_frame) {
    guard(|| {
        if frame.is_null() {
            return Ok(());
        }
        // SAFETY: the rule on structs; only a read sets `owner`, and releasing clears it.
        unsafe {
            let size = structs::size_of_struct(frame, "frame")?;
            let owner = (*frame).owner;
            structs::write_sized(frame.cast(), &tramline_frame::defaults(), size);
            if !owner.is_null() {
                drop(Box::from_raw(owner));
            }
        }
        Ok(())
    });
}
