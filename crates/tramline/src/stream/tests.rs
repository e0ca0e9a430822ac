use std::task::Waker;

use super::*;
use crate::remote_track::RemoteTrack;

fn stream(
    config: QueueConfig,
) -> (DataTrackStream, StreamQueue, tokio::sync::mpsc::UnboundedReceiver<ToDriver>) {
    let (link, inbox) = Link::new();
    let shared = Arc::new(SharedStream::new(config));
    let track = RemoteDataTrack::new(Arc::new(RemoteTrack::for_tests("scan", "robot")), link.clone());
    (DataTrackStream::new(Arc::clone(&shared), track, link), StreamQueue(shared), inbox)
}

fn deliver(queue: &mut StreamQueue, payload: &'static str) {
    assert!(queue.access(|queue| queue.push_frame(Instant::now(), [Frame::new(payload)])));
    queue.0.exchange.wake();
}

/// No frame grows too old, however slow the machine is that runs the test.
fn ageless() -> QueueConfig {
    QueueConfig::default().with_max_age(None)
}

#[test]
fn frames_come_in_order_and_the_end_after_them() {
    let (stream, mut queue, _inbox) = stream(ageless());
    assert_eq!(stream.try_read(), Err(TryReadError::Empty));
    deliver(&mut queue, "a");
    deliver(&mut queue, "b");
    queue.0.exchange.end(StreamEnd::Unpublished);
    assert_eq!(stream.read_blocking(), Ok(Some("a".into())));
    assert_eq!(stream.try_read(), Ok("b".into()));
    assert_eq!(stream.read_blocking(), Ok(None));
    assert_eq!((stream.try_read(), stream.end()), (Err(TryReadError::Ended), Some(StreamEnd::Unpublished)));
    assert_eq!((stream.stats().accepted, stream.stats().delivered, stream.stats().bytes), (2, 2, 2));
}

#[test]
fn a_blocked_reader_is_woken_from_another_thread() {
    let (stream, mut queue, _inbox) = stream(ageless());
    let reader = std::thread::spawn(move || (stream.read_blocking(), stream.read_blocking()));
    deliver(&mut queue, "late");
    queue.0.exchange.end(StreamEnd::Disconnected(DisconnectReason::ServerShutdown));
    assert_eq!(reader.join().expect("no panic"), (Ok(Some("late".into())), Ok(None)));
}

#[test]
fn blocking_reads_time_out_and_refuse_to_freeze_a_runtime() {
    let (stream, _queue, _inbox) = stream(ageless());
    let after = Duration::from_millis(3);
    assert_eq!(stream.read_timeout(after), Err(ReadError::Timeout { after }));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    assert_eq!(runtime.block_on(async { stream.read_timeout(after) }), Err(ReadError::InsideRuntime));
}

#[test]
fn a_cancelled_read_loses_nothing() {
    let (mut stream, mut queue, _inbox) = stream(ageless());
    {
        let mut read = std::pin::pin!(stream.read());
        assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    deliver(&mut queue, "kept");
    assert_eq!(stream.try_read(), Ok("kept".into()));
}

#[test]
fn a_slow_reader_loses_its_oldest_frames_and_dropping_it_unsubscribes() {
    let (stream, mut queue, mut inbox) = stream(ageless().with_max_frames(2));
    for payload in ["1", "2", "3"] {
        deliver(&mut queue, payload);
    }
    assert_eq!(stream.try_read(), Ok("2".into()));
    assert_eq!(stream.stats().dropped.count(tramline_core::stats::DropReason::QueueFull), 1);
    let id = queue.0.id;
    drop(stream);
    assert!(matches!(inbox.try_recv(), Ok(ToDriver::Unsubscribe { stream, .. }) if stream == id));
}

fn number(queue: &mut StreamQueue, now: Instant, number: u16) {
    let mut frame = Frame::new(vec![0; 10]);
    frame.number = number;
    assert!(queue.access(|queue| queue.push_frame(now, [frame])));
}

#[test]
fn each_frame_says_how_many_are_missing_before_it_and_the_numbers_may_wrap() {
    let (stream, mut queue, _inbox) = stream(ageless());
    let now = Instant::now();
    let came = [7, 8, 11, 10, 12, 65_534, 45_000, 65_535, 2, 3, 3];
    let gaps: Vec<_> = came
        .into_iter()
        .map(|each| {
            number(&mut queue, now, each);
            let frame = stream.try_read().expect("a frame");
            assert_eq!(frame.number(), Some(each));
            frame.gap()
        })
        .collect();
    // 10 and 65,534 were overtaken; 45,000 is too far from 12 to say anything.
    assert_eq!(gaps, [0, 0, 2, 0, 0, 0, 0, 20_534, 2, 0, 0]);
    assert_eq!(stream.stats().missing, 20_536, "those that came late are not missing");
}

#[test]
fn what_the_reader_was_too_slow_for_is_a_gap() {
    let (stream, mut queue, _inbox) = stream(ageless().with_max_frames(2));
    for each in 0..5 {
        number(&mut queue, Instant::now(), each);
        if each == 0 {
            assert_eq!(stream.try_read().map(|frame| frame.gap()), Ok(0));
        }
    }
    assert_eq!(stream.try_read().map(|frame| (frame.number(), frame.gap())), Ok((Some(3), 2)));
    assert_eq!(stream.try_read().map(|frame| (frame.number(), frame.gap())), Ok((Some(4), 0)));
}

#[test]
fn the_latest_frame_is_returned_until_it_is_too_old() {
    let (stream, mut queue, _inbox) = stream(QueueConfig::default());
    let (start, ms) = (Instant::now(), Duration::from_millis(1));
    let latest = |at: u32| {
        stream.shared.exchange.newest(start + at * ms, 150 * ms).map(|(frame, gap)| (frame.number, gap))
    };
    assert_eq!(latest(0), None);
    for each in [3, 4, 7] {
        number(&mut queue, start + 5 * ms, each);
    }
    assert_eq!(latest(10), Some((7, 2)), "only what was lost is missing");
    assert_eq!(latest(155), Some((7, 2)), "older than the queue allows, and not than the reader does");
    assert_eq!(latest(156), None, "stop the machine");
    number(&mut queue, start + 160 * ms, 8);
    assert_eq!(latest(305), Some((8, 0)), "it may also wait for as long in the queue");
    assert_eq!(
        stream.stats().dropped.iter().collect::<Vec<_>>(),
        [(tramline_core::stats::DropReason::Superseded, 2)]
    );
    stream.close();
    assert_eq!(latest(305), None);
}

#[test]
fn a_missed_deadline_is_told_once_and_in_its_place() {
    let (stream, mut queue, _inbox) = stream(ageless());
    let now = Instant::now();
    number(&mut queue, now, 0);
    queue.0.exchange.miss_deadline();
    number(&mut queue, now, 1);
    let events: Vec<_> = std::iter::from_fn(|| stream.try_read_event().ok()).collect();
    assert!(
        matches!(
            events.as_slice(),
            [StreamEvent::Frame(_), StreamEvent::DeadlineMissed, StreamEvent::Frame(_)]
        ),
        "{events:?}"
    );
    queue.0.exchange.miss_deadline();
    queue.0.exchange.miss_deadline();
    queue.0.exchange.end(StreamEnd::Unpublished);
    let second = Duration::from_secs(1);
    assert_eq!(stream.read_event_timeout(second), Ok(Some(StreamEvent::DeadlineMissed)));
    assert_eq!(stream.read_event_timeout(second), Ok(None), "the later one stands for both");
    assert_eq!(stream.stats().missed_deadlines, 3);
}

#[test]
fn a_missed_deadline_does_not_wait_for_frames_that_were_dropped() {
    let (stream, mut queue, _inbox) = stream(ageless().with_max_frames(1));
    number(&mut queue, Instant::now(), 0);
    queue.0.exchange.miss_deadline();
    number(&mut queue, Instant::now(), 1);
    assert_eq!(stream.try_read_event(), Ok(StreamEvent::DeadlineMissed));
    assert_eq!(stream.try_read().map(|frame| frame.number()), Ok(Some(1)));
    queue.0.exchange.miss_deadline();
    assert_eq!(stream.try_read(), Err(TryReadError::Empty), "whoever asks for frames gets only those");
}

#[test]
fn closing_wakes_all_readers_forgets_what_waits_and_unsubscribes_once() {
    let (stream, mut queue, mut inbox) = stream(ageless());
    let stream = Arc::new(stream);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let stream = Arc::clone(&stream);
            std::thread::spawn(move || stream.read_blocking())
        })
        .collect();
    let closer = stream.closer();
    closer.close();
    closer.clone().close();
    for reader in readers {
        assert_eq!(reader.join().expect("no panic"), Ok(None));
    }
    deliver(&mut queue, "the driver has not heard of it yet");
    assert_eq!((stream.try_read(), stream.end()), (Err(TryReadError::Ended), Some(StreamEnd::Closed)));
    queue.0.exchange.end(StreamEnd::Unpublished);
    assert_eq!(stream.end(), Some(StreamEnd::Closed), "the first reason stays");
    drop(stream);
    assert!(matches!(inbox.try_recv(), Ok(ToDriver::Unsubscribe { .. })));
    assert!(inbox.try_recv().is_err(), "told once");
}

#[test]
fn closing_wakes_a_task_too() {
    let (mut stream, _queue, _inbox) = stream(ageless());
    let closer = stream.closer();
    let reader = std::thread::spawn(move || tramline_net::runtime::block_on(stream.read(), None));
    closer.close();
    assert_eq!(reader.join().expect("no panic"), Ok(None));
}
