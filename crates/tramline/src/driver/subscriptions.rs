//! Remote tracks that are read: from packets to the streams of their readers.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::oneshot;
use tramline_core::{
    e2ee::{self, Decryptor, KeyProvider},
    fanout::Fanout,
    frame::Frame,
    outbox::SlotKey,
    reassemble::{Reassembler, split},
    session::{Session, SubscribeError},
    stats::{DropReason, Drops},
};
use tramline_wire::{TrackHandle, TrackSid};

use super::members::Members;
use crate::{
    DisconnectReason,
    event::{EventQueue, RoomEvent},
    link::Link,
    options::{DataTrackSubscribeOptions, RemoteDataTrackPipelineOptions},
    remote_track::RemoteDataTrack,
    stats::RemoteTrackStats,
    stream::{DataTrackStream, SharedStream, StreamEnd, StreamId, StreamQueue},
};

type Reply = oneshot::Sender<Result<DataTrackStream, SubscribeError>>;

/// One subscription for each remote track that somebody reads or wants to.
pub(super) struct Subscriptions {
    tracks: HashMap<TrackSid, usize>,
    by_handle: HashMap<TrackHandle, usize>,
    /// Places are used again; `tracks` and `by_handle` name only those in use.
    places: Vec<Option<Subscription>>,
    /// Streams that got something in this turn, whose readers may have to be woken.
    touched: Vec<Arc<SharedStream>>,
    /// Subscriptions whose counters have changed in this turn.
    changed: Vec<usize>,
    /// No frame under way is given up before this, and no deadline is missed; may be early, never late.
    due: Option<Instant>,
    stray: Drops,
    events: Arc<EventQueue>,
    keys: Option<KeyProvider>,
    link: Link,
}

struct Subscription {
    track: RemoteDataTrack,
    handle: Option<TrackHandle>,
    waiting: Vec<(DataTrackSubscribeOptions, Reply)>,
    reassembler: Reassembler,
    fanout: Fanout<StreamQueue>,
    /// Of a track that is encrypted, when there are keys.
    decryptor: Option<Decryptor>,
    streams: Vec<OpenStream>,
    /// When the last frame came.
    last_frame: Option<Instant>,
    /// A deadline was missed since.
    is_silent: bool,
    undecryptable: u64,
    is_changed: bool,
}

struct OpenStream {
    id: StreamId,
    key: SlotKey,
    opened: Instant,
    /// How long the track may be silent.
    deadline: Option<Duration>,
    /// The silence since then has been told.
    told: Option<Instant>,
}

impl Subscriptions {
    pub(super) fn new(link: Link, events: Arc<EventQueue>, keys: Option<KeyProvider>) -> Self {
        Self {
            tracks: HashMap::new(),
            by_handle: HashMap::new(),
            places: Vec::new(),
            touched: Vec::new(),
            changed: Vec::new(),
            due: None,
            stray: Drops::default(),
            events,
            keys,
            link,
        }
    }

    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        session: &mut Session,
        members: &Members,
        sid: TrackSid,
        options: DataTrackSubscribeOptions,
        reply: Reply,
    ) {
        if let Some(subscription) = self.tracks.get(&sid).and_then(|&place| self.places[place].as_mut()) {
            match subscription.handle {
                Some(_) => {
                    let due = subscription.open(now, &options, reply, &self.link);
                    self.due = earliest(self.due, due);
                }
                None => subscription.waiting.push((options, reply)),
            }
            return;
        }
        let Some(track) = members.track(&sid) else {
            let _ = reply.send(Err(SubscribeError::Unpublished));
            return;
        };
        if let Err(error) = session.subscribe(now, &sid) {
            let _ = reply.send(Err(error));
            return;
        }
        let subscription = Subscription::new(track.clone(), self.keys.as_ref(), (options, reply));
        let place = self.places.iter().position(Option::is_none).unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(subscription);
        self.tracks.insert(sid, place);
    }

    pub(super) fn handle_subscribed(
        &mut self,
        now: Instant,
        session: &mut Session,
        sid: &TrackSid,
        handle: TrackHandle,
    ) {
        let Some(&place) = self.tracks.get(sid) else { return };
        let Some(subscription) = &mut self.places[place] else { return };
        if let Some(before) = subscription.handle.replace(handle)
            && self.by_handle.get(&before) == Some(&place)
        {
            self.by_handle.remove(&before);
        }
        self.by_handle.insert(handle, place);
        for (options, reply) in std::mem::take(&mut subscription.waiting) {
            // Whoever has gone meanwhile never had a stream.
            if !reply.is_closed() {
                let due = subscription.open(now, &options, reply, &self.link);
                self.due = earliest(self.due, due);
            }
        }
        self.end_if_unread(now, session, sid);
    }

    pub(super) fn handle_failed(&mut self, sid: &TrackSid, error: &SubscribeError) {
        if let Some(subscription) = self.remove(sid) {
            for (_, reply) in subscription.waiting {
                let _ = reply.send(Err(error.clone()));
            }
        }
    }

    /// The publisher has ended the track, or is gone.
    pub(super) fn handle_unpublished(&mut self, sid: &TrackSid) {
        if let Some(subscription) = self.remove(sid) {
            subscription.end(StreamEnd::Unpublished, &SubscribeError::Unpublished);
        }
    }

    /// A stream was dropped; the last one ends the subscription.
    pub(super) fn unsubscribe(
        &mut self,
        now: Instant,
        session: &mut Session,
        sid: &TrackSid,
        stream: StreamId,
    ) {
        let Some(subscription) = self.tracks.get(sid).and_then(|&place| self.places[place].as_mut()) else {
            return;
        };
        if let Some(index) = subscription.streams.iter().position(|open| open.id == stream) {
            let key = subscription.streams.swap_remove(index).key;
            if let Some(queue) = subscription.fanout.remove(key) {
                queue.0.exchange.discard();
            }
        }
        self.end_if_unread(now, session, sid);
    }

    pub(super) fn set_options(
        &mut self,
        now: Instant,
        sid: &TrackSid,
        options: &RemoteDataTrackPipelineOptions,
    ) {
        if let Some(subscription) = self.tracks.get(sid).and_then(|&place| self.places[place].as_mut()) {
            subscription.reassembler.set_config(now, options.reassembly);
        }
    }

    /// A message of the data-track channel: one packet.
    pub(super) fn handle_message(&mut self, now: Instant, message: Bytes) {
        let (header, payload) = match split(message) {
            Ok(packet) => packet,
            Err(error) => {
                self.stray.add(DropReason::Malformed);
                tracing::trace!(%error, "not a data-track packet");
                return;
            }
        };
        let place = self.by_handle.get(&header.handle).copied();
        let Some((place, subscription)) = place.and_then(|place| Some((place, self.places[place].as_mut()?)))
        else {
            self.stray.add(DropReason::UnknownHandle);
            return;
        };
        if !subscription.is_changed {
            subscription.is_changed = true;
            self.changed.push(place);
        }
        if let Some(frame) = subscription.reassembler.handle_packet(now, &header, payload) {
            let Some(frame) = subscription.decrypt(frame, &self.events) else { return };
            subscription.last_frame = Some(now);
            if std::mem::take(&mut subscription.is_silent) {
                self.due = earliest(self.due, subscription.next_miss());
            }
            let touched = &mut self.touched;
            subscription.fanout.handle_frame(now, frame, |_, queue| {
                if touched.last().is_none_or(|last| !Arc::ptr_eq(last, &queue.0)) {
                    touched.push(Arc::clone(&queue.0));
                }
            });
        } else {
            self.due = earliest(self.due, subscription.reassembler.poll_timeout());
        }
    }

    /// Wakes the readers of this turn's frames, once each, and publishes the counters.
    pub(super) fn wake_readers(&mut self) {
        for place in self.changed.drain(..) {
            if let Some(subscription) = &mut self.places[place] {
                subscription.is_changed = false;
                subscription.publish_stats();
            }
        }
        for stream in self.touched.drain(..) {
            stream.exchange.wake();
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        for subscription in self.places.iter_mut().flatten() {
            subscription.reassembler.handle_timeout(now);
            subscription.tell_missed(now);
            subscription.publish_stats();
            self.due = earliest(self.due, subscription.reassembler.poll_timeout());
            self.due = earliest(self.due, subscription.next_miss());
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Packets that belong to no subscription.
    pub(super) fn stray_packets(&self) -> Drops {
        self.stray
    }

    pub(super) fn end_all(&mut self, end: StreamEnd) {
        let sids: Vec<_> = self.tracks.keys().cloned().collect();
        for subscription in sids.iter().filter_map(|sid| self.remove(sid)).collect::<Vec<_>>() {
            subscription.end(end, &SubscribeError::Disconnected);
        }
    }

    fn end_if_unread(&mut self, now: Instant, session: &mut Session, sid: &TrackSid) {
        let Some(subscription) = self.tracks.get(sid).and_then(|&place| self.places[place].as_ref()) else {
            return;
        };
        if subscription.streams.is_empty() && subscription.waiting.is_empty() {
            session.unsubscribe(now, sid);
            self.remove(sid);
        }
    }

    fn remove(&mut self, sid: &TrackSid) -> Option<Subscription> {
        let place = self.tracks.remove(sid)?;
        let subscription = self.places[place].take()?;
        if let Some(handle) = subscription.handle
            && self.by_handle.get(&handle) == Some(&place)
        {
            self.by_handle.remove(&handle);
        }
        subscription.publish_stats();
        Some(subscription)
    }
}

impl Drop for Subscriptions {
    /// Nobody waits for ever for a driver that has panicked.
    fn drop(&mut self) {
        self.end_all(StreamEnd::Disconnected(DisconnectReason::Unknown));
    }
}

impl Subscription {
    fn new(
        track: RemoteDataTrack,
        keys: Option<&KeyProvider>,
        first: (DataTrackSubscribeOptions, Reply),
    ) -> Self {
        let keys = keys.filter(|_| track.info().uses_e2ee());
        Self {
            decryptor: keys.map(|keys| Decryptor::new(keys.clone(), track.publisher_identity().as_str())),
            reassembler: Reassembler::new(track.state().pipeline_options().reassembly),
            track,
            handle: None,
            waiting: vec![first],
            fanout: Fanout::new(),
            streams: Vec::new(),
            last_frame: None,
            is_silent: false,
            undecryptable: 0,
            is_changed: false,
        }
    }

    /// Adds a stream and hands it to whoever asked. When its first deadline is missed.
    fn open(
        &mut self,
        now: Instant,
        options: &DataTrackSubscribeOptions,
        reply: Reply,
        link: &Link,
    ) -> Option<Instant> {
        let shared = Arc::new(SharedStream::new(options.queue));
        let key = self.fanout.add_with(StreamQueue(Arc::clone(&shared)), options.late_frames);
        let deadline = options.deadline;
        self.streams.push(OpenStream { id: shared.id, key, opened: now, deadline, told: None });
        // A stream that nobody takes is dropped, and its drop unsubscribes it.
        let _ = reply.send(Ok(DataTrackStream::new(shared, self.track.clone(), link.clone())));
        deadline.and_then(|deadline| now.checked_add(deadline))
    }

    /// Tells the streams whose track has been silent for too long, once.
    fn tell_missed(&mut self, now: Instant) {
        for stream in &mut self.streams {
            let Some((since, due)) = stream.silence(self.last_frame) else { continue };
            if due <= now {
                stream.told = Some(since);
                self.is_silent = true;
                if let Some(queue) = self.fanout.queue_mut(stream.key) {
                    queue.0.exchange.miss_deadline();
                }
            }
        }
    }

    /// When a deadline is missed unless a frame comes.
    fn next_miss(&self) -> Option<Instant> {
        self.streams.iter().filter_map(|stream| Some(stream.silence(self.last_frame)?.1)).min()
    }

    /// The frame in clear, if that can be had.
    fn decrypt(&mut self, frame: Frame, events: &EventQueue) -> Option<Frame> {
        let Some(decryptor) = &mut self.decryptor else {
            if frame.e2ee.is_some() {
                // Ciphertext is of no use to anybody, and looks like data.
                self.undecryptable += 1;
                return None;
            }
            return Some(frame);
        };
        let frame = decryptor.handle_frame(frame);
        while let Some(event) = decryptor.poll_event() {
            let track = self.track.clone();
            match event {
                e2ee::Event::Failed(error) => events.push(RoomEvent::DecryptionFailed { track, error }),
                e2ee::Event::Ratcheted { index, steps, .. } => {
                    events.push(RoomEvent::KeyRatcheted { track, index, steps });
                }
                _ => {}
            }
        }
        if let Some(derivation) = decryptor.poll_derivation() {
            // Takes up to a second; the frames meanwhile are lost one way or the other.
            tokio::task::spawn_blocking(|| derivation.run());
        }
        frame
    }

    fn end(mut self, end: StreamEnd, error: &SubscribeError) {
        for (_, queue) in self.fanout.queues_mut() {
            queue.0.exchange.end(end);
        }
        for (_, reply) in self.waiting {
            let _ = reply.send(Err(error.clone()));
        }
    }

    fn publish_stats(&self) {
        let (packets, frames) = (self.reassembler.counters(), self.fanout.counters());
        let mut dropped = packets.dropped;
        dropped += frames.dropped;
        dropped.add_many(DropReason::NoKey, self.undecryptable);
        if let Some(decryptor) = &self.decryptor {
            dropped += *decryptor.drops();
        }
        self.track.state().set_stats(RemoteTrackStats {
            accepted: packets.accepted,
            delivered: frames.sent,
            bytes: frames.bytes,
            dropped,
        });
    }
}

impl OpenStream {
    /// Since when the track is silent and until when it may be; `None` when that does not matter, or has been told.
    fn silence(&self, last_frame: Option<Instant>) -> Option<(Instant, Instant)> {
        let since = last_frame.map_or(self.opened, |last| last.max(self.opened));
        let due = since.checked_add(self.deadline?)?;
        (self.told != Some(since)).then_some((since, due))
    }
}

fn earliest(known: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    known.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote_track::RemoteTrack;

    #[test]
    fn whatever_comes_on_the_channel_is_counted_and_nothing_is_kept_of_it() {
        let mut subscriptions =
            Subscriptions::new(Link::new().0, Arc::new(EventQueue::new(1, 1 << 20)), None);
        // A fixed sequence of bytes that looks like nothing, in all lengths around that of a header (Knuth's MMIX generator).
        let mut state = 1_u64;
        let mut sent = 0;
        for len in (0..64).cycle().take(20_000) {
            let garbage: Vec<u8> = (0..len)
                .map(|_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
            subscriptions.handle_message(Instant::now(), garbage.into());
            sent += 1;
        }
        let stray = subscriptions.stray_packets();
        assert_eq!(stray.total(), sent);
        assert!(stray.count(DropReason::Malformed) > 0 && stray.count(DropReason::UnknownHandle) > 0);
        assert!(subscriptions.places.is_empty() && subscriptions.touched.is_empty());
    }

    #[test]
    fn readers_are_told_when_the_driver_dies() {
        let (link, _inbox) = Link::new();
        let mut subscriptions = Subscriptions::new(link.clone(), Arc::new(EventQueue::new(1, 1 << 20)), None);
        let track = RemoteDataTrack::new(Arc::new(RemoteTrack::for_tests("scan", "robot")), link);
        let sid = track.info().sid().clone();
        let (reply, mut first) = oneshot::channel();
        let (late_reply, mut late) = oneshot::channel();
        let mut subscription = Subscription::new(track, None, (DataTrackSubscribeOptions::new(), late_reply));
        subscription.open(Instant::now(), &DataTrackSubscribeOptions::new(), reply, &subscriptions.link);
        subscriptions.places.push(Some(subscription));
        subscriptions.tracks.insert(sid, 0);
        let stream = first.try_recv().expect("an answer").expect("a stream");

        let driver = std::thread::spawn(move || {
            let _subscriptions = subscriptions;
            panic!("on purpose");
        });
        assert!(driver.join().is_err());
        assert_eq!(stream.read_blocking(), Ok(None));
        assert_eq!(stream.end(), Some(StreamEnd::Disconnected(DisconnectReason::Unknown)));
        assert!(matches!(late.try_recv(), Ok(Err(SubscribeError::Disconnected))));
    }

    #[test]
    fn a_silence_is_told_once_to_each_stream_with_a_deadline() {
        let (link, _inbox) = Link::new();
        let mut subscriptions = Subscriptions::new(link.clone(), Arc::new(EventQueue::new(1, 1 << 20)), None);
        let track = RemoteDataTrack::new(Arc::new(RemoteTrack::for_tests("scan", "robot")), link.clone());
        let (reply, _) = oneshot::channel();
        let mut subscription = Subscription::new(track, None, (DataTrackSubscribeOptions::new(), reply));
        let (start, ms) = (Instant::now(), Duration::from_millis(1));
        let mut open = |deadline: Option<Duration>| {
            let (reply, mut stream) = oneshot::channel();
            let options = DataTrackSubscribeOptions::new().with_max_age(None).with_deadline(deadline);
            subscriptions.due = earliest(subscriptions.due, subscription.open(start, &options, reply, &link));
            stream.try_recv().expect("an answer").expect("a stream")
        };
        let streams = [open(Some(10 * ms)), open(Some(25 * ms)), open(None)];
        let missed = || streams.each_ref().map(|stream| stream.stats().missed_deadlines);
        let handle = TrackHandle::new(5).expect("not zero");
        subscription.handle = Some(handle);
        subscriptions.places.push(Some(subscription));
        subscriptions.by_handle.insert(handle, 0);
        let mut packets = tramline_core::packetize::Packetizer::new(handle, 0, 16_000);
        let mut packet =
            || packets.packetize(0, b"x", Default::default()).expect("fits").next().expect("a packet");

        assert_eq!(subscriptions.poll_timeout(), Some(start + 10 * ms));
        subscriptions.handle_message(start + 9 * ms, packet());
        subscriptions.handle_timeout(start + 10 * ms);
        assert_eq!((missed(), subscriptions.poll_timeout()), ([0, 0, 0], Some(start + 19 * ms)));
        subscriptions.handle_timeout(start + 19 * ms);
        assert_eq!((missed(), subscriptions.poll_timeout()), ([1, 0, 0], Some(start + 34 * ms)));
        subscriptions.handle_timeout(start + 34 * ms);
        assert_eq!((missed(), subscriptions.poll_timeout()), ([1, 1, 0], None));
        subscriptions.handle_message(start + 50 * ms, packet());
        assert_eq!(subscriptions.poll_timeout(), Some(start + 60 * ms));
        subscriptions.handle_timeout(start + 60 * ms);
        assert_eq!(missed(), [2, 1, 0]);
    }

    #[test]
    fn frames_under_way_at_once_are_eight_unless_the_application_wants_livekits_one() {
        assert_eq!(RemoteDataTrackPipelineOptions::default().max_partial_frames(), 8);
        let arrived = |options: Option<RemoteDataTrackPipelineOptions>| {
            let (link, _inbox) = Link::new();
            let mut subscriptions =
                Subscriptions::new(link.clone(), Arc::new(EventQueue::new(1, 1 << 20)), None);
            let track = RemoteDataTrack::new(Arc::new(RemoteTrack::for_tests("scan", "robot")), link.clone());
            let (sid, now) = (track.info().sid().clone(), Instant::now());
            let (reply, _) = oneshot::channel();
            let ageless = DataTrackSubscribeOptions::new().with_max_age(None);
            let mut subscription = Subscription::new(track, None, (ageless.clone(), reply));
            let (reply, mut stream) = oneshot::channel();
            subscription.open(now, &ageless, reply, &link);
            let stream = stream.try_recv().expect("an answer").expect("a stream");
            let handle = TrackHandle::new(5).expect("not zero");
            subscription.handle = Some(handle);
            subscriptions.places.push(Some(subscription));
            subscriptions.by_handle.insert(handle, 0);
            subscriptions.tracks.insert(sid.clone(), 0);
            if let Some(options) = options {
                subscriptions.set_options(now, &sid, &options);
            }
            // Eight frames of two packets each, all of which begin before the first one ends.
            let mut packetizer = tramline_core::packetize::Packetizer::new(handle, 0, 16_000);
            let frames: Vec<Vec<Bytes>> = (0..8)
                .map(|_| packetizer.packetize(0, &[0; 20_000], Default::default()).expect("fits").collect())
                .collect();
            for part in 0..2 {
                frames.iter().for_each(|frame| subscriptions.handle_message(now, frame[part].clone()));
            }
            std::iter::from_fn(|| stream.try_read().ok())
                .filter_map(|frame| frame.number())
                .collect::<Vec<_>>()
        };
        assert_eq!(arrived(None), (0..8).collect::<Vec<_>>());
        let one = RemoteDataTrackPipelineOptions::new().with_max_partial_frames(1);
        assert_eq!(arrived(Some(one)), [7]);
    }
}
