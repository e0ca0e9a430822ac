//! From fragments to messages, and messages into their order.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::event::Message;
use crate::serial::{before, ssn_before};
use crate::stats::Stats;
use crate::wire::{Data, DataFlags, ForwardTsn};

/// Incomplete messages, complete ones that others must precede, and ones that wait for the caller.
///
/// A message of one chunk whose turn it is costs neither a copy nor an allocation: it is a slice of its packet.
#[derive(Debug)]
pub(crate) struct Reassembly {
    limit: usize,
    max_message: usize,
    /// Ids below this exist.
    max_streams: u16,
    /// What is held, with a charge for each piece.
    used: usize,
    /// Pieces that wait for the caller.
    fetchable: usize,
    /// Fragments of incomplete messages, by TSN from `first` on.
    slots: VecDeque<Option<Fragment>>,
    first: u32,
    /// Sorted by id.
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Fragment {
    flags: DataFlags,
    stream: u16,
    ssn: u16,
    ppid: u32,
    payload: Bytes,
}

#[derive(Debug)]
struct Stream {
    id: u16,
    next_ssn: u16,
    /// Complete messages out of turn, sorted; without payload when that was too long.
    waiting: VecDeque<(u16, u32, Option<Bytes>)>,
    ready: VecDeque<Message>,
}

/// Where a chunk stands among those that have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Next, with nothing beyond it.
    InOrder,
    /// Next, and what is beyond it has waited for it.
    FirstGap,
    Ahead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    NoRoom,
}

/// The peer sent what can never be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

impl Reassembly {
    pub(crate) fn new(limit: usize, max_message: usize, max_streams: u16) -> Self {
        Self {
            limit,
            max_message,
            max_streams,
            used: 0,
            fetchable: 0,
            slots: VecDeque::new(),
            first: 0,
            streams: Vec::new(),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Bytes that the peer may send.
    pub(crate) fn window(&self) -> usize {
        self.limit.saturating_sub(self.used)
    }

    /// Takes a chunk in that did not arrive before.
    pub(crate) fn handle_data(
        &mut self,
        packet: &Bytes,
        data: &Data<'_>,
        place: Place,
        cumulative: u32,
        readable: &mut Vec<u16>,
        stats: &mut Stats,
    ) -> Result<Verdict, Refused> {
        let len = data.payload.len();
        // The chunk that others wait for is taken even when they have used up the room.
        let limit = if place == Place::FirstGap { 2 * self.limit } else { self.limit };
        if self.used + len + CHARGE > limit {
            // Nothing to fetch and no room for the one that would let it go on: it never will.
            let stuck = place != Place::Ahead && self.fetchable == 0;
            return if stuck { Err(Refused) } else { Ok(Verdict::NoRoom) };
        }
        let payload = packet.slice(data.offset..data.offset + len);
        if data.flags.is_begin() && data.flags.is_end() {
            self.deliver(
                data.stream,
                data.flags.is_unordered(),
                data.ssn,
                data.ppid,
                payload,
                readable,
                stats,
            );
            return Ok(Verdict::Taken);
        }
        // The beginning of this message was skipped: it will never be whole, and neither will what follows.
        if !data.flags.is_begin()
            && !before(cumulative, data.tsn.wrapping_sub(1))
            && !self.has(data.tsn.wrapping_sub(1))
        {
            self.drop_orphans(data.tsn.wrapping_add(1));
            return Ok(Verdict::Taken);
        }
        // A small piece does not keep a large packet from being freed.
        let payload = if 4 * len < packet.len() { Bytes::copy_from_slice(&payload) } else { payload };
        self.used += len + CHARGE;
        let Data { flags, stream, ssn, ppid, .. } = *data;
        self.put(data.tsn, Fragment { flags, stream, ssn, ppid, payload });
        self.complete(data.tsn, readable, stats);
        Ok(Verdict::Taken)
    }

    /// The peer will not send anything up to `forward.tsn` any more.
    pub(crate) fn forward(&mut self, forward: &ForwardTsn<'_>, readable: &mut Vec<u16>, stats: &mut Stats) {
        while !self.slots.is_empty() && !before(forward.tsn, self.first) {
            if let Some(Some(fragment)) = self.slots.pop_front() {
                self.used -= fragment.payload.len() + CHARGE;
            }
            self.first = self.first.wrapping_add(1);
        }
        self.drop_orphans(forward.tsn.wrapping_add(1));
        for (id, ssn) in forward.streams() {
            let Ok(at) = self.find(id) else {
                // Nothing arrived on it yet, but its count goes on.
                if id < self.max_streams {
                    self.get_or_insert(id).next_ssn = ssn.wrapping_add(1);
                }
                continue;
            };
            if !ssn_before(ssn, self.streams[at].next_ssn) {
                while let Some((_, ppid, payload)) =
                    self.streams[at].pop_waiting_if(|waiting| !ssn_before(ssn, waiting))
                {
                    self.used -= payload.as_ref().map_or(0, Bytes::len) + CHARGE;
                    self.make_ready(at, ppid, payload, readable, stats);
                }
                self.streams[at].next_ssn = ssn.wrapping_add(1);
                self.release_waiting(at, readable, stats);
            }
        }
    }

    pub(crate) fn recv(&mut self, id: u16) -> Option<Message> {
        let at = self.find(id).ok()?;
        let message = self.streams[at].ready.pop_front()?;
        self.used -= message.payload.len() + CHARGE;
        self.fetchable -= 1;
        Some(message)
    }

    /// Numbers start at 0 again on this stream, or on all. Messages that were delivered can still be fetched.
    pub(crate) fn reset(&mut self, id: Option<u16>, out: &mut Vec<u16>) {
        for stream in &mut self.streams {
            if id.is_none_or(|id| id == stream.id) {
                stream.next_ssn = 0;
                for (_, _, payload) in stream.waiting.drain(..) {
                    self.used -= payload.as_ref().map_or(0, Bytes::len) + CHARGE;
                }
                out.push(stream.id);
            }
        }
        if let Some(id) = id
            && !out.contains(&id)
        {
            out.push(id);
        }
    }

    fn has(&self, tsn: u32) -> bool {
        matches!(self.slots.get(tsn.wrapping_sub(self.first) as usize), Some(Some(_)))
    }

    /// Drops the fragments from `tsn` on that continue a message whose beginning is not there.
    fn drop_orphans(&mut self, tsn: u32) {
        let mut at = tsn.wrapping_sub(self.first) as usize;
        while let Some(slot) = self.slots.get_mut(at)
            && let Some(fragment) = slot.take_if(|fragment| !fragment.flags.is_begin())
        {
            self.used -= fragment.payload.len() + CHARGE;
            at += 1;
        }
        self.trim();
    }

    fn put(&mut self, tsn: u32, fragment: Fragment) {
        if self.slots.is_empty() {
            self.first = tsn;
        }
        while before(tsn, self.first) {
            self.slots.push_front(None);
            self.first = self.first.wrapping_sub(1);
        }
        let at = tsn.wrapping_sub(self.first) as usize;
        while self.slots.len() <= at {
            self.slots.push_back(None);
        }
        self.slots[at] = Some(fragment);
    }

    /// Looks whether the fragment that just came makes a message whole.
    fn complete(&mut self, tsn: u32, readable: &mut Vec<u16>, stats: &mut Stats) {
        let at = tsn.wrapping_sub(self.first) as usize;
        let Some(Some(this)) = self.slots.get(at) else { return };
        let (stream, ssn, unordered, ppid_of_first) =
            (this.stream, this.ssn, this.flags.is_unordered(), this.ppid);
        let belongs = |slot: Option<&Option<Fragment>>| match slot {
            Some(Some(other)) => (other.stream == stream
                && other.flags.is_unordered() == unordered
                && (unordered || other.ssn == ssn))
                .then_some(other.flags),
            _ => None,
        };
        // In the ordinary case, a middle fragment with nothing behind it, this is all that is looked at.
        let mut end = at;
        if !this.flags.is_end() {
            loop {
                end += 1;
                match belongs(self.slots.get(end)) {
                    Some(flags) if flags.is_begin() => return,
                    Some(flags) if flags.is_end() => break,
                    Some(_) => {}
                    None => return,
                }
            }
        }
        let mut start = at;
        if !this.flags.is_begin() {
            loop {
                let Some(previous) = start.checked_sub(1) else { return };
                start = previous;
                match belongs(self.slots.get(start)) {
                    Some(flags) if flags.is_end() => return,
                    Some(flags) if flags.is_begin() => break,
                    Some(_) => {}
                    None => return,
                }
            }
        }
        let len = self.slots.range(start..=end).flatten().map(|fragment| fragment.payload.len()).sum();
        let mut whole = BytesMut::with_capacity(if len > self.max_message { 0 } else { len });
        let mut ppid = ppid_of_first;
        for at in start..=end {
            if let Some(fragment) = self.slots[at].take() {
                self.used -= fragment.payload.len() + CHARGE;
                if at == start {
                    ppid = fragment.ppid;
                }
                if len <= self.max_message {
                    whole.extend_from_slice(&fragment.payload);
                }
            }
        }
        self.trim();
        if len > self.max_message {
            self.deliver_oversize(stream, unordered, ssn, ppid, readable, stats);
        } else {
            self.deliver(stream, unordered, ssn, ppid, whole.freeze(), readable, stats);
        }
    }

    fn trim(&mut self) {
        while self.slots.front().is_some_and(Option::is_none) {
            self.slots.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        while self.slots.back().is_some_and(Option::is_none) {
            self.slots.pop_back();
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a message")]
    fn deliver(
        &mut self,
        stream: u16,
        unordered: bool,
        ssn: u16,
        ppid: u32,
        payload: Bytes,
        readable: &mut Vec<u16>,
        stats: &mut Stats,
    ) {
        if payload.len() > self.max_message {
            return self.deliver_oversize(stream, unordered, ssn, ppid, readable, stats);
        }
        self.place(stream, unordered, ssn, ppid, Some(payload), readable, stats);
    }

    fn deliver_oversize(
        &mut self,
        stream: u16,
        unordered: bool,
        ssn: u16,
        ppid: u32,
        readable: &mut Vec<u16>,
        stats: &mut Stats,
    ) {
        stats.oversize_messages += 1;
        self.place(stream, unordered, ssn, ppid, None, readable, stats);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a message")]
    fn place(
        &mut self,
        id: u16,
        unordered: bool,
        ssn: u16,
        ppid: u32,
        payload: Option<Bytes>,
        readable: &mut Vec<u16>,
        stats: &mut Stats,
    ) {
        self.get_or_insert(id);
        let Ok(at) = self.find(id) else { return };
        let stream = &mut self.streams[at];
        if unordered {
            return self.make_ready(at, ppid, payload, readable, stats);
        }
        if stream.next_ssn == ssn {
            stream.next_ssn = ssn.wrapping_add(1);
            self.make_ready(at, ppid, payload, readable, stats);
            self.release_waiting(at, readable, stats);
            return;
        }
        let place = stream.waiting.partition_point(|(waiting, _, _)| ssn_before(*waiting, ssn));
        let taken = stream.waiting.get(place).is_some_and(|(waiting, _, _)| *waiting == ssn);
        if ssn_before(ssn, stream.next_ssn) || taken {
            stats.chunks_rejected += 1; // A number was used twice.
            return;
        }
        self.used += payload.as_ref().map_or(0, Bytes::len) + CHARGE;
        stream.waiting.insert(place, (ssn, ppid, payload));
    }

    fn release_waiting(&mut self, at: usize, readable: &mut Vec<u16>, stats: &mut Stats) {
        loop {
            let stream = &mut self.streams[at];
            let next = stream.next_ssn;
            let Some((_, ppid, payload)) = stream.pop_waiting_if(|ssn| ssn == next) else { return };
            stream.next_ssn = next.wrapping_add(1);
            self.used -= payload.as_ref().map_or(0, Bytes::len) + CHARGE;
            self.make_ready(at, ppid, payload, readable, stats);
        }
    }

    fn make_ready(
        &mut self,
        at: usize,
        ppid: u32,
        payload: Option<Bytes>,
        readable: &mut Vec<u16>,
        stats: &mut Stats,
    ) {
        let Some(payload) = payload else { return };
        let stream = &mut self.streams[at];
        if stream.ready.is_empty() {
            readable.push(stream.id);
        }
        self.used += payload.len() + CHARGE;
        self.fetchable += 1;
        stats.messages_received += 1;
        stream.ready.push_back(Message { ppid, payload });
    }

    fn find(&self, id: u16) -> Result<usize, usize> {
        self.streams.binary_search_by_key(&id, |stream| stream.id)
    }

    fn get_or_insert(&mut self, id: u16) -> &mut Stream {
        let at = match self.find(id) {
            Ok(at) => at,
            Err(at) => {
                let stream = Stream { id, next_ssn: 0, waiting: VecDeque::new(), ready: VecDeque::new() };
                self.streams.insert(at, stream);
                at
            }
        };
        &mut self.streams[at]
    }
}

impl Stream {
    fn pop_waiting_if(&mut self, wanted: impl Fn(u16) -> bool) -> Option<(u16, u32, Option<Bytes>)> {
        if !wanted(self.waiting.front()?.0) {
            return None;
        }
        self.waiting.pop_front()
    }
}

/// What each piece costs beside its bytes.
const CHARGE: usize = 32;
