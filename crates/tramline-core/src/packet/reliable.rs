//! Reliable packets: numbers, what must be sent again after a resume, and repeats.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

/// What one participant sends reliably, until its next hop has it.
///
/// A packet waits, gets its number (`DataPacket.sequence`, from 1) when it is its turn, is handed to the transport, and is kept until that says
/// that it has arrived; only then its waiter `W` is given back. When the session is resumed, the server names the last number it
/// has, and all that follow leave again under their numbers. So nothing that was accepted is lost, and receivers drop what comes
/// twice ([`ReliableReceiver`]).
///
/// ```text
/// push ──▶ waiting, by lane ──front──▶ numbered ──advance──▶ in flight ──handle_acknowledged──▶ given back
///                                         ▲                      │
///                                         └─── handle_resumed ───┘
/// ```
#[derive(Debug)]
pub struct ReliableQueue<W> {
    /// The number of the packet that is numbered next.
    next: u32,
    prompt: VecDeque<Waiting<W>>,
    bulk: VecDeque<Waiting<W>>,
    /// What leaves next: after a resume what leaves again, otherwise at most one.
    numbered: VecDeque<Kept<W>>,
    in_flight: VecDeque<Kept<W>>,
    /// Of all that is kept.
    bytes: usize,
}

/// What a packet waits behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Other packets of this lane: messages and calls.
    Prompt,
    /// Everything: the parts of a long stream, which keep their order among themselves.
    Bulk,
}

#[derive(Debug)]
struct Waiting<W> {
    packet: BytesMut,
    waiter: W,
}

#[derive(Debug)]
struct Kept<W> {
    sequence: u32,
    packet: Bytes,
    waiter: W,
}

impl<W> Default for ReliableQueue<W> {
    fn default() -> Self {
        Self {
            next: 1,
            prompt: VecDeque::new(),
            bulk: VecDeque::new(),
            numbered: VecDeque::new(),
            in_flight: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<W> ReliableQueue<W> {
    /// Bytes that the number adds to a packet, at most.
    pub const NUMBER_LEN: usize = 7;

    /// Takes an encoded packet, still without its number; memory for [`NUMBER_LEN`](Self::NUMBER_LEN) more bytes saves a copy.
    pub fn push(&mut self, lane: Lane, packet: BytesMut, waiter: W) {
        self.bytes += packet.len() + Self::NUMBER_LEN;
        let waiting = Waiting { packet, waiter };
        match lane {
            Lane::Prompt => self.prompt.push_back(waiting),
            Lane::Bulk => self.bulk.push_back(waiting),
        }
    }

    /// Bytes that are kept: waiting, or not acknowledged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits and nothing is unacknowledged.
    pub fn is_empty(&self) -> bool {
        self.is_sent() && self.in_flight.is_empty()
    }

    /// Whether nothing waits to leave.
    pub fn is_sent(&self) -> bool {
        self.prompt.is_empty() && self.bulk.is_empty() && self.numbered.is_empty()
    }

    /// The packet that leaves next. It has its number from now on.
    pub fn front(&mut self) -> Option<&Bytes> {
        if self.numbered.is_empty() {
            let Waiting { mut packet, waiter } = self.prompt.pop_front().or_else(|| self.bulk.pop_front())?;
            self.bytes -= packet.len() + Self::NUMBER_LEN;
            let sequence = self.next;
            // 0 means "without a number"; nobody sends four thousand million packets in one session.
            self.next = self.next.checked_add(1).unwrap_or(1);
            append_sequence(&mut packet, sequence);
            self.bytes += packet.len();
            self.numbered.push_back(Kept { sequence, packet: packet.freeze(), waiter });
        }
        self.numbered.front().map(|kept| &kept.packet)
    }

    /// The transport has taken [`front`](Self::front).
    pub fn advance(&mut self) {
        if let Some(kept) = self.numbered.pop_front() {
            self.in_flight.push_back(kept);
        }
    }

    /// The transport will never take [`front`](Self::front). Its waiter comes back.
    pub fn refuse(&mut self) -> Option<W> {
        let kept = self.numbered.pop_front()?;
        self.bytes -= kept.packet.len();
        Some(kept.waiter)
    }

    /// What [`front`](Self::front) is called: the number that says that it has arrived.
    pub fn front_sequence(&self) -> Option<u32> {
        self.numbered.front().map(|kept| kept.sequence)
    }

    /// The packet with this number has arrived. Its waiter comes back if it was kept.
    pub fn handle_acknowledged(&mut self, sequence: u32) -> Option<W> {
        // Nearly always the first one.
        let at = self.in_flight.iter().position(|kept| kept.sequence == sequence)?;
        let kept = self.in_flight.remove(at)?;
        self.bytes -= kept.packet.len();
        Some(kept.waiter)
    }

    /// The session goes on, perhaps over another transport: the server has everything up to `last`, and nothing else.
    /// What follows leaves again.
    pub fn handle_resumed(&mut self, last: u32, mut arrived: impl FnMut(W)) {
        while let Some(kept) = self.in_flight.pop_back() {
            self.numbered.push_front(kept);
        }
        while self.numbered.front().is_some_and(|kept| kept.sequence <= last) {
            if let Some(kept) = self.numbered.pop_front() {
                self.bytes -= kept.packet.len();
                arrived(kept.waiter);
            }
        }
    }

    /// The session is another one (a full reconnect), or over: numbers start again. Gives the waiters back, those whose packets may have
    /// arrived first (`true`), then those whose packets have not left.
    pub fn reset(&mut self) -> impl Iterator<Item = (bool, W)> + use<W> {
        let Self { prompt, bulk, numbered, in_flight, .. } = std::mem::take(self);
        let may_have_arrived = in_flight.into_iter().map(|kept| (true, kept.waiter));
        let numbered = numbered.into_iter().map(|kept| kept.waiter);
        let waiting = prompt.into_iter().chain(bulk).map(|waiting| waiting.waiter);
        may_have_arrived.chain(numbered.chain(waiting).map(|waiter| (false, waiter)))
    }
}

/// Appends `DataPacket.sequence`, field 16: protobuf fields may come in any order.
fn append_sequence(packet: &mut BytesMut, mut sequence: u32) {
    packet.extend_from_slice(&[0x80, 0x01]);
    while sequence >= 0x80 {
        packet.extend_from_slice(&[sequence as u8 | 0x80]);
        sequence >>= 7;
    }
    packet.extend_from_slice(&[sequence as u8]);
}

/// What was received reliably, by the sender's stay in the room: tells repeats.
#[derive(Debug, Default)]
pub struct ReliableReceiver {
    last: BTreeMap<Box<str>, u32>,
    repeated: u64,
}

impl ReliableReceiver {
    /// Whether the packet `sequence` of the participant `sid` is new. Packets without a number or a sender always are.
    pub fn accept(&mut self, sid: &str, sequence: u32) -> bool {
        if sequence == 0 || sid.is_empty() {
            return true;
        }
        match self.last.get_mut(sid) {
            Some(last) if sequence <= *last => {
                self.repeated += 1;
                false
            }
            Some(last) => {
                *last = sequence;
                true
            }
            None => {
                // More senders than a room has: only a server that invents them gets here. Forgetting one risks a repeat.
                if self.last.len() >= MAX_SENDERS {
                    self.last.pop_first();
                }
                self.last.insert(sid.into(), sequence);
                true
            }
        }
    }

    /// The participant has left; its numbers do not come back.
    pub fn forget(&mut self, sid: &str) {
        self.last.remove(sid);
    }

    /// The last number of each sender, for LiveKit's `SyncState.datachannel_receive_states`.
    pub fn last(&self) -> impl Iterator<Item = (&str, u32)> {
        self.last.iter().map(|(sid, last)| (&**sid, *last))
    }

    /// Packets that were repeats.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }
}

/// Senders that are remembered, each some 60 bytes.
const MAX_SENDERS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    use livekit_protocol as proto;
    use prost::Message as _;

    /// Packets of 10 bytes once they are numbered, named by their waiters.
    fn push(queue: &mut ReliableQueue<u32>, lane: Lane, name: u32) {
        let packet = proto::DataPacket { participant_identity: "12345".into(), ..Default::default() };
        queue.push(lane, packet.encode_to_vec().as_slice().into(), name);
    }

    /// The numbers of what leaves.
    fn hand_over(queue: &mut ReliableQueue<u32>) -> Vec<u32> {
        let mut numbers = Vec::new();
        while let Some(packet) = queue.front() {
            assert_eq!(packet.len(), 10);
            let packet = proto::DataPacket::decode(packet.clone()).expect("a packet");
            assert_eq!(packet.participant_identity, "12345");
            numbers.push(packet.sequence);
            queue.advance();
        }
        numbers
    }

    #[test]
    fn waiters_come_back_when_their_packets_have_arrived_and_once() {
        let mut queue = ReliableQueue::default();
        (1..=3).for_each(|name| push(&mut queue, Lane::Prompt, name));
        assert_eq!(queue.handle_acknowledged(1), None, "it has not left");
        assert_eq!(hand_over(&mut queue), [1, 2, 3]);
        let arrived: Vec<_> =
            [1, 3, 3, 2, 4].into_iter().map(|sequence| queue.handle_acknowledged(sequence)).collect();
        assert_eq!(arrived, [Some(1), Some(3), None, Some(2), None]);
        assert!(queue.is_empty() && queue.bytes() == 0);
    }

    #[test]
    fn messages_overtake_the_parts_of_streams_and_numbers_stay_in_order() {
        let mut queue = ReliableQueue::default();
        push(&mut queue, Lane::Bulk, 1);
        push(&mut queue, Lane::Bulk, 2);
        // The first one has its number already.
        assert!(queue.front().is_some());
        push(&mut queue, Lane::Prompt, 3);
        assert_eq!(hand_over(&mut queue), [1, 2, 3]);
        assert_eq!(
            [1, 2, 3].map(|sequence| queue.handle_acknowledged(sequence)),
            [Some(1), Some(3), Some(2)]
        );
    }

    #[test]
    fn after_a_resume_what_the_server_lacks_leaves_again_and_nothing_else() {
        let mut queue = ReliableQueue::default();
        (1..=3).for_each(|name| push(&mut queue, Lane::Prompt, name));
        hand_over(&mut queue);
        push(&mut queue, Lane::Prompt, 4);
        let mut arrived = Vec::new();
        queue.handle_resumed(2, |waiter| arrived.push(waiter));
        assert_eq!((arrived, hand_over(&mut queue)), (vec![1, 2], vec![3, 4]));
        // The server may have packets that we do not know to have arrived: it names what it has, whatever the transport said.
        let mut arrived = Vec::new();
        queue.handle_resumed(4, |waiter| arrived.push(waiter));
        assert_eq!((arrived, queue.is_empty(), queue.bytes()), (vec![3, 4], true, 0));
    }

    #[test]
    fn a_new_session_numbers_from_one_and_tells_what_may_have_arrived() {
        let mut queue = ReliableQueue::default();
        push(&mut queue, Lane::Prompt, 1);
        hand_over(&mut queue);
        push(&mut queue, Lane::Prompt, 2);
        assert_eq!(queue.reset().collect::<Vec<_>>(), [(true, 1), (false, 2)]);
        assert_eq!(queue.bytes(), 0);
        push(&mut queue, Lane::Prompt, 3);
        assert_eq!(hand_over(&mut queue), [1]);
    }

    #[test]
    fn what_no_transport_takes_goes_back_to_its_sender() {
        let mut queue = ReliableQueue::default();
        push(&mut queue, Lane::Prompt, 1);
        queue.front();
        assert_eq!((queue.refuse(), queue.refuse(), queue.bytes()), (Some(1), None, 0));
    }

    #[test]
    fn a_repeated_number_is_dropped_for_its_sender_alone() {
        let mut receiver = ReliableReceiver::default();
        let accepted: Vec<bool> = [
            ("a", 1),
            ("a", 2),
            ("a", 2),
            ("a", 1),
            ("b", 1),
            ("a", 0),
            ("a", 0),
            ("", 1),
            ("", 1),
            ("a", 9),
        ]
        .map(|(sid, sequence)| receiver.accept(sid, sequence))
        .into();
        assert_eq!(accepted, [true, true, false, false, true, true, true, true, true, true]);
        assert_eq!((receiver.repeated(), receiver.last().collect::<Vec<_>>()), (2, vec![("a", 9), ("b", 1)]));
        receiver.forget("a");
        assert!(receiver.accept("a", 1));
    }
}
