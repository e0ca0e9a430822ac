use std::task::{Context, Poll, Waker};

use tokio::sync::mpsc;
use tramline_core::{outbox::Outbox, stats::DropReason, track::TrackInfo};
use tramline_wire::{MAX_PACKETS_PER_FRAME, Packet};

use super::*;

struct Harness {
    track: LocalDataTrack,
    shared: Arc<LocalTrack>,
    outbox: Outbox<SharedQueue>,
    key: tramline_core::outbox::SlotKey,
    inbox: mpsc::UnboundedReceiver<ToDriver>,
}

/// A track as the driver makes it. No frame grows too old, however slow the machine is that runs the test.
fn publish(options: DataTrackOptions) -> Harness {
    let (link, inbox) = Link::new();
    let info = livekit_protocol::DataTrackInfo {
        pub_handle: 3,
        sid: "DTR_scan".to_owned(),
        name: options.name.clone(),
        ..Default::default()
    };
    let info = DataTrackInfo(Arc::new(TrackInfo::try_from(info).expect("a valid track")));
    let handle = TrackHandle::new(3).expect("not zero");
    let options = options.with_max_age(None);
    let packet_size = PacketSize::new();
    packet_size.set_rate(u64::MAX);
    let shared = Arc::new(LocalTrack::new(
        info,
        handle,
        &options,
        None,
        MediaClock::new(Instant::now()),
        7,
        packet_size,
    ));
    let mut outbox = Outbox::new();
    let key = outbox.add(SharedQueue(Arc::clone(&shared)));
    Harness { track: LocalDataTrack::new(Arc::clone(&shared), link), shared, outbox, key, inbox }
}

impl Harness {
    fn take(&mut self) -> Option<Bytes> {
        self.shared.acknowledge_signal();
        self.outbox.mark_ready(self.key);
        self.outbox.next(Instant::now()).map(|(_, packet)| packet)
    }

    fn take_payloads(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.take())
            .map(|packet| Packet::parse(&packet).expect("a packet").payload.to_vec())
            .collect()
    }
}

#[test]
fn pushed_frames_become_packets_and_wake_the_driver_once() {
    let mut harness = publish("scan".into());
    harness.track.try_push("one").expect("room");
    harness.track.try_push(DataTrackFrame::new("two").with_user_timestamp(0)).expect("room");
    assert!(matches!(harness.inbox.try_recv(), Ok(ToDriver::Ready(handle)) if handle.get() == 3));
    assert!(harness.inbox.try_recv().is_err(), "one message for both");
    let first = harness.take().expect("a packet");
    let packet = Packet::parse(&first).expect("a packet");
    assert_eq!(
        (packet.header.handle.get(), packet.header.sequence, packet.payload),
        (3, 0, b"one".as_slice())
    );
    let second = harness.take().expect("a packet");
    assert_eq!(Packet::parse(&second).expect("a packet").header.extensions.user_timestamp, Some(0));
    assert_eq!(harness.take(), None);
    harness.track.try_push("three").expect("room");
    assert!(harness.inbox.try_recv().is_ok(), "the driver has looked since");
    let stats = harness.track.stats();
    assert_eq!((stats.accepted, stats.sent, stats.waiting_frames, stats.refused), (3, 2, 1, 0));
}

#[test]
fn borrowed_bytes_are_pushed_like_frames() {
    let mut harness = publish("scan".into());
    let mut reused = vec![1_u8; 20_000];
    harness.track.try_push_bytes(&reused, Some(7)).expect("room");
    reused.fill(2);
    let first = harness.take().expect("a packet");
    let packet = Packet::parse(&first).expect("a packet");
    assert_eq!(packet.header.extensions.user_timestamp, Some(7));
    let rest: usize = harness.take_payloads().iter().map(Vec::len).sum();
    assert_eq!(packet.payload.len() + rest, 20_000);
    assert!(packet.payload.iter().all(|byte| *byte == 1), "the caller's buffer is its own again");
    harness.track.unpublish();
    assert_eq!(harness.track.try_push_bytes(&reused, None), Err(PushFrameErrorReason::TrackUnpublished));
}

#[test]
fn a_full_queue_gives_up_the_oldest_or_refuses_the_newest_as_published() {
    let mut evicting = publish(DataTrackOptions::new("scan").with_max_queued_frames(2));
    for payload in ["1", "2", "3"] {
        evicting.track.try_push(payload).expect("the oldest goes");
    }
    assert_eq!(evicting.take_payloads(), [b"2", b"3"]);
    assert_eq!(evicting.track.stats().dropped.count(DropReason::QueueFull), 1);

    let mut refusing =
        publish(DataTrackOptions::new("scan").with_max_queued_frames(2).with_on_full(OnFull::Refuse));
    refusing.track.try_push("1").expect("room");
    refusing.track.try_push("2").expect("room");
    let error = refusing.track.try_push("3").expect_err("full");
    assert_eq!((error.reason(), error.into_frame()), (PushFrameErrorReason::QueueFull, "3".into()));
    assert_eq!(refusing.take_payloads(), [b"1", b"2"]);
    refusing.track.try_push("4").expect("room again");
    let stats = refusing.track.stats();
    assert_eq!((stats.refused, stats.dropped.total()), (1, 0));
}

#[test]
fn a_frame_that_no_receiver_could_take_is_refused_with_size_and_limit() {
    let harness = publish("scan".into());
    let limit = MAX_PACKETS_PER_FRAME * (MAX_PACKET_LEN - 12);
    harness.track.try_push(vec![0; limit]).expect("the largest frame");
    let error = harness.track.try_push(vec![0; limit + 1]).expect_err("one byte more");
    assert_eq!(error.reason(), PushFrameErrorReason::TooLarge { size: limit + 1, limit });

    let small = publish(DataTrackOptions::new("scan").with_max_queued_bytes(100));
    let error = small.track.try_push([0; 89]).expect_err("88 bytes and a header fill the queue");
    assert_eq!(error.reason(), PushFrameErrorReason::TooLarge { size: 89, limit: 88 });
    small.track.try_push([0; 88]).expect("what the limit says");
}

#[test]
fn a_patient_push_waits_until_the_queue_has_drained_and_is_woken() {
    let mut harness = publish("scan".into());
    let large = vec![0; 2 * DEFAULT_WAITING_ROOM];
    harness.track.try_push(large.clone()).expect("room");
    let track = harness.track.clone();
    let mut push = Box::pin(async move { track.push("patient").await });
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(push.as_mut().poll(&mut context), Poll::Pending);
    assert_eq!(harness.track.stats().waiting_frames, 1, "nothing was pushed yet");
    while harness.take().is_some() {}
    assert_eq!(push.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    assert_eq!(harness.take_payloads(), [b"patient"]);
    assert_eq!(harness.track.stats().dropped.total(), 0);
}

#[test]
fn patient_pushes_of_many_threads_all_arrive() {
    let mut harness = publish("scan".into());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let track = harness.track.clone();
            std::thread::spawn(move || {
                for _ in 0..200 {
                    let pushed = tramline_net::runtime::block_on(track.push(vec![0; 4_000]), None);
                    pushed.expect("outside of a runtime").expect("published");
                }
            })
        })
        .collect();
    let mut taken = 0;
    while taken < 800 {
        match harness.take() {
            Some(_) => taken += 1,
            // The next one is signalled through the inbox.
            None => drop(harness.inbox.blocking_recv()),
        }
    }
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert_eq!(harness.track.stats().dropped.total(), 0);
}

#[test]
fn an_abandoned_patient_push_pushes_nothing() {
    let mut harness = publish("scan".into());
    harness.track.try_push(vec![0; 2 * DEFAULT_WAITING_ROOM]).expect("room");
    {
        let mut push = std::pin::pin!(harness.track.push("never"));
        assert!(push.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(harness.shared.waiting.load(Ordering::Acquire), 0);
    while harness.take().is_some() {}
    assert_eq!(harness.track.stats().accepted, 1);
}

#[test]
fn the_last_handle_unpublishes_and_frames_are_refused_from_then_on() {
    let mut harness = publish("scan".into());
    let other = harness.track.clone();
    drop(other);
    assert!(harness.inbox.try_recv().is_err(), "one handle is left");
    harness.track.unpublish();
    harness.track.unpublish();
    assert!(matches!(harness.inbox.try_recv(), Ok(ToDriver::Unpublish(handle)) if handle.get() == 3));
    let error = harness.track.try_push("late").expect_err("over");
    assert_eq!(error.reason(), PushFrameErrorReason::TrackUnpublished);
    assert!(!harness.track.is_published());
    tramline_net::runtime::block_on(harness.track.wait_for_unpublish(), None).expect("outside of a runtime");
    drop(harness.track);
    assert!(harness.inbox.try_recv().is_err(), "told once");

    let mut dropped = publish("scan".into());
    drop(dropped.track);
    assert!(matches!(dropped.inbox.try_recv(), Ok(ToDriver::Unpublish(_))));
}

#[test]
fn a_patient_push_ends_with_the_track() {
    let harness = publish("scan".into());
    harness.track.try_push(vec![0; 2 * DEFAULT_WAITING_ROOM]).expect("room");
    let mut push = std::pin::pin!(harness.track.push("too late"));
    let mut context = Context::from_waker(Waker::noop());
    assert!(push.as_mut().poll(&mut context).is_pending());
    harness.shared.stop_accepting();
    match push.as_mut().poll(&mut context) {
        Poll::Ready(Err(error)) => assert_eq!(error.reason(), PushFrameErrorReason::TrackUnpublished),
        other => panic!("{other:?}"),
    }
}

#[test]
fn refusals_are_reported_rarely_and_completely() {
    let mut refusals = Refusals::default();
    let start = Instant::now();
    refusals.total = 1;
    assert_eq!(refusals.due(start), Some(1));
    refusals.total = 50;
    assert_eq!(refusals.due(start + REPORT_EVERY / 2), None);
    assert_eq!(refusals.due(start + REPORT_EVERY), Some(49));
}
