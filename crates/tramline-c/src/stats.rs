//! What every hop has counted.

use std::{mem::size_of, time::Duration};

use sdk::{DropReason, Drops, LocalTrackStats, RemoteTrackStats, RoomStats, StreamStats};

use crate::structs::Extensible;

/// Why a frame went no further: the index into the counters of drops. Numbers are never reused.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_drop_reason {
    /// A reason that this version of the ABI has no number for.
    TRAMLINE_DROP_OTHER = 0,
    /// The queue was full, and this was its oldest frame that had not started.
    TRAMLINE_DROP_QUEUE_FULL = 1,
    /// The frame waited too long, or had started and could not be finished in time.
    TRAMLINE_DROP_STALE = 2,
    /// A part of the frame never came.
    TRAMLINE_DROP_INCOMPLETE = 3,
    /// Newer frames took the frame's place before it was whole.
    TRAMLINE_DROP_INTERRUPTED = 4,
    /// A packet of a frame whose start was not seen.
    TRAMLINE_DROP_UNKNOWN_FRAME = 5,
    /// The frame had been delivered before.
    TRAMLINE_DROP_DUPLICATE = 6,
    /// More packets or bytes than a frame, or the whole queue, may have.
    TRAMLINE_DROP_OVERSIZE = 7,
    /// A packet with a track handle that nobody was given.
    TRAMLINE_DROP_UNKNOWN_HANDLE = 8,
    /// A packet that does not parse.
    TRAMLINE_DROP_MALFORMED = 9,
    /// Nobody reads the track.
    TRAMLINE_DROP_NO_READER = 10,
    /// The sender may not publish, or the track is not its own.
    TRAMLINE_DROP_NOT_PERMITTED = 11,
    /// There is no key for the frame's sender at its index.
    TRAMLINE_DROP_NO_KEY = 12,
    /// The frame does not decrypt with the key that there is.
    TRAMLINE_DROP_WRONG_KEY = 13,
    /// The frame of an encrypted track is not encrypted.
    TRAMLINE_DROP_NOT_ENCRYPTED = 14,
    /// The track ended while the frame waited.
    TRAMLINE_DROP_TRACK_ENDED = 15,
    /// The transport refused the packet.
    TRAMLINE_DROP_TRANSPORT = 16,
    /// The reader asked for the newest frame only, and this was an older one.
    TRAMLINE_DROP_SUPERSEDED = 17,
    /// The frame came after a newer one, and the reader wants order.
    TRAMLINE_DROP_LATE = 18,
}

/// Drops by reason. Fixed for good, with room for reasons to come.
pub const TRAMLINE_DROP_REASONS: usize = 32;

/// By name, so that a reason that the SDK adds is counted as another one until it has a number here.
pub(crate) fn number(reason: DropReason) -> tramline_drop_reason {
    use tramline_drop_reason::*;
    match reason.as_str() {
        "queue_full" => TRAMLINE_DROP_QUEUE_FULL,
        "stale" => TRAMLINE_DROP_STALE,
        "incomplete" => TRAMLINE_DROP_INCOMPLETE,
        "interrupted" => TRAMLINE_DROP_INTERRUPTED,
        "unknown_frame" => TRAMLINE_DROP_UNKNOWN_FRAME,
        "duplicate" => TRAMLINE_DROP_DUPLICATE,
        "oversize" => TRAMLINE_DROP_OVERSIZE,
        "unknown_handle" => TRAMLINE_DROP_UNKNOWN_HANDLE,
        "malformed" => TRAMLINE_DROP_MALFORMED,
        "no_reader" => TRAMLINE_DROP_NO_READER,
        "not_permitted" => TRAMLINE_DROP_NOT_PERMITTED,
        "no_key" => TRAMLINE_DROP_NO_KEY,
        "wrong_key" => TRAMLINE_DROP_WRONG_KEY,
        "not_encrypted" => TRAMLINE_DROP_NOT_ENCRYPTED,
        "track_ended" => TRAMLINE_DROP_TRACK_ENDED,
        "transport" => TRAMLINE_DROP_TRANSPORT,
        "superseded" => TRAMLINE_DROP_SUPERSEDED,
        "late" => TRAMLINE_DROP_LATE,
        _ => TRAMLINE_DROP_OTHER,
    }
}

fn by_reason(drops: &Drops) -> [u64; TRAMLINE_DROP_REASONS] {
    let mut counts = [0; TRAMLINE_DROP_REASONS];
    for (reason, count) in drops.iter() {
        counts[number(reason) as usize] += count;
    }
    counts
}

/// What happened to the frames of a local track, from the push to the transport.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_local_track_stats {
    /// `sizeof(tramline_local_track_stats)`.
    pub struct_size: usize,
    /// Frames that entered the queue.
    pub accepted: u64,
    /// Frames handed to the transport, whole.
    pub sent: u64,
    /// Bytes handed to the transport, packet headers included.
    pub bytes: u64,
    /// Pushes that were refused.
    pub refused: u64,
    /// Frames that wait now.
    pub waiting_frames: u64,
    /// Bytes that wait now.
    pub waiting_bytes: u64,
    /// Frames that were dropped for any reason.
    pub dropped_total: u64,
    /// Frames that were dropped, by `tramline_drop_reason`.
    pub dropped: [u64; TRAMLINE_DROP_REASONS],
}

/// What happened to the frames of a remote track, from the first packet to the streams.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_remote_track_stats {
    /// `sizeof(tramline_remote_track_stats)`.
    pub struct_size: usize,
    /// Frames of which a packet came.
    pub accepted: u64,
    /// Frames made whole and handed to the streams.
    pub delivered: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Frames that were not, for any reason; packets, when it is not known which frame they belong to.
    pub dropped_total: u64,
    /// The same, by `tramline_drop_reason`.
    pub dropped: [u64; TRAMLINE_DROP_REASONS],
}

/// What happened to the frames of one stream, from its queue to its readers.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_stream_stats {
    /// `sizeof(tramline_stream_stats)`.
    pub struct_size: usize,
    /// Frames that came for the readers.
    pub accepted: u64,
    /// Frames that the readers took.
    pub delivered: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Frames that wait now.
    pub waiting_frames: u64,
    /// Frames that the readers were too slow for.
    pub dropped_total: u64,
    /// The same, by `tramline_drop_reason`.
    pub dropped: [u64; TRAMLINE_DROP_REASONS],
}

/// What the connection as a whole has done.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_room_stats {
    /// `sizeof(tramline_room_stats)`.
    pub struct_size: usize,
    /// Datagrams that came.
    pub datagrams_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Datagrams that went.
    pub datagrams_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Messages of data channels that came.
    pub messages_received: u64,
    /// Messages of data channels that went.
    pub messages_sent: u64,
    /// Datagrams, records and messages of the peer that were refused.
    pub rejected: u64,
    /// Datagrams that the operating system did not take.
    pub send_drops: u64,
    /// Retransmission timers that ran out.
    pub retransmission_timeouts: u64,
    /// Data-track packets that belong to no subscription, or to no packet format.
    pub stray_packets: u64,
    /// Messages, and signalling messages or parts of them, that could not be used.
    pub ignored_messages: u64,
    /// Round trip to the server over UDP, in microseconds; 0 until it was measured.
    pub round_trip_us: u64,
    /// Round trip of the signalling connection, in microseconds; 0 until it was measured.
    pub signal_round_trip_us: u64,
    /// CPU time of the room's thread, user and system, in microseconds; 0 where the platform does not tell.
    pub thread_cpu_us: u64,
}

macro_rules! extensible {
    ($name:ident) => {
        // SAFETY: integers, `struct_size` first.
        unsafe impl Extensible for $name {
            const FIRST_SIZE: usize = size_of::<Self>();

            fn defaults() -> Self {
                // SAFETY: integers, for which zeros are a value.
                let zeros = unsafe { std::mem::zeroed::<Self>() };
                Self { struct_size: size_of::<Self>(), ..zeros }
            }
        }
    };
}
extensible!(tramline_local_track_stats);
extensible!(tramline_remote_track_stats);
extensible!(tramline_stream_stats);
extensible!(tramline_room_stats);

impl tramline_local_track_stats {
    pub(crate) fn of(stats: &LocalTrackStats) -> Self {
        Self {
            accepted: stats.accepted,
            sent: stats.sent,
            bytes: stats.bytes,
            refused: stats.refused,
            waiting_frames: stats.waiting_frames as u64,
            waiting_bytes: stats.waiting_bytes as u64,
            dropped_total: stats.dropped.total(),
            dropped: by_reason(&stats.dropped),
            ..Self::defaults()
        }
    }
}

impl tramline_remote_track_stats {
    pub(crate) fn of(stats: &RemoteTrackStats) -> Self {
        Self {
            accepted: stats.accepted,
            delivered: stats.delivered,
            bytes: stats.bytes,
            dropped_total: stats.dropped.total(),
            dropped: by_reason(&stats.dropped),
            ..Self::defaults()
        }
    }
}

impl tramline_stream_stats {
    pub(crate) fn of(stats: &StreamStats) -> Self {
        Self {
            accepted: stats.accepted,
            delivered: stats.delivered,
            bytes: stats.bytes,
            waiting_frames: stats.waiting_frames as u64,
            dropped_total: stats.dropped.total(),
            dropped: by_reason(&stats.dropped),
            ..Self::defaults()
        }
    }
}

impl tramline_room_stats {
    pub(crate) fn of(stats: &RoomStats, cpu: Option<Duration>) -> Self {
        let micros = |time: Option<Duration>| {
            time.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
        };
        let peer = &stats.transport;
        Self {
            datagrams_received: peer.datagrams_received,
            bytes_received: peer.bytes_received,
            datagrams_sent: peer.datagrams_sent,
            bytes_sent: peer.bytes_sent,
            messages_received: peer.messages_received,
            messages_sent: peer.messages_sent,
            rejected: peer.malformed_datagrams
                + peer.rejected_stun
                + peer.rejected_dtls
                + peer.rejected_messages,
            send_drops: stats.udp.dropped_full + stats.udp.refused,
            retransmission_timeouts: peer.retransmission_timeouts,
            stray_packets: stats.stray_packets.total(),
            ignored_messages: stats.ignored_messages + stats.ignored_signals,
            round_trip_us: micros(peer.round_trip),
            signal_round_trip_us: micros(stats.signal_rtt),
            thread_cpu_us: micros(cpu),
            ..Self::defaults()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_sdk_has_a_number() {
        for reason in sdk::DropReason::ALL {
            let mut drops = Drops::default();
            drops.add_many(reason, 3);
            let counts = by_reason(&drops);
            assert_eq!(counts.iter().sum::<u64>(), 3);
            assert_eq!(counts[0], 0, "{reason} has no number");
        }
    }
}
