use super::*;
use crate::queue::QueueConfig;
use crate::stats::DropReason;
use std::sync::{Arc, Mutex};
use tramline_sim::VirtualClock;

#[test]
fn tracks_of_one_priority_share_by_bytes_whatever_their_packets() {
    let (clock, mut outbox) = (VirtualClock::new(), Outbox::new());
    let queue = || LiveQueue::new(QueueConfig::default().with_max_bytes(usize::MAX));
    let sizes = [16_000, 1_100, 300];
    let keys = sizes.map(|_| outbox.add(queue()));
    for (key, size) in keys.iter().zip(sizes) {
        for _ in 0..1_000_000 / size {
            outbox.push_frame(clock.now(), *key, [Bytes::from(vec![0; size])]);
        }
    }
    let mut sent = [0; 3];
    while sent.iter().sum::<usize>() < 900_000 {
        let (key, packet) = outbox.next(clock.now()).expect("a backlog");
        sent[keys.iter().position(|known| *known == key).expect("one of these")] += packet.len() + 80;
    }
    for bytes in sent {
        assert!((280_000..340_000).contains(&bytes), "{sent:?}");
    }
}

#[test]
fn a_small_frame_passes_between_the_packets_of_a_large_one() {
    let (clock, mut outbox) = (VirtualClock::new(), Outbox::new());
    let [bulk, small] = [queue(), queue()].map(|queue| outbox.add(queue));
    outbox.push_frame(clock.now(), bulk, (0..100).map(|_| Bytes::from(vec![0; 1_100])));
    for _ in 0..5 {
        for _ in 0..4 {
            assert_eq!(outbox.next(clock.now()).map(|(key, _)| key), Some(bulk));
        }
        outbox.push_frame(clock.now(), small, [Bytes::from_static(b"stop")]);
        assert_eq!(outbox.next(clock.now()).map(|(key, _)| key), Some(small));
    }
}

#[test]
fn a_track_that_always_runs_empty_gets_its_share_and_not_more() {
    let (clock, mut outbox) = (VirtualClock::new(), Outbox::new());
    let [bulk, greedy] = [queue(), queue()].map(|queue| outbox.add(queue));
    outbox.push_frame(clock.now(), bulk, (0..1_000).map(|_| Bytes::from(vec![0; 1_100])));
    let mut turns = [0u32; 2];
    for _ in 0..500 {
        // As soon as its packet has left it has another one.
        if outbox.queue_mut(greedy).is_some_and(|queue| queue.is_empty()) {
            outbox.push_frame(clock.now(), greedy, [Bytes::from(vec![0; 1_100])]);
        }
        let (key, _) = outbox.next(clock.now()).expect("a backlog");
        turns[usize::from(key == greedy)] += 1;
    }
    assert!(turns[0].abs_diff(turns[1]) < 10, "{turns:?}");
}

#[test]
fn a_higher_priority_goes_first_and_a_lower_one_when_there_is_room() {
    let (clock, mut outbox) = (VirtualClock::new(), Outbox::new());
    let keys = Priority::ALL.map(|priority| outbox.add_with(queue(), priority));
    for key in keys {
        outbox.push_frame(clock.now(), key, (0..2).map(|_| Bytes::from(vec![0; 1_100])));
    }
    let order: Vec<_> = std::iter::from_fn(|| outbox.next(clock.now())).map(|(key, _)| key).collect();
    let expected: Vec<_> = keys.iter().rev().flat_map(|key| [*key, *key]).collect();
    assert_eq!(order, expected);
    assert!(outbox.is_empty());
}

#[test]
fn a_frame_that_waits_for_its_next_part_does_not_block_the_other_tracks() {
    let (clock, mut outbox) = (VirtualClock::new(), Outbox::new());
    let [slow, other] = [queue(), queue()].map(|queue| outbox.add(queue));
    outbox.push_part(clock.now(), slow, 0, true, false, Bytes::from_static(b"start"));
    outbox.push_frame(clock.now(), other, [Bytes::from_static(b"whole")]);
    assert_eq!(outbox.next(clock.now()).map(|(key, _)| key), Some(slow));
    assert_eq!(outbox.next(clock.now()).map(|(key, _)| key), Some(other));
    assert_eq!(outbox.next(clock.now()), None);
    outbox.push_part(clock.now(), slow, 0, false, true, Bytes::from_static(b"final"));
    assert_eq!(outbox.next(clock.now()), Some((slow, Bytes::from_static(b"final"))));
}

#[test]
fn a_removed_track_sends_nothing_and_its_key_names_no_later_one() {
    let (clock, mut outbox) = (VirtualClock::new(), Outbox::new());
    let gone = outbox.add(queue());
    outbox.push_frame(clock.now(), gone, [Bytes::from_static(b"x")]);
    let left = outbox.remove(gone).expect("was added");
    assert_eq!(left.frames(), 1);
    let new = outbox.add(queue());
    assert_ne!(gone, new);
    assert!(!outbox.push_frame(clock.now(), gone, [Bytes::from_static(b"x")]));
    assert!(outbox.remove(gone).is_none() && outbox.queue_mut(gone).is_none());
    assert_eq!(outbox.next(clock.now()), None);
    outbox.push_frame(clock.now(), new, [Bytes::from_static(b"y")]);
    assert_eq!(outbox.next(clock.now()), Some((new, Bytes::from_static(b"y"))));
}

#[test]
fn expiry_finds_the_old_frames_of_every_track() {
    let (mut clock, mut outbox) = (VirtualClock::new(), Outbox::new());
    let keys: Vec<_> = (0..256).map(|_| outbox.add(queue())).collect();
    for key in &keys {
        outbox.push_frame(clock.now(), *key, [Bytes::from_static(b"x")]);
        clock.advance(Duration::from_millis(1));
    }
    let mut timeouts = 0;
    while let Some(timeout) = outbox.poll_timeout() {
        clock.advance_to(timeout);
        outbox.handle_timeout(timeout);
        timeouts += 1;
    }
    assert!((1..=256).contains(&timeouts), "{timeouts}");
    assert!(outbox.is_empty());
    let stale = |queue: &LiveQueue<Bytes>| queue.counters().dropped.count(DropReason::Stale);
    assert_eq!(outbox.queues_mut().map(|(_, queue)| stale(queue)).sum::<u64>(), 256);
}

#[test]
fn queues_may_be_shared_with_those_who_push() {
    struct Shared(Arc<Mutex<LiveQueue<Bytes>>>);
    impl QueueAccess<Bytes> for Shared {
        fn access<R>(&mut self, f: impl FnOnce(&mut LiveQueue<Bytes>) -> R) -> R {
            f(&mut self.0.lock().expect("no holder panics"))
        }
    }
    let clock = VirtualClock::new();
    let shared = Arc::new(Mutex::new(queue()));
    let mut outbox = Outbox::new();
    let key = outbox.add(Shared(Arc::clone(&shared)));
    outbox.mark_ready(key);
    assert_eq!(outbox.next(clock.now()), None, "nothing was pushed");
    shared.lock().expect("no holder panics").push_frame(clock.now(), [Bytes::from_static(b"x")]);
    outbox.mark_ready(key);
    outbox.mark_ready(key);
    assert_eq!(outbox.next(clock.now()), Some((key, Bytes::from_static(b"x"))));
    assert_eq!(outbox.next(clock.now()), None);
}

fn queue() -> LiveQueue<Bytes> {
    LiveQueue::new(QueueConfig::default())
}
