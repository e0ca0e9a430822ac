use super::*;
use tramline_sim::VirtualClock;

const MS: Duration = Duration::from_millis(1);

#[test]
fn frames_leave_whole_and_in_the_order_in_which_they_came() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    assert!(queue.push_frame(clock.now(), [part(1, 10), part(2, 20)]));
    assert!(queue.push_frame(clock.now(), [part(3, 30)]));
    assert_eq!((queue.frames(), queue.bytes(), queue.next_len()), (2, 60, Some(10)));
    assert_eq!(drain(&mut queue, clock.now()), [1, 2, 3]);
    assert_eq!(queue.counters(), Counters { accepted: 2, sent: 2, bytes: 60, ..Counters::default() });
    assert_eq!((queue.frames(), queue.bytes(), queue.next_len()), (0, 0, None));
}

#[test]
fn a_frame_that_has_not_started_within_max_age_is_dropped_whole() {
    let (mut clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    queue.push_frame(clock.now(), [part(1, 1), part(2, 1), part(3, 1)]);
    clock.advance(40 * MS);
    queue.push_frame(clock.now(), [part(4, 1)]);
    assert_eq!(queue.poll_timeout(), Some(clock.at(100 * MS)));

    queue.handle_timeout(clock.at(100 * MS) - Duration::from_nanos(1));
    assert_eq!(queue.frames(), 2);
    queue.handle_timeout(clock.at(100 * MS));
    assert_eq!(queue.counters().dropped.count(DropReason::Stale), 1);
    assert_eq!(queue.poll_timeout(), Some(clock.at(140 * MS)));
    assert_eq!(drain(&mut queue, clock.at(101 * MS)), [4]);
    assert_eq!(queue.poll_timeout(), None);
}

#[test]
fn popping_never_hands_out_what_is_too_old() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    queue.push_frame(clock.now(), [part(1, 1)]);
    assert_eq!(queue.pop(clock.at(100 * MS)), None);
    assert_eq!(queue.counters().dropped.count(DropReason::Stale), 1);
}

#[test]
fn the_newest_frame_is_taken_and_the_older_ones_are_handed_over_as_superseded() {
    let (mut clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    let mut superseded = Vec::new();
    assert!(queue.pop_newest(clock.now(), |_| panic!("there is nothing")).is_none());
    for number in 1..=4 {
        queue.push_frame(clock.now(), [part(number, 10)]);
        clock.advance(40 * MS);
    }
    let newest = queue.pop_newest(clock.now(), |part| superseded.push(part.tag));
    assert_eq!(newest.map(|(part, entered)| (part.tag, entered)), Some((4, clock.now() - 40 * MS)));
    assert_eq!(superseded, [3], "the others were too old already");
    let counters = queue.counters();
    assert_eq!((counters.accepted, counters.sent, counters.bytes), (4, 1, 10));
    assert_eq!(counters.dropped.count(DropReason::Superseded), 1);
    assert_eq!((queue.frames(), queue.bytes()), (0, 0));
}

#[test]
fn without_max_age_a_frame_waits_for_ever() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default().with_max_age(None)));
    queue.push_frame(clock.now(), [part(1, 1)]);
    assert_eq!(queue.poll_timeout(), None);
    assert_eq!(drain(&mut queue, clock.at(Duration::from_secs(9_999))), [1]);
}

#[test]
fn a_full_queue_evicts_its_oldest_frames() {
    let (clock, mut queue) =
        (VirtualClock::new(), LiveQueue::new(QueueConfig::default().with_max_bytes(100)));
    for number in 1..=4 {
        queue.push_frame(clock.now(), [part(number, 25)]);
    }
    assert!(!queue.would_overflow(0) && queue.would_overflow(1));
    assert!(queue.push_frame(clock.now(), [part(5, 20), part(6, 20)]));
    assert_eq!(queue.counters().dropped.count(DropReason::QueueFull), 2);
    assert_eq!(drain(&mut queue, clock.now()), [3, 4, 5, 6]);
}

#[test]
fn frames_are_bounded_as_well_as_bytes() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default().with_max_frames(2)));
    for number in 1..=5 {
        assert!(queue.push_frame(clock.now(), [part(number, 0)]));
    }
    assert!(queue.would_overflow(0));
    assert_eq!(queue.counters().dropped.count(DropReason::QueueFull), 3);
    assert_eq!(drain(&mut queue, clock.now()), [4, 5]);
}

#[test]
fn narrower_bounds_apply_at_once() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    for number in 1..=5 {
        queue.push_frame(clock.now(), [part(number, 10)]);
    }
    queue.set_config(clock.now(), QueueConfig::default().with_max_frames(3).with_max_bytes(20));
    assert_eq!((queue.frames(), queue.bytes()), (2, 20));
    queue.set_config(clock.at(5 * MS), queue.config().with_max_age(5 * MS));
    assert_eq!(queue.frames(), 0);
}

#[test]
fn a_frame_larger_than_the_queue_is_turned_away_and_costs_nobody_a_place() {
    let (clock, mut queue) =
        (VirtualClock::new(), LiveQueue::new(QueueConfig::default().with_max_bytes(100)));
    queue.push_frame(clock.now(), [part(1, 100)]);
    assert!(!queue.push_frame(clock.now(), [part(2, 60), part(3, 60)]));
    assert_eq!(queue.counters().dropped.iter().collect::<Vec<_>>(), [(DropReason::Oversize, 1)]);
    assert_eq!(drain(&mut queue, clock.now()), [1]);
}

#[test]
fn a_frame_that_has_started_is_never_evicted() {
    let (clock, mut queue) =
        (VirtualClock::new(), LiveQueue::new(QueueConfig::default().with_max_bytes(100)));
    queue.push_frame(clock.now(), [part(1, 20), part(2, 50)]);
    assert_eq!(pop(&mut queue, clock.now()), Some(1));
    queue.push_frame(clock.now(), [part(3, 40)]);
    assert!(queue.push_frame(clock.now(), [part(4, 50)]), "the waiting frame makes room");
    assert!(!queue.push_frame(clock.now(), [part(5, 51)]), "the started one does not");
    assert_eq!(queue.counters().dropped.count(DropReason::QueueFull), 3);
    assert_eq!(drain(&mut queue, clock.now()), [2]);
}

#[test]
fn a_started_frame_has_max_age_again_from_its_start() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    queue.push_frame(clock.now(), [part(1, 1), part(2, 1), part(3, 1)]);
    assert_eq!(pop(&mut queue, clock.at(90 * MS)), Some(1));
    assert_eq!(queue.poll_timeout(), Some(clock.at(190 * MS)));
    queue.handle_timeout(clock.at(189 * MS));
    assert_eq!(queue.frames(), 1);
    assert_eq!(pop(&mut queue, clock.at(190 * MS)), None);
    assert_eq!(queue.counters().dropped.count(DropReason::Stale), 1);
    assert_eq!(queue.counters().sent, 0);
}

#[test]
fn a_started_frame_has_twice_the_time_that_its_bytes_need_at_the_measured_rate() {
    let (mut clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    // 20 packets at one per 30 ms: 600 ms, six times max_age, is no reason to drop it.
    queue.push_frame(clock.now(), (0..20).map(|number| part(number, 1_000)));
    for number in 0..20 {
        assert_eq!(pop(&mut queue, clock.now()), Some(number));
        clock.advance(30 * MS);
    }
    assert_eq!(queue.counters().sent, 1);
    assert_eq!(queue.drain_rate(), Some(33_333));

    // The next one starts, then the link stalls: 10 packets need 300 ms.
    let start = clock.now();
    queue.push_frame(start, (0..10).map(|number| part(number, 1_000)));
    assert_eq!(pop(&mut queue, start), Some(0));
    let deadline = queue.poll_timeout().expect("parts wait");
    assert_eq!((deadline - start).as_millis(), 600);
    queue.handle_timeout(deadline - MS);
    assert_eq!(queue.frames(), 1);
    queue.handle_timeout(deadline);
    assert_eq!(queue.counters().dropped.count(DropReason::Stale), 1);
    assert_eq!((queue.frames(), queue.bytes()), (0, 0));
}

#[test]
fn parts_that_come_after_their_frame_was_dropped_are_dropped_with_it() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    assert!(queue.push_part(clock.now(), 7, true, false, part(1, 10)));
    queue.handle_timeout(clock.at(100 * MS));
    assert!(!queue.push_part(clock.at(101 * MS), 7, false, false, part(2, 10)));
    assert!(!queue.push_part(clock.at(102 * MS), 7, false, true, part(3, 10)));
    assert!(queue.push_part(clock.at(103 * MS), 8, true, true, part(4, 10)));
    assert_eq!(drain(&mut queue, clock.at(103 * MS)), [4]);
    assert_eq!(queue.counters().dropped.total(), 1);
}

#[test]
fn the_rest_of_a_frame_that_went_stale_half_sent_is_dropped_when_it_comes() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    queue.push_part(clock.now(), 7, true, false, part(1, 10));
    queue.push_part(clock.now(), 7, false, false, part(2, 10));
    assert_eq!(pop(&mut queue, clock.now()), Some(1));
    queue.handle_timeout(clock.at(100 * MS));
    assert!(!queue.push_part(clock.at(101 * MS), 7, false, true, part(3, 10)));
    assert!(queue.is_empty());
    assert_eq!(queue.counters().dropped.iter().collect::<Vec<_>>(), [(DropReason::Stale, 1)]);
}

#[test]
fn a_started_frame_whose_next_part_has_not_come_blocks_nobody() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    queue.push_part(clock.now(), 1, true, false, part(1, 10));
    assert_eq!(drain(&mut queue, clock.now()), [1]);
    assert!(queue.is_empty());
    queue.push_part(clock.now(), 2, true, false, part(2, 10));
    queue.push_part(clock.now(), 1, false, true, part(3, 10));
    assert_eq!(drain(&mut queue, clock.now()), [3, 2], "the older frame goes on when it can");
    queue.push_part(clock.now(), 2, false, true, part(4, 10));
    assert_eq!(drain(&mut queue, clock.now()), [4]);
    assert_eq!(queue.counters(), Counters { accepted: 2, sent: 2, bytes: 40, ..Counters::default() });
}

#[test]
fn a_frame_that_comes_slowly_is_not_late_for_it() {
    let (mut clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    for number in 0..20 {
        assert!(queue.push_part(clock.now(), 1, number == 0, number == 19, part(number, 1_000)));
        assert_eq!(drain(&mut queue, clock.now()), [number]);
        clock.advance(90 * MS);
    }
    assert_eq!(queue.counters().sent, 1);
    assert_eq!(queue.counters().dropped.total(), 0);
}

#[test]
fn parts_that_overtook_each_other_share_the_fate_of_their_frame() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default().with_max_bytes(50)));
    queue.push_part(clock.now(), 1, false, true, part(1, 10));
    queue.push_part(clock.now(), 1, true, false, part(2, 10));
    queue.push_part(clock.now(), 2, true, true, part(3, 50));
    assert_eq!(queue.counters().dropped.iter().collect::<Vec<_>>(), [(DropReason::QueueFull, 1)]);
    assert!(!queue.push_part(clock.now(), 1, false, false, part(4, 10)));
    assert_eq!(drain(&mut queue, clock.now()), [3]);
}

#[test]
fn a_part_that_comes_after_the_end_of_its_frame_follows_it() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    queue.push_part(clock.now(), 1, true, false, part(1, 10));
    queue.push_part(clock.now(), 1, false, true, part(3, 10));
    assert_eq!(drain(&mut queue, clock.now()), [1, 3]);
    assert!(queue.push_part(clock.now(), 1, false, false, part(2, 10)));
    assert_eq!(drain(&mut queue, clock.now()), [2]);
    assert_eq!(queue.counters(), Counters { accepted: 1, sent: 1, bytes: 30, ..Counters::default() });
}

#[test]
fn making_room_for_a_part_may_cost_its_own_frame() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default().with_max_bytes(50)));
    queue.push_part(clock.now(), 1, true, false, part(1, 30));
    queue.push_part(clock.now(), 2, true, true, part(2, 10));
    assert!(!queue.push_part(clock.now(), 1, false, false, part(3, 20)));
    assert!(!queue.push_part(clock.now(), 1, false, true, part(4, 1)));
    assert_eq!(queue.counters().dropped.iter().collect::<Vec<_>>(), [(DropReason::QueueFull, 1)]);
    assert_eq!(drain(&mut queue, clock.now()), [2]);
}

#[test]
fn a_started_frame_that_outgrows_the_queue_is_given_up() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default().with_max_bytes(50)));
    queue.push_part(clock.now(), 1, true, false, part(1, 20));
    queue.push_part(clock.now(), 1, false, false, part(2, 30));
    assert_eq!(pop(&mut queue, clock.now()), Some(1));
    assert!(!queue.push_part(clock.now(), 1, false, false, part(3, 30)));
    assert!(queue.is_empty());
    assert_eq!(queue.counters().dropped.iter().collect::<Vec<_>>(), [(DropReason::QueueFull, 1)]);
}

#[test]
fn a_frame_without_end_is_garbage_after_a_while() {
    for popped in [false, true] {
        let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
        queue.push_part(clock.now(), 0, true, false, part(0, 1));
        queue.push_part(clock.now(), 1, true, true, part(0, 1));
        queue.push_part(clock.now(), 2, true, false, part(2, 1));
        if popped {
            pop(&mut queue, clock.now());
        }
        let entered =
            (0..1_000).filter(|_| queue.push_part(clock.now(), 0, false, false, part(0, 1))).count();
        assert_eq!(entered as u32, MAX_PARTS_PER_FRAME - 1);
        assert_eq!(queue.counters().dropped.iter().collect::<Vec<_>>(), [(DropReason::Oversize, 1)]);
        assert!(queue.push_part(clock.now(), 2, false, true, part(3, 1)), "the frame behind keeps its place");
        assert_eq!(drain(&mut queue, clock.now()), [0, 2, 3]);
        assert_eq!(queue.bytes(), 0);
    }
}

#[test]
fn frames_whose_end_never_came_are_counted_once_they_are_given_up() {
    let (mut clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    for frame in 0..100 {
        queue.push_part(clock.now(), frame, true, false, part(1, 10));
        drain(&mut queue, clock.now());
    }
    assert_eq!(queue.counters().dropped.count(DropReason::Incomplete), 68, "32 are remembered");
    clock.advance(Duration::from_secs(10));
    queue.push_part(clock.now(), 100, true, false, part(1, 10));
    assert_eq!(queue.counters().dropped.count(DropReason::Incomplete), 100);
}

#[test]
fn a_number_that_comes_again_after_half_the_range_is_another_frame() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default().with_max_frames(1)));
    queue.push_part(clock.now(), 5, true, false, part(1, 10));
    queue.push_frame(clock.now(), [part(2, 10)]);
    assert!(!queue.push_part(clock.now(), 5, false, true, part(3, 10)), "its frame was evicted");
    for _ in 0..1 << 15 {
        queue.push_frame(clock.now(), [part(4, 10)]);
    }
    assert!(queue.push_part(clock.now(), 5, true, false, part(5, 10)));
}

#[test]
fn clearing_counts_every_frame_and_keeps_out_their_later_parts() {
    let (clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    queue.push_part(clock.now(), 1, true, false, part(1, 10));
    queue.push_part(clock.now(), 1, false, false, part(2, 10));
    queue.push_frame(clock.now(), [part(3, 10)]);
    pop(&mut queue, clock.now());
    queue.clear(DropReason::TrackEnded);
    assert_eq!(queue.counters().dropped.count(DropReason::TrackEnded), 2);
    assert_eq!((queue.is_empty(), queue.bytes()), (true, 0));
    assert!(!queue.push_part(clock.now(), 1, false, true, part(4, 10)));
}

#[test]
fn a_queue_at_its_working_size_does_not_grow() {
    let (mut clock, mut queue) = (VirtualClock::new(), LiveQueue::new(QueueConfig::default()));
    for round in 0..1_000u16 {
        for index in 0..4 {
            queue.push_part(clock.now(), round, index == 0, index == 3, part(0, 1_000));
        }
        queue.push_frame(clock.now(), [part(1, 100)]);
        for _ in 0..5 {
            queue.pop(clock.advance(MS));
        }
    }
    assert!(queue.parts.places() <= 5, "{}", queue.parts.places());
    assert_eq!(queue.counters().sent, 2_000);
}

fn part(tag: u8, len: usize) -> Tagged {
    Tagged { tag, len }
}

fn pop(queue: &mut LiveQueue<Tagged>, now: Instant) -> Option<u8> {
    queue.pop(now).map(|part| part.tag)
}

fn drain(queue: &mut LiveQueue<Tagged>, now: Instant) -> Vec<u8> {
    std::iter::from_fn(|| pop(queue, now)).collect()
}

#[derive(Debug, PartialEq)]
struct Tagged {
    tag: u8,
    len: usize,
}

impl Part for Tagged {
    fn byte_len(&self) -> usize {
        self.len
    }
}
