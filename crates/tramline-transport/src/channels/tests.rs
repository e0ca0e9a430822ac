//! Two associations back to back, with one side speaking DCEP by hand where a peer of ours would not.

use std::time::{Duration, Instant};

use tramline_sim::VirtualClock;

use super::*;
use crate::sctp::{Event, Settings};

pub(super) struct Side {
    pub(super) sctp: Association,
    pub(super) channels: Channels,
    pub(super) events: VecDeque<PeerEvent>,
    pub(super) stats: PeerStats,
    connected: bool,
    pub(super) lost: Option<String>,
    /// Its streams are read by the test.
    by_hand: bool,
    /// Packets on their way to this side.
    pub(super) inbox: Vec<Bytes>,
}

pub(super) struct Pair {
    pub(super) clock: VirtualClock,
    pub(super) a: Side,
    pub(super) b: Side,
}

impl Side {
    fn new(secret: u8) -> Self {
        let settings = Settings { secret: [secret; 32], max_receive_message_size: 65_536, remote_port: 5000 };
        Self {
            sctp: Association::new(settings),
            channels: Channels::default(),
            events: VecDeque::new(),
            stats: PeerStats::default(),
            connected: false,
            lost: None,
            by_hand: false,
            inbox: Vec::new(),
        }
    }

    pub(super) fn turn(&mut self, now: Instant) -> Vec<Bytes> {
        if self.sctp.poll_timeout().is_some_and(|at| at <= now) {
            self.sctp.handle_timeout(now);
        }
        for packet in std::mem::take(&mut self.inbox) {
            self.sctp.handle_packet(now, packet);
        }
        while let Some(event) = self.sctp.poll_event() {
            match event {
                Event::Connected => self.connected = true,
                Event::Readable(_) if self.by_hand => {}
                Event::Readable(id) => {
                    self.channels.handle_readable(&mut self.sctp, id, &mut self.events, &mut self.stats);
                }
                Event::Reset(id) => self.channels.handle_reset(id, &mut self.events),
                Event::Acknowledged(_) => {}
                Event::Lost(reason) => self.lost = Some(reason),
            }
        }
        let mut out = Vec::new();
        self.sctp.poll_transmit(now, |packet| out.push(Bytes::copy_from_slice(packet)));
        out
    }

    pub(super) fn messages(&mut self) -> Vec<(Channel, Bytes)> {
        let mut messages = Vec::new();
        while let Some(message) =
            self.channels.poll_message(&mut self.sctp, &mut self.events, &mut self.stats)
        {
            messages.push(message);
        }
        messages
    }
}

impl Pair {
    /// `a` is the side that sends INIT.
    pub(super) fn connected() -> Self {
        let mut pair = Self { clock: VirtualClock::new(), a: Side::new(1), b: Side::new(2) };
        pair.a.by_hand = true;
        pair.a.sctp.connect();
        pair.run();
        assert!(pair.a.connected && pair.b.connected);
        pair
    }

    pub(super) fn run(&mut self) {
        for _ in 0..400 {
            let now = self.clock.advance(Duration::from_millis(5));
            self.b.inbox.extend(self.a.turn(now));
            self.a.inbox.extend(self.b.turn(now));
        }
    }

    /// `a` opens a channel by hand.
    pub(super) fn open(&mut self, stream: u16, label: &[u8]) {
        self.a.sctp.set_delivery(stream, true, Reliability::Reliable);
        let open = Open { ordered: false, reliability: Reliability::Retransmits(0), label };
        assert!(self.a.sctp.send_dcep(stream, &open.encode()));
    }
}

#[test]
fn ids_are_even_for_the_dtls_client_and_odd_for_the_server() {
    for (role, ids) in [(Role::Client, [0, 2, 4]), (Role::Server, [1, 3, 5])] {
        let mut pair = Pair::connected();
        pair.a.channels.open_in_band(&mut pair.a.sctp, role, &mut pair.a.events);
        assert_eq!(pair.a.channels.outgoing.map(|o| o.expect("open at once").stream), ids);
        pair.run();
        assert_eq!(pair.b.channels.outgoing.map(|o| o.expect("opened by the peer").stream), ids);
        let opened: Vec<_> = pair.b.events.drain(..).collect();
        assert_eq!(opened, Channel::ALL.map(PeerEvent::ChannelOpen));
    }
}

#[test]
fn an_unknown_label_is_accepted_counted_and_read_to_nowhere() {
    let mut pair = Pair::connected();
    pair.open(8, b"chat");
    assert!(pair.a.sctp.send(8, &Bytes::from_static(b"anyone?"), &SendOptions::default()));
    pair.run();
    assert_eq!(pair.b.stats.unknown_channels, 1);
    assert_eq!(pair.b.stats.rejected_messages, 1);
    assert!(pair.b.messages().is_empty() && pair.b.events.is_empty());
    assert_eq!(pair.a.sctp.recv(8), Some((Ppid::Dcep, Bytes::from_static(&dcep::ACK))));
}

#[test]
fn messages_that_overtake_their_open_are_held_back_for_it() {
    let mut pair = Pair::connected();
    pair.a.sctp.set_delivery(6, false, Reliability::Retransmits(0));
    assert!(pair.a.sctp.send(6, &Bytes::from_static(b"early"), &SendOptions::default()));
    pair.run();
    assert!(pair.b.messages().is_empty());
    pair.open(6, b"_lossy");
    assert!(pair.a.sctp.send(6, &Bytes::from_static(b"late"), &SendOptions::default()));
    pair.run();
    let got = pair.b.messages();
    assert_eq!(
        got,
        [(Channel::Lossy, Bytes::from_static(b"early")), (Channel::Lossy, Bytes::from_static(b"late"))]
    );
    assert_eq!((pair.b.channels.early.len(), pair.b.channels.early_bytes), (0, 0));
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut pair = Pair::connected();
    pair.a.sctp.set_delivery(6, true, Reliability::Reliable);
    for _ in 0..20 {
        assert!(pair.a.sctp.send(6, &Bytes::from(vec![1; 30_000]), &SendOptions::default()));
    }
    pair.run();
    assert!(pair.b.channels.early_bytes <= MAX_EARLY_BYTES);
    assert_eq!(pair.b.channels.early.len() as u64 + pair.b.stats.rejected_messages, 20);
    assert!(pair.b.stats.rejected_messages > 0);
}

#[test]
fn a_channel_that_is_opened_again_replaces_the_old_one() {
    let mut pair = Pair::connected();
    pair.open(0, b"_reliable");
    pair.run();
    pair.open(10, b"_reliable");
    pair.run();
    assert_eq!(pair.b.channels.outgoing[0].map(|o| o.stream), Some(10));
    assert_eq!(pair.b.events.drain(..).collect::<Vec<_>>(), [PeerEvent::ChannelOpen(Channel::Reliable)]);
}

#[test]
fn a_reset_stream_closes_its_channel_and_no_other() {
    let mut pair = Pair::connected();
    pair.open(0, b"_reliable");
    pair.open(2, b"_lossy");
    pair.run();
    pair.b.events.clear();
    pair.a.sctp.reset_stream(0);
    pair.run();
    assert_eq!(pair.b.events.drain(..).collect::<Vec<_>>(), [PeerEvent::ChannelClosed(Channel::Reliable)]);
    assert!(!pair.b.channels.is_open(Channel::Reliable) && pair.b.channels.is_open(Channel::Lossy));
    assert!(pair.b.channels.send(
        &mut pair.b.sctp,
        Channel::Lossy,
        &Bytes::from_static(b"still here"),
        &SendOptions::default()
    ));
    pair.run();
    assert_eq!(pair.a.sctp.recv(2), Some((Ppid::Dcep, Bytes::from_static(&dcep::ACK))));
    assert_eq!(pair.a.sctp.recv(2), Some((Ppid::Data, Bytes::from_static(b"still here"))));
}

#[test]
fn garbage_in_place_of_an_open_is_counted() {
    let mut pair = Pair::connected();
    pair.a.sctp.set_delivery(12, true, Reliability::Reliable);
    assert!(pair.a.sctp.send_dcep(12, &[9, 9, 9]));
    assert!(pair.a.sctp.send_dcep(12, &[3, 0]));
    pair.run();
    assert_eq!(pair.b.stats.rejected_messages, 2);
    assert_eq!(pair.b.lost, None);
}

#[test]
fn a_late_init_does_not_end_an_association() {
    let mut pair = Pair { clock: VirtualClock::new(), a: Side::new(1), b: Side::new(2) };
    pair.a.sctp.connect();
    let now = pair.clock.now();
    let init = pair.a.turn(now);
    assert_eq!(init.len(), 1);
    pair.b.inbox = init.clone();
    pair.run();
    assert!(pair.a.connected && pair.b.connected);
    // The same one again, as after reordering, and one of a stranger's association.
    let mut other =
        Association::new(Settings { secret: [3; 32], max_receive_message_size: 1, remote_port: 5000 });
    other.connect();
    pair.b.inbox = init;
    other.poll_transmit(now, |packet| pair.b.inbox.push(Bytes::copy_from_slice(packet)));
    assert_eq!(pair.b.inbox.len(), 2);
    pair.open(0, b"_reliable");
    pair.run();
    assert_eq!(pair.b.lost, None);
    assert!(pair.b.channels.is_open(Channel::Reliable));
}

#[test]
fn a_peer_that_sends_init_as_well_is_given_way_to() {
    let mut pair = Pair { clock: VirtualClock::new(), a: Side::new(1), b: Side::new(2) };
    pair.a.sctp.connect();
    pair.b.sctp.connect();
    // Ours is lost, so only the peer's arrives while we wait for an answer.
    let now = pair.clock.now();
    assert_eq!(pair.a.turn(now).len(), 1);
    pair.run();
    assert!(pair.a.connected && pair.b.connected);
}

#[test]
fn an_association_survives_garbage() {
    use proptest::prelude::*;
    proptest!(ProptestConfig::with_cases(64), |(packets in proptest::collection::vec(
        proptest::collection::vec(any::<u8>(), 0..80), 1..20,
    ))| {
        let mut pair = Pair::connected();
        pair.b.inbox = packets.into_iter().map(Bytes::from).collect();
        pair.open(0, b"_reliable");
        pair.run();
        prop_assert!(pair.b.channels.is_open(Channel::Reliable));
    });
}
