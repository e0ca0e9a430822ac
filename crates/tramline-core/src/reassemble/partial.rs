//! A frame of which some packets are here.

use std::time::Instant;

use bytes::Bytes;
use tramline_wire::{Header, MAX_PACKETS_PER_FRAME};

use crate::stats::DropReason;

/// The packets of one frame so far.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) number: u16,
    pub(super) timestamp: u32,
    /// Payload bytes held.
    pub(super) bytes: usize,
    /// When the last packet came; a spare frame has none.
    pub(super) last_packet: Option<Instant>,
    /// Sequence of the packet that came first; the places in `held` are relative to it.
    first: u16,
    start: Option<Header>,
    end: Option<u16>,
    parts: Vec<(u16, Bytes)>,
    held: Places,
}

/// What a packet did to its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// The frame can be assembled.
    Complete,
    /// More has to come.
    Partly,
    /// The frame can never be whole.
    Never(DropReason),
}

impl Partial {
    /// Starts over for the frame of `header`, the first of its packets to come; [`add`](Self::add) follows.
    pub(super) fn begin(&mut self, now: Instant, header: &Header) {
        self.clear();
        self.number = header.frame_number;
        self.timestamp = header.timestamp;
        self.first = header.sequence;
        self.last_packet = Some(now);
    }

    pub(super) fn packets(&self) -> usize {
        self.parts.len()
    }

    /// Takes a packet of this frame; one with a sequence that is held replaces the held one.
    pub(super) fn add(&mut self, now: Instant, header: &Header, payload: Bytes) -> Added {
        self.last_packet = Some(now);
        let sequence = header.sequence;
        let Some(fresh) = self.held.insert(sequence.wrapping_sub(self.first)) else {
            return Added::Never(DropReason::Oversize);
        };
        self.bytes += payload.len();
        if fresh {
            self.parts.push((sequence, payload));
        } else if let Some(part) = self.parts.iter_mut().find(|part| part.0 == sequence) {
            self.bytes -= part.1.len();
            part.1 = payload;
        }
        if header.marker.is_start() && self.start.replace(*header).is_some_and(|old| old.sequence != sequence)
            || header.marker.is_end() && self.end.replace(sequence).is_some_and(|old| old != sequence)
        {
            return Added::Never(DropReason::Malformed);
        }
        if self.parts.len() > MAX_PACKETS_PER_FRAME {
            return Added::Never(DropReason::Oversize);
        }
        let (Some(start), Some(end)) = (&self.start, self.end) else { return Added::Partly };
        let expected = usize::from(end.wrapping_sub(start.sequence)) + 1;
        if expected > MAX_PACKETS_PER_FRAME {
            return Added::Never(DropReason::Oversize);
        }
        if self.parts.len() < expected {
            return Added::Partly;
        }
        // As many different packets as there should be: they are the right ones unless some lies outside.
        let base = start.sequence;
        if self.parts.iter().all(|part| usize::from(part.0.wrapping_sub(base)) < expected) {
            Added::Complete
        } else {
            Added::Never(DropReason::Malformed)
        }
    }

    /// The header of the start packet, which speaks for the frame. Only for a complete frame.
    pub(super) fn start_header(&self) -> Header {
        self.start.expect("a complete frame has its start")
    }

    /// The payload of a complete frame; leaves this empty.
    pub(super) fn assemble(&mut self) -> Bytes {
        let base = self.start_header().sequence;
        self.parts.sort_unstable_by_key(|part| part.0.wrapping_sub(base));
        let mut payload = Vec::with_capacity(self.bytes);
        for (_, part) in &self.parts {
            payload.extend_from_slice(part);
        }
        self.clear();
        payload.into()
    }

    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.bytes = 0;
        self.start = None;
        self.end = None;
        self.held = Places::default();
    }
}

/// Which sequences within 127 of the first one are held.
#[derive(Clone, Copy, Debug, Default)]
struct Places([u128; 2]);

impl Places {
    /// Notes the sequence at `offset` from the first; `None` when that is too far for one frame, otherwise whether
    /// it is new.
    fn insert(&mut self, offset: u16) -> Option<bool> {
        const REACH: u16 = MAX_PACKETS_PER_FRAME as u16;
        let place = offset.wrapping_add(REACH);
        if place == 0 || place >= 2 * REACH {
            return None;
        }
        let word = &mut self.0[usize::from(place / REACH)];
        let bit = 1u128 << (place % REACH);
        let fresh = *word & bit == 0;
        *word |= bit;
        Some(fresh)
    }
}
