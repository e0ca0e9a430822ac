use std::fmt;
use std::num::NonZeroU16;

use thiserror::Error;

/// The number that stands for a data track in each packet: 1 to 65 535.
///
/// A publisher chooses the handle of what it sends; for what is received, the server chooses one for each
/// subscriber. In signalling messages (`pub_handle`, `sub_handle`) it travels as a `uint32`.
///
/// ```
/// use tramline_wire::TrackHandle;
///
/// assert_eq!(TrackHandle::try_from(7)?.get(), 7);
/// assert!(TrackHandle::try_from(0).is_err());
/// assert!(TrackHandle::try_from(65_536).is_err());
/// # Ok::<(), tramline_wire::HandleError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackHandle(NonZeroU16);

impl TrackHandle {
    /// The first handle a publisher uses.
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// The handle with this value, `None` for the reserved value 0.
    pub const fn new(value: u16) -> Option<Self> {
        match NonZeroU16::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The value, never 0.
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The handle after this one, `None` after 65 535: handles are not reused within a session.
    pub fn checked_next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl TryFrom<u32> for TrackHandle {
    type Error = HandleError;

    fn try_from(value: u32) -> Result<Self, HandleError> {
        let narrow = u16::try_from(value).map_err(|_| HandleError::TooLarge(value))?;
        Self::new(narrow).ok_or(HandleError::Zero)
    }
}

impl From<NonZeroU16> for TrackHandle {
    fn from(value: NonZeroU16) -> Self {
        Self(value)
    }
}

impl From<TrackHandle> for u16 {
    fn from(handle: TrackHandle) -> u16 {
        handle.get()
    }
}

impl From<TrackHandle> for u32 {
    fn from(handle: TrackHandle) -> u32 {
        u32::from(handle.get())
    }
}

impl fmt::Display for TrackHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a number is not a [`TrackHandle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandleError {
    /// 0 is reserved.
    #[error("track handle 0 is reserved; use 1 to 65535")]
    Zero,
    /// The value does not fit the 16 bits it has in a packet.
    #[error("track handle {0} does not fit a packet; use 1 to 65535")]
    TooLarge(u32),
}
