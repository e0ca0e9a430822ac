//! What travels on a data track.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tramline_core::frame::Frame;

/// One frame: a payload, and what belongs to it.
///
/// Anything that holds bytes becomes a frame (`track.try_push(vec![1, 2, 3])`); with more than a payload it is built:
///
/// ```
/// use tramline::DataTrackFrame;
///
/// let frame = DataTrackFrame::new(b"scan".as_slice()).with_user_timestamp(1_700_000_000_000);
/// assert_eq!(frame.payload().len(), 4);
/// ```
///
/// Cloning a frame shares its payload, and a frame that was read can be pushed on another track as it is. Frames are equal when they carry the same.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct DataTrackFrame {
    payload: Bytes,
    user_timestamp: Option<u64>,
    number: Option<u16>,
    gap: u32,
}

impl DataTrackFrame {
    /// A frame with this payload, which may be empty.
    #[must_use]
    pub fn new(payload: impl Into<Self>) -> Self {
        payload.into()
    }

    /// Adds a time stamp of the application's own. It travels in each packet and is opaque on the way; by convention it is
    /// the time since 1970 in milliseconds, and every `u64` passes, 0 included.
    #[must_use]
    pub fn with_user_timestamp(mut self, timestamp: u64) -> Self {
        self.user_timestamp = Some(timestamp);
        self
    }

    /// Adds the present time in milliseconds since 1970.
    #[must_use]
    pub fn with_user_timestamp_now(self) -> Self {
        let now = u64::try_from(tramline_net::clock::unix_millis()).unwrap_or(0);
        self.with_user_timestamp(now)
    }

    /// What the frame carries.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// What the frame carries, without the rest.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// The publisher's time stamp, when there is one.
    #[must_use]
    pub fn user_timestamp(&self) -> Option<u64> {
        self.user_timestamp
    }

    /// Which one of its publication it was, if it was read from a track: the publisher counts its frames from 0, and after 65,535 from 0 again.
    #[must_use]
    pub fn number(&self) -> Option<u16> {
        self.number
    }

    /// How many frames of the track are missing between this one and the one that the stream handed out before: lost on the way, or dropped
    /// because nobody read them in time. 0 for a frame that was not read from a track. More than 32,766 in a row are not noticed.
    #[must_use]
    pub fn gap(&self) -> u32 {
        self.gap
    }

    /// Time from the user timestamp, taken as milliseconds since 1970, until now. `None` without one, and when it lies in the future:
    /// the two machines' clocks need not agree.
    #[must_use]
    pub fn duration_since_timestamp(&self) -> Option<Duration> {
        let then = UNIX_EPOCH.checked_add(Duration::from_millis(self.user_timestamp?))?;
        SystemTime::now().duration_since(then).ok()
    }

    pub(crate) fn from_core(frame: Frame, gap: u32) -> Self {
        Self { payload: frame.payload, user_timestamp: frame.user_timestamp, number: Some(frame.number), gap }
    }
}

impl PartialEq for DataTrackFrame {
    fn eq(&self, other: &Self) -> bool {
        self.payload == other.payload && self.user_timestamp == other.user_timestamp
    }
}

impl Eq for DataTrackFrame {}

impl fmt::Debug for DataTrackFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataTrackFrame")
            .field("payload_len", &self.payload.len())
            .field("user_timestamp", &self.user_timestamp)
            .field("number", &self.number)
            .field("gap", &self.gap)
            .finish()
    }
}

macro_rules! from_payload {
    ($($(#[$doc:meta])* $payload:ty => |$value:ident| $bytes:expr;)*) => {$(
        impl From<$payload> for DataTrackFrame {
            $(#[$doc])*
            fn from($value: $payload) -> Self {
                Self { payload: $bytes, ..Self::default() }
            }
        }
    )*};
}

from_payload! {
    /// Takes the bytes without copying them.
    Bytes => |payload| payload;
    /// Takes the bytes without copying them.
    Vec<u8> => |payload| payload.into();
    /// Takes the bytes without copying them.
    Box<[u8]> => |payload| payload.into();
    /// Takes the text's bytes without copying them.
    String => |payload| payload.into();
    /// Copies the bytes.
    &[u8] => |payload| Bytes::copy_from_slice(payload);
    /// Copies the text's bytes.
    &str => |payload| Bytes::copy_from_slice(payload.as_bytes());
}

impl<const N: usize> From<[u8; N]> for DataTrackFrame {
    /// Copies the bytes.
    fn from(payload: [u8; N]) -> Self {
        payload.as_slice().into()
    }
}

impl<const N: usize> From<&[u8; N]> for DataTrackFrame {
    /// Copies the bytes.
    fn from(payload: &[u8; N]) -> Self {
        payload.as_slice().into()
    }
}

impl From<&Self> for DataTrackFrame {
    /// Shares the payload.
    fn from(frame: &Self) -> Self {
        frame.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_with_bytes_becomes_a_frame() {
        let expected = DataTrackFrame::new(vec![104, 105]);
        for frame in [
            DataTrackFrame::from("hi"),
            String::from("hi").into(),
            b"hi".into(),
            [104, 105].into(),
            b"hi".as_slice().into(),
            Bytes::from_static(b"hi").into(),
            vec![104, 105].into_boxed_slice().into(),
            (&expected).into(),
        ] {
            assert_eq!(frame, expected);
        }
    }

    #[test]
    fn the_age_is_known_when_the_stamp_is_a_time_in_the_past() {
        assert!(DataTrackFrame::new("x").with_user_timestamp_now().duration_since_timestamp().is_some());
        assert_eq!(DataTrackFrame::new("x").duration_since_timestamp(), None);
        assert_eq!(DataTrackFrame::new("x").with_user_timestamp(u64::MAX).duration_since_timestamp(), None);
        assert_eq!(DataTrackFrame::new("x").with_user_timestamp(0).user_timestamp(), Some(0));
    }
}
