//! Which TSNs have arrived.

use crate::serial::before;

/// The cumulative TSN, and a bit for each of the [`SPAN`] TSNs above it.
#[derive(Debug)]
pub(crate) struct Received {
    cumulative: u32,
    /// The highest TSN that arrived; the cumulative one when there is no gap.
    highest: u32,
    bits: Box<[u64; WORDS]>,
    gaps: Vec<(u16, u16)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    New,
    Duplicate,
    /// Further ahead than any honest peer would be; not remembered.
    TooFar,
}

impl Received {
    pub(crate) fn new(first_tsn: u32) -> Self {
        let cumulative = first_tsn.wrapping_sub(1);
        Self { cumulative, highest: cumulative, bits: Box::new([0; WORDS]), gaps: Vec::new() }
    }

    pub(crate) fn cumulative(&self) -> u32 {
        self.cumulative
    }

    pub(crate) fn has_gap(&self) -> bool {
        self.highest != self.cumulative
    }

    pub(crate) fn highest(&self) -> u32 {
        self.highest
    }

    pub(crate) fn look(&self, tsn: u32) -> Arrival {
        let ahead = tsn.wrapping_sub(self.cumulative);
        if !before(self.cumulative, tsn) || (ahead < SPAN && self.is_set(tsn)) {
            Arrival::Duplicate
        } else if ahead >= SPAN {
            Arrival::TooFar
        } else {
            Arrival::New
        }
    }

    /// Remembers a TSN that [`look`](Self::look) called new.
    pub(crate) fn insert(&mut self, tsn: u32) {
        if tsn == self.cumulative.wrapping_add(1) && !self.has_gap() {
            self.cumulative = tsn;
            self.highest = tsn;
            return;
        }
        self.bits[word(tsn)] |= bit(tsn);
        if before(self.highest, tsn) {
            self.highest = tsn;
        }
        self.advance();
    }

    /// Takes everything up to `tsn` for arrived; `false` when it is so already.
    pub(crate) fn forward(&mut self, tsn: u32) -> bool {
        if !before(self.cumulative, tsn) {
            return false;
        }
        if tsn.wrapping_sub(self.cumulative) >= SPAN {
            self.bits.fill(0);
        } else {
            while self.cumulative != tsn {
                self.cumulative = self.cumulative.wrapping_add(1);
                self.bits[word(self.cumulative)] &= !bit(self.cumulative);
            }
        }
        self.cumulative = tsn;
        if before(self.highest, tsn) {
            self.highest = tsn;
        }
        self.advance();
        true
    }

    /// The first runs of TSNs above the cumulative one, at most `limit`, as offsets from it.
    pub(crate) fn gaps(&mut self, limit: usize) -> &[(u16, u16)] {
        self.gaps.clear();
        let end = self.highest.wrapping_sub(self.cumulative);
        let mut at = 1;
        while at <= end && self.gaps.len() < limit {
            let start = self.find(at, end, true);
            if start > end {
                break;
            }
            let after = self.find(start, end, false);
            self.gaps.push((start as u16, (after - 1) as u16));
            at = after;
        }
        &self.gaps
    }

    fn advance(&mut self) {
        loop {
            let next = self.cumulative.wrapping_add(1);
            if self.cumulative == self.highest || !self.is_set(next) {
                return;
            }
            self.bits[word(next)] &= !bit(next);
            self.cumulative = next;
        }
    }

    /// The first offset from `from` on that is set (or clear), word by word; `end + 1` when there is none up to `end`.
    fn find(&self, from: u32, end: u32, set: bool) -> u32 {
        let mut at = from;
        while at <= end {
            let tsn = self.cumulative.wrapping_add(at);
            let bits = if set { self.bits[word(tsn)] } else { !self.bits[word(tsn)] };
            let shift = tsn % 64;
            let rest = bits >> shift;
            if rest != 0 {
                return (at + rest.trailing_zeros()).min(end + 1);
            }
            at += 64 - shift;
        }
        end + 1
    }

    fn is_set(&self, tsn: u32) -> bool {
        self.bits[word(tsn)] & bit(tsn) != 0
    }
}

/// How far ahead a TSN may be. More chunks than this in flight would be chunks of less than 64 bytes in a window of 2 MiB.
const SPAN: u32 = 32_768;
const WORDS: usize = SPAN as usize / 64;

fn word(tsn: u32) -> usize {
    (tsn % SPAN / 64) as usize
}

fn bit(tsn: u32) -> u64 {
    1 << (tsn % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn agrees_with_a_set_of_numbers_across_the_wrap() {
        let mut rng = tramline_sim::Rng::with_seed(1);
        let first = u32::MAX - 3_000;
        let mut received = Received::new(first);
        let (mut set, mut cumulative) = (BTreeSet::new(), 0_u32);
        for _ in 0..40_000 {
            let offset = (cumulative + rng.u32(0..90)).saturating_sub(5);
            let tsn = first.wrapping_sub(1).wrapping_add(offset);
            if rng.u32(0..50) == 0 {
                assert_eq!(received.forward(tsn), offset > cumulative);
                cumulative = cumulative.max(offset);
            } else {
                let is_new = offset > cumulative && !set.contains(&offset);
                assert_eq!(received.look(tsn), if is_new { Arrival::New } else { Arrival::Duplicate });
                if is_new {
                    received.insert(tsn);
                    set.insert(offset);
                }
            }
            while set.contains(&(cumulative + 1)) {
                cumulative += 1;
            }
            set = set.split_off(&(cumulative + 1));
            assert_eq!(received.cumulative(), first.wrapping_sub(1).wrapping_add(cumulative));
            let reported: Vec<u32> = received
                .gaps(1_000)
                .iter()
                .flat_map(|(start, end)| u32::from(*start)..=u32::from(*end))
                .map(|offset| cumulative + offset)
                .collect();
            assert!(reported.iter().eq(set.iter()), "{reported:?} {set:?}");
            assert_eq!(received.has_gap(), !set.is_empty());
        }
        assert!(cumulative > 10_000);
    }

    #[test]
    fn what_is_beyond_reason_is_not_remembered() {
        let mut received = Received::new(100);
        assert_eq!(received.look(99 + SPAN), Arrival::TooFar);
        assert_eq!(received.look(98 + SPAN), Arrival::New);
        received.insert(98 + SPAN);
        assert_eq!(received.gaps(9), [(SPAN as u16 - 1, SPAN as u16 - 1)]);
        assert!(received.forward(99 + 0x7000_0000));
        assert!(!received.has_gap());
        assert_eq!(received.look(100), Arrival::Duplicate);
        assert_eq!(received.look(100 + 0x7000_0000), Arrival::New);
    }
}
