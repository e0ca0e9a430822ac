//! What every hop counts: frames in, frames out, bytes, and each drop by its reason.
//!
//! The same two types serve the publisher's queue, the server's queues, the reassembler and a reader's
//! stream, so that a frame that went missing can be found by laying the hops side by side.

use std::fmt;
use std::ops::AddAssign;

/// Why a frame, or a packet that belonged to none, went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum DropReason {
    /// The queue was full and this was its oldest frame that had not started (or there was no such frame to evict).
    QueueFull,
    /// The frame waited longer than its queue's `max_age`, or had started and could not be finished in time.
    Stale,
    /// A part of the frame never came.
    Incomplete,
    /// Newer frames took the frame's place before it was whole.
    Interrupted,
    /// A packet of a frame whose start was not seen.
    UnknownFrame,
    /// The frame had been delivered before.
    Duplicate,
    /// More packets or bytes than a frame, or the whole queue, may have.
    Oversize,
    /// A packet with a track handle that nobody was given.
    UnknownHandle,
    /// A packet that does not parse.
    Malformed,
    /// Nobody reads the track.
    NoReader,
    /// The sender may not publish, or the track is not its own.
    NotPermitted,
    /// The frame is encrypted, and there is no key for its sender at its index.
    NoKey,
    /// The frame does not decrypt with the key that there is.
    WrongKey,
    /// The frame of an encrypted track is not encrypted: a server could have made it.
    NotEncrypted,
    /// The track ended while the frame waited.
    TrackEnded,
    /// The transport refused the packet.
    Transport,
    /// The reader asked for the newest frame only, and this was an older one.
    Superseded,
    /// The frame came after a newer one, and the reader wants order.
    Late,
}

impl DropReason {
    /// Every reason, in the order in which counters list them.
    pub const ALL: [Self; 18] = [
        Self::QueueFull,
        Self::Stale,
        Self::Incomplete,
        Self::Interrupted,
        Self::UnknownFrame,
        Self::Duplicate,
        Self::Oversize,
        Self::UnknownHandle,
        Self::Malformed,
        Self::NoReader,
        Self::NotPermitted,
        Self::NoKey,
        Self::WrongKey,
        Self::NotEncrypted,
        Self::TrackEnded,
        Self::Transport,
        Self::Superseded,
        Self::Late,
    ];

    /// The name used in logs and JSON, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Stale => "stale",
            Self::Incomplete => "incomplete",
            Self::Interrupted => "interrupted",
            Self::UnknownFrame => "unknown_frame",
            Self::Duplicate => "duplicate",
            Self::Oversize => "oversize",
            Self::UnknownHandle => "unknown_handle",
            Self::Malformed => "malformed",
            Self::NoReader => "no_reader",
            Self::NotPermitted => "not_permitted",
            Self::NoKey => "no_key",
            Self::WrongKey => "wrong_key",
            Self::NotEncrypted => "not_encrypted",
            Self::TrackEnded => "track_ended",
            Self::Transport => "transport",
            Self::Superseded => "superseded",
            Self::Late => "late",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Drops by reason. Plain numbers: copying it is the snapshot.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// Counts one drop.
    pub fn add(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// Counts several drops.
    pub fn add_many(&mut self, reason: DropReason, count: u64) {
        self.0[reason as usize] += count;
    }

    /// Drops for this reason.
    pub fn count(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Drops for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

impl AddAssign for Drops {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl fmt::Debug for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(reason, count)| (reason.as_str(), count))).finish()
    }
}

/// What one hop did with the frames of one track.
///
/// `accepted` is what came in, `sent` and `bytes` what went out; the difference is in `dropped` or still waits.
/// A frame that a full queue turned away at the door is in `dropped` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that entered this hop.
    pub accepted: u64,
    /// Frames that left this hop whole: to the next hop, or to the reader.
    pub sent: u64,
    /// Bytes that left this hop: packets with their headers, or payload when the hop hands out frames.
    pub bytes: u64,
    /// Frames that ended here, by reason (packets, when it is not known which frame they belong to).
    pub dropped: Drops,
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.sent += other.sent;
        self.bytes += other.bytes;
        self.dropped += other.dropped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place_and_name() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert_eq!(DropReason::ALL.iter().filter(|r| r.as_str() == reason.as_str()).count(), 1);
        }
    }

    #[test]
    fn drops_add_up_and_list_only_what_occurred() {
        let mut drops = Drops::default();
        drops.add(DropReason::Stale);
        drops.add(DropReason::Stale);
        let mut more = Drops::default();
        more.add(DropReason::Transport);
        drops += more;
        assert_eq!(drops.total(), 3);
        assert_eq!(drops.iter().collect::<Vec<_>>(), [(DropReason::Stale, 2), (DropReason::Transport, 1)]);
        assert_eq!(format!("{drops:?}"), r#"{"stale": 2, "transport": 1}"#);
    }
}
