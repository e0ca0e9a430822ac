//! Copies of small messages, with the same TSN, that ride ahead of the next messages of their flow.
//!
//! A message whose packet is lost is mended by the packet of the next one, before the receiver sees that. A receiver
//! drops what it has, so a spare that was not needed costs its bytes and nothing else. The order of a flow is never
//! broken: a spare that cannot ride ahead of a newer message is not sent any more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The spares that may still be sent, oldest first.
#[derive(Debug, Default)]
pub(super) struct Spares {
    all: VecDeque<Spare>,
}

#[derive(Debug, Clone, Copy)]
struct Spare {
    tsn: u32,
    flow: u32,
    left: u8,
    /// The packet in which it was sent last: what is in one packet arrives together.
    packet: u64,
    /// The TSN of the new message that it was sent ahead of.
    ahead_of: u32,
}

impl Spares {
    pub(super) fn push(&mut self, tsn: u32, flow: u32, copies: u8, packet: u64) {
        if copies == 0 {
            return;
        }
        if self.all.len() >= MAX_SPARES {
            self.all.pop_front();
        }
        self.all.push_back(Spare { tsn, flow, left: copies, packet, ahead_of: tsn });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Drops those of a flow.
    pub(super) fn cancel(&mut self, flow: u32) {
        self.all.retain(|spare| spare.flow != flow);
    }

    /// Drops those that are of no use, as `wanted` says.
    pub(super) fn retain(&mut self, wanted: impl Fn(u32) -> bool) {
        self.all.retain(|spare| wanted(spare.tsn));
    }

    /// The TSNs that have to go ahead of `new` of a flow, which is to leave in `packet`; oldest first.
    pub(super) fn due(&self, flow: u32, new: u32, packet: u64) -> impl Iterator<Item = u32> {
        self.all
            .iter()
            .filter(move |spare| spare.flow == flow && spare.packet != packet && spare.ahead_of != new)
            .map(|spare| spare.tsn)
    }

    /// A spare leaves in `packet`, ahead of `new`.
    pub(super) fn note_sent(&mut self, tsn: u32, new: u32, packet: u64) {
        let Some(at) = self.all.iter().position(|spare| spare.tsn == tsn) else { return };
        let spare = &mut self.all[at];
        (spare.packet, spare.ahead_of) = (packet, new);
        spare.left -= 1;
        if spare.left == 0 {
            self.all.remove(at);
        }
    }
}

/// How many copies pay off: two on a path that is longer than a typical interval between messages, and more for a while
/// after small messages were lost in spite of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Advice {
    more: u8,
    /// When `more` last changed.
    at: Option<Instant>,
}

impl Advice {
    /// A message of one packet was lost, with all its copies.
    pub(super) fn handle_loss(&mut self, now: Instant, round_trip: Duration) {
        if self.at.is_some_and(|at| now < at + round_trip) && self.more > 0 {
            return;
        }
        self.more = (self.more + STEP).min(MOST_COPIES);
        self.at = Some(now);
    }

    pub(super) fn handle_time(&mut self, now: Instant) {
        if self.more > 0 && self.at.is_some_and(|at| now >= at + FORGOTTEN_AFTER) {
            self.more -= 1;
            self.at = Some(now);
        }
    }

    pub(super) fn copies(&self, min_round_trip: Option<Duration>) -> u8 {
        let base = if min_round_trip.is_some_and(|min| min >= SHORT_PATH) { 2 } else { 0 };
        (base + self.more).min(MOST_COPIES)
    }
}

/// Spares of all flows together.
const MAX_SPARES: usize = 128;

/// On a shorter path a spare mostly comes after the acknowledgement.
const SHORT_PATH: Duration = Duration::from_millis(2);

/// How fast the advice follows losses, and how slowly it forgets them.
const STEP: u8 = 3;
const MOST_COPIES: u8 = 12;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15);
