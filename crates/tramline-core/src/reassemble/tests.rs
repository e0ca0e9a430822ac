use super::*;
use proptest::prelude::*;
use tramline_sim::VirtualClock;
use tramline_wire::{Extensions, TrackHandle};

#[test]
fn a_frame_of_one_packet_is_the_message_itself() {
    let clock = VirtualClock::new();
    let message = encode(&header(Marker::Single, 3, 9), b"hello");
    let (header, payload) = split(message.clone()).expect("own packet");
    let mut reassembler = Reassembler::new(Config::default());
    let frame = reassembler.handle_packet(clock.now(), &header, payload).expect("whole");
    assert_eq!((&frame.payload[..], frame.number), (&b"hello"[..], 3));
    assert_eq!(frame.payload.as_ptr(), message[12..].as_ptr());
}

#[test]
fn what_the_start_packet_says_holds_for_the_frame() {
    let clock = VirtualClock::new();
    let mut reassembler = Reassembler::new(Config::default());
    let stamped = |marker, sequence, user_timestamp| Header {
        extensions: Extensions { user_timestamp: Some(user_timestamp), ..Extensions::default() },
        ..header(marker, 1, sequence)
    };
    push(&mut reassembler, clock.now(), &stamped(Marker::Final, 8, 6), b"b");
    let frame = push(&mut reassembler, clock.now(), &stamped(Marker::Start, 7, 5), b"a").expect("whole");
    assert_eq!((frame.user_timestamp, &frame.payload[..]), (Some(5), &b"ab"[..]));
}

#[test]
fn packets_of_a_frame_may_come_in_any_order() {
    let clock = VirtualClock::new();
    let packets = packets(0, u16::MAX - 1, 4);
    for order in [[3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1], [0, 3, 1, 2]] {
        let mut reassembler = Reassembler::new(Config::default());
        let mut frames =
            order.map(|index| push(&mut reassembler, clock.now(), &packets[index], &[index as u8]));
        let last = frames[3].take().expect("the last packet makes it whole");
        assert_eq!(&last.payload[..], [0, 1, 2, 3]);
        assert_eq!(frames, [None, None, None, None]);
    }
}

#[test]
fn a_whole_frame_that_comes_twice_is_delivered_once() {
    let mut clock = VirtualClock::new();
    let mut reassembler = Reassembler::new(Config::default());
    for (number, count) in [(0, 1), (1, 3)] {
        let packets = packets(number, number * 10, count);
        let delivered = |reassembler: &mut Reassembler, now| {
            packets.iter().filter_map(|header| push(reassembler, now, header, b"x")).count()
        };
        assert_eq!(delivered(&mut reassembler, clock.now()), 1);
        assert_eq!(delivered(&mut reassembler, clock.advance(Duration::from_secs(1))), 0);
    }
    assert_eq!(reassembler.counters().dropped.iter().collect::<Vec<_>>(), [(DropReason::Duplicate, 2)]);
    assert_eq!(reassembler.partial_frames(), 0);
}

#[test]
fn a_publisher_that_begins_again_is_not_an_echo() {
    let clock = VirtualClock::new();
    let mut reassembler = Reassembler::new(Config::default());
    for base in [0, 77] {
        for number in 0..600 {
            let header = Header { timestamp: base, ..header(Marker::Single, number, number) };
            assert!(push(&mut reassembler, clock.now(), &header, b"x").is_some(), "{base} {number}");
        }
    }
    // A frame left half done by the publisher's first life makes way for its namesake.
    let early = Header { timestamp: 77, ..header(Marker::Start, 600, 600) };
    assert_eq!(push(&mut reassembler, clock.now(), &early, b"old"), None);
    for (later, whole) in packets(600, 600, 2).iter().zip([false, true]) {
        assert_eq!(push(&mut reassembler, clock.now(), later, b"x").is_some(), whole);
    }
    assert_eq!(reassembler.counters().dropped.iter().collect::<Vec<_>>(), [(DropReason::Incomplete, 1)]);
}

#[test]
fn the_same_numbers_after_a_long_time_are_another_frame() {
    // What a publisher whose timestamps stand still sends after 65,536 frames, the ones between lost or not.
    let mut clock = VirtualClock::new();
    let mut reassembler = Reassembler::new(Config::default());
    let single = |number| header(Marker::Single, number, number);
    assert!(push(&mut reassembler, clock.now(), &single(5), b"x").is_some());
    assert!(push(&mut reassembler, clock.advance(Duration::from_millis(9_999)), &single(5), b"x").is_none());
    assert!(push(&mut reassembler, clock.advance(Duration::from_millis(1)), &single(5), b"x").is_some());
    for number in (6..=u16::MAX).chain(0..10) {
        assert!(push(&mut reassembler, clock.now(), &single(number), b"x").is_some(), "{number}");
    }
}

#[test]
fn a_frame_with_a_gap_is_dropped_whole_after_a_while_and_counted_once() {
    let mut clock = VirtualClock::new();
    let mut reassembler = Reassembler::new(Config::default());
    let packets = packets(0, 0, 4);
    push(&mut reassembler, clock.now(), &packets[0], b"a");
    clock.advance(Duration::from_millis(999));
    push(&mut reassembler, clock.now(), &packets[3], b"d");
    let timeout = reassembler.poll_timeout().expect("a frame waits");
    assert_eq!(timeout, clock.now() + Config::DEFAULT_MAX_AGE);
    reassembler.handle_timeout(timeout);
    assert_eq!(reassembler.poll_timeout(), None);
    for late in [&packets[1], &packets[2], &packets[3]] {
        assert_eq!(push(&mut reassembler, timeout, late, b"x"), None);
    }
    assert_eq!((reassembler.partial_frames(), reassembler.bytes), (0, 0));
    assert_eq!(reassembler.counters().dropped.iter().collect::<Vec<_>>(), [(DropReason::Incomplete, 1)]);
}

#[test]
fn the_oldest_of_too_many_frames_in_flight_makes_way() {
    let clock = VirtualClock::new();
    let mut reassembler = Reassembler::new(Config::default());
    let frames: Vec<_> = (0..9).map(|number| packets(number, number * 2, 2)).collect();
    for frame in &frames {
        push(&mut reassembler, clock.now(), &frame[0], b"a");
    }
    assert_eq!(reassembler.partial_frames(), 8);
    let whole = frames.iter().filter_map(|frame| push(&mut reassembler, clock.now(), &frame[1], b"b"));
    assert_eq!(whole.map(|frame| frame.number).collect::<Vec<_>>(), (1..9).collect::<Vec<_>>());
    assert_eq!(reassembler.counters().dropped.iter().collect::<Vec<_>>(), [(DropReason::Interrupted, 1)]);
}

#[test]
fn bytes_in_flight_are_bounded() {
    let clock = VirtualClock::new();
    let mut reassembler = Reassembler::new(Config::default().with_max_bytes(100));
    let frames: Vec<_> = (0..3).map(|number| packets(number, number * 3, 3)).collect();
    push(&mut reassembler, clock.now(), &frames[0][0], &[0; 40]);
    push(&mut reassembler, clock.now(), &frames[1][0], &[0; 40]);
    push(&mut reassembler, clock.now(), &frames[0][1], &[0; 40]);
    assert_eq!((reassembler.partial_frames(), reassembler.bytes), (1, 80), "the other one went");
    push(&mut reassembler, clock.now(), &frames[2][0], &[0; 101]);
    assert_eq!((reassembler.partial_frames(), reassembler.bytes), (0, 0), "alone too large");
    let dropped = reassembler.counters().dropped;
    assert_eq!((dropped.count(DropReason::Interrupted), dropped.count(DropReason::Oversize)), (2, 1));
}

#[test]
fn packets_that_contradict_each_other_drop_their_frame() {
    let clock = VirtualClock::new();
    type Case = (&'static str, &'static [(Marker, u16)], DropReason);
    let cases: [Case; 5] = [
        ("two starts", &[(Marker::Start, 1), (Marker::Start, 2)], DropReason::Malformed),
        ("two ends", &[(Marker::Final, 1), (Marker::Final, 2)], DropReason::Malformed),
        ("outside", &[(Marker::Start, 1), (Marker::Inter, 4), (Marker::Final, 2)], DropReason::Malformed),
        ("end before start", &[(Marker::Start, 5), (Marker::Final, 4)], DropReason::Oversize),
        ("too far apart", &[(Marker::Start, 1), (Marker::Inter, 129)], DropReason::Oversize),
    ];
    for (name, packets, reason) in cases {
        let mut reassembler = Reassembler::new(Config::default());
        for (marker, sequence) in packets {
            let header = header(*marker, 1, *sequence);
            assert_eq!(push(&mut reassembler, clock.now(), &header, b"x"), None, "{name}");
        }
        assert_eq!(reassembler.counters().dropped.iter().collect::<Vec<_>>(), [(reason, 1)], "{name}");
        assert_eq!(reassembler.bytes, 0, "{name}");
    }
}

#[test]
fn narrower_bounds_apply_at_once() {
    let clock = VirtualClock::new();
    let mut reassembler = Reassembler::new(Config::default());
    for number in 0..4 {
        push(&mut reassembler, clock.now(), &header(Marker::Start, number, number * 2), b"x");
    }
    reassembler.set_config(clock.now(), Config::default().with_max_partial_frames(1));
    assert_eq!(reassembler.partial_frames(), 1);
    assert_eq!(reassembler.poll_timeout(), None);
}

proptest! {
    #[test]
    fn frames_in_flight_are_delivered_once_each_whatever_the_order(
        sizes in proptest::collection::vec(1u16..20, 1..=8),
        first: u16,
        number: u16,
        shuffle in proptest::collection::vec(any::<u32>(), 320),
    ) {
        let clock = VirtualClock::new();
        let mut wire = Vec::new();
        let mut sequence = first;
        for (index, size) in sizes.iter().enumerate() {
            let number = number.wrapping_add(index as u16);
            for (place, header) in packets(number, sequence, *size).into_iter().enumerate() {
                wire.extend([(header, place as u8), (header, place as u8)]);
            }
            sequence = sequence.wrapping_add(*size);
        }
        let mut keyed: Vec<_> = wire.into_iter().zip(&shuffle).collect();
        keyed.sort_by_key(|(_, key)| **key);
        let mut reassembler = Reassembler::new(Config::default());
        let mut seen = vec![0; sizes.len()];
        for ((header, place), _) in keyed {
            if let Some(frame) = push(&mut reassembler, clock.now(), &header, &[place]) {
                let index = usize::from(frame.number.wrapping_sub(number));
                seen[index] += 1;
                prop_assert_eq!(frame.payload.to_vec(), (0..sizes[index] as u8).collect::<Vec<_>>());
            }
        }
        prop_assert_eq!(seen, vec![1; sizes.len()]);
        prop_assert_eq!((reassembler.partial_frames(), reassembler.bytes), (0, 0));
    }

    #[test]
    fn garbage_is_bounded_and_every_frame_is_accounted_for(
        max_partial_frames in 0usize..6,
        packets in proptest::collection::vec((0usize..4, 0u16..6, 0u16..300, 0usize..50, 0u64..200, 0u32..2), 1..400),
    ) {
        let mut clock = VirtualClock::new();
        let config = Config::default().with_max_partial_frames(max_partial_frames).with_max_bytes(500);
        let mut reassembler = Reassembler::new(config);
        for (marker, number, sequence, len, pause, timestamp) in packets {
            clock.advance(Duration::from_millis(pause));
            let marker = [Marker::Inter, Marker::Final, Marker::Start, Marker::Single][marker];
            let header = Header { timestamp, ..header(marker, number, sequence) };
            push(&mut reassembler, clock.now(), &header, &vec![0; len]);
            prop_assert!(reassembler.partial_frames() <= max_partial_frames.max(1));
            prop_assert!(reassembler.bytes <= 500);
            prop_assert_eq!(reassembler.bytes, reassembler.partials.iter().map(|partial| partial.bytes).sum::<usize>());
            prop_assert!(reassembler.spare.len() <= max_partial_frames.max(1));
            let Counters { accepted, sent, dropped, .. } = reassembler.counters();
            let held = reassembler.partial_frames() as u64;
            let unheld = dropped.count(DropReason::Duplicate) + dropped.count(DropReason::UnknownFrame);
            prop_assert_eq!(accepted, sent + dropped.total() - unheld + held);
        }
    }
}

fn header(marker: Marker, frame_number: u16, sequence: u16) -> Header {
    Header {
        marker,
        handle: TrackHandle::FIRST,
        sequence,
        frame_number,
        timestamp: 0,
        extensions: Extensions::default(),
    }
}

/// The headers of a frame of `count` packets.
fn packets(number: u16, first: u16, count: u16) -> Vec<Header> {
    (0..count)
        .map(|index| {
            let marker = match (index == 0, index + 1 == count) {
                (true, true) => Marker::Single,
                (true, false) => Marker::Start,
                (false, true) => Marker::Final,
                (false, false) => Marker::Inter,
            };
            header(marker, number, first.wrapping_add(index))
        })
        .collect()
}

fn push(reassembler: &mut Reassembler, now: Instant, header: &Header, payload: &[u8]) -> Option<Frame> {
    reassembler.handle_packet(now, header, Bytes::copy_from_slice(payload))
}

fn encode(header: &Header, payload: &[u8]) -> Bytes {
    let mut message = vec![0; header.encoded_len()];
    header.encode(&mut message).expect("has room");
    message.extend_from_slice(payload);
    message.into()
}
