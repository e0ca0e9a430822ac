//! A track that this participant publishes: from the application's bytes to packets in the live queue.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::Notify;
use tramline_core::{
    e2ee::{EncryptError, Encryptor},
    outbox::QueueAccess,
    packetize::{FrameTooLarge, PacketLayout, Packetizer, PreparedFrame},
    queue::LiveQueue,
    repair::{self, Repair},
};
use tramline_net::clock::MediaClock;
use tramline_transport::SendOptions;
use tramline_wire::{Extensions, MAX_PACKET_LEN, Marker, TrackHandle};

use crate::{
    error::{PushFrameError, PushFrameErrorReason},
    frame::DataTrackFrame,
    link::{Link, ToDriver, lock},
    options::{DataTrackOptions, OnFull},
    stats::LocalTrackStats,
    track_info::DataTrackInfo,
};

mod signal;

use signal::Signal;

/// What [`signal`] is made of.
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, Ordering};
}

/// A published data track. Cheap to clone, usable on any thread.
///
/// Dropping the last clone unpublishes it, as [`unpublish`](Self::unpublish) does at once; what was accepted before is sent first.
#[derive(Clone)]
pub struct LocalDataTrack {
    handle: Arc<Owner>,
}

/// Unpublishes when the last handle goes.
struct Owner {
    track: Arc<LocalTrack>,
    link: Link,
}

impl LocalDataTrack {
    pub(crate) fn new(track: Arc<LocalTrack>, link: Link) -> Self {
        Self { handle: Arc::new(Owner { track, link }) }
    }

    /// Queues one frame for sending. Never blocks: it encodes on the calling thread and wakes the driver.
    ///
    /// When the queue is full, the track's oldest frames that have not started to leave are dropped and counted, unless the track was
    /// published with [`OnFull::Refuse`].
    ///
    /// # Errors
    /// The frame comes back: the track is not published any more, the frame is larger than any receiver takes (or than the
    /// whole queue), or there is no room. Refusals are logged too, at most every five seconds per track.
    pub fn try_push(&self, frame: impl Into<DataTrackFrame>) -> Result<(), PushFrameError> {
        let frame = frame.into();
        self.try_push_bytes(frame.payload(), frame.user_timestamp())
            .map_err(|reason| PushFrameError::new(frame, reason))
    }

    /// As [`try_push`](Self::try_push), for bytes that stay the caller's: they are copied once, into the packets that leave.
    ///
    /// # Errors
    /// As [`try_push`](Self::try_push).
    pub fn try_push_bytes(
        &self,
        payload: &[u8],
        user_timestamp: Option<u64>,
    ) -> Result<(), PushFrameErrorReason> {
        match self.handle.track.push(payload, user_timestamp, Admission::AsPublished) {
            Ok(()) => {
                self.handle.signal();
                Ok(())
            }
            Err(reason) => {
                self.handle.track.note_refusal(reason);
                Err(reason)
            }
        }
    }

    /// Queues one frame as soon as it costs no other frame its place; for data that is made faster than it can be sent.
    ///
    /// Waits until what is queued before it is about to leave (some 20 ms of traffic at the rate at which the queue drains), so that frames
    /// neither evict each other nor grow old in the queue. Dropping the future before its end pushes nothing. Works on any executor.
    ///
    /// # Errors
    /// The frame comes back: the track is not published any more, or the frame is too large.
    pub async fn push(&self, frame: impl Into<DataTrackFrame>) -> Result<(), PushFrameError> {
        let frame = frame.into();
        self.push_bytes(frame.payload(), frame.user_timestamp())
            .await
            .map_err(|reason| PushFrameError::new(frame, reason))
    }

    /// As [`push`](Self::push), for bytes that stay the caller's: they are copied once, into the packets that leave.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn push_bytes(
        &self,
        payload: &[u8],
        user_timestamp: Option<u64>,
    ) -> Result<(), PushFrameErrorReason> {
        let track = &self.handle.track;
        let mut waiting = None;
        loop {
            let mut room = std::pin::pin!(track.room.notified());
            // Registered before looking, so that room made meanwhile is not missed.
            room.as_mut().enable();
            match track.push(payload, user_timestamp, Admission::WithoutHarm) {
                Ok(()) => {
                    self.handle.signal();
                    return Ok(());
                }
                Err(PushFrameErrorReason::QueueFull) => {
                    waiting.get_or_insert_with(|| Waiting::new(track));
                    // The driver looks for waiters when it takes from the queue; one that registered after that must be seen too.
                    if lock(&track.queue).is_empty() {
                        continue;
                    }
                    room.await;
                }
                Err(reason) => {
                    track.note_refusal(reason);
                    return Err(reason);
                }
            }
        }
    }

    /// What the track is.
    #[must_use]
    pub fn info(&self) -> &DataTrackInfo {
        &self.handle.track.info
    }

    /// Whether frames are still taken.
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.handle.track.is_published.load(Ordering::Acquire)
    }

    /// Ends the track for everybody. Frames are refused from now on; those accepted before are sent first, then the server is told.
    pub fn unpublish(&self) {
        self.handle.unpublish();
    }

    /// Waits until the track is not published any more, whoever ended it.
    pub async fn wait_for_unpublish(&self) {
        let track = &self.handle.track;
        loop {
            let mut ended = std::pin::pin!(track.ended.notified());
            ended.as_mut().enable();
            if !self.is_published() {
                return;
            }
            ended.await;
        }
    }

    /// What happened to its frames so far.
    #[must_use]
    pub fn stats(&self) -> LocalTrackStats {
        let track = &self.handle.track;
        let refused = lock(&track.encoder).refusals.total;
        let mut queue = lock(&track.queue);
        queue.handle_timeout(Instant::now());
        let counters = queue.counters();
        LocalTrackStats {
            accepted: counters.accepted,
            sent: counters.sent,
            bytes: counters.bytes,
            dropped: counters.dropped,
            refused,
            waiting_frames: queue.frames(),
            waiting_bytes: queue.bytes(),
        }
    }
}

impl fmt::Debug for LocalDataTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalDataTrack")
            .field("info", self.info())
            .field("is_published", &self.is_published())
            .finish()
    }
}

impl Owner {
    fn signal(&self) {
        // One message per turn of the driver, however many frames come meanwhile.
        if self.track.signal.raise() {
            self.link.send(ToDriver::Ready(self.track.handle));
        }
    }

    fn unpublish(&self) {
        if self.track.stop_accepting() {
            self.link.send(ToDriver::Unpublish(self.track.handle));
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.unpublish();
    }
}

/// The state that the handles of a track share with the driver.
///
/// Lock order: `encoder`, then `queue`. Neither is held while a frame is copied or encrypted, so that nobody waits for that.
pub(crate) struct LocalTrack {
    pub(crate) info: DataTrackInfo,
    pub(crate) handle: TrackHandle,
    clock: MediaClock,
    on_full: OnFull,
    repair: Repair,
    /// See [`repair::lifetime`].
    lifetime: Duration,
    max_queued_bytes: usize,
    packet_size: PacketSize,
    /// Encrypts each frame, when the track was published so.
    encryptor: Option<Arc<Encryptor>>,
    encoder: Mutex<Encoder>,
    queue: Mutex<LiveQueue<Bytes>>,
    /// Mirrors `Encoder::is_accepting` for readers without the lock.
    is_published: AtomicBool,
    /// Raised while the driver knows that the queue has something.
    signal: Signal,
    /// Pushes that wait for room.
    waiting: AtomicUsize,
    room: Notify,
    ended: Notify,
}

struct Encoder {
    packetizer: Packetizer,
    is_accepting: bool,
    refusals: Refusals,
}

/// When may a frame enter?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admission {
    /// As the track was published: evict, or only when there is room.
    AsPublished,
    /// Only when little waits before it.
    WithoutHarm,
}

impl LocalTrack {
    pub(crate) fn new(
        info: DataTrackInfo,
        handle: TrackHandle,
        options: &DataTrackOptions,
        encryptor: Option<Arc<Encryptor>>,
        clock: MediaClock,
        timestamp_base: u32,
        packet_size: PacketSize,
    ) -> Self {
        let packetizer = Packetizer::new(handle, timestamp_base, MAX_PACKET_LEN);
        Self {
            info,
            handle,
            clock,
            on_full: options.on_full,
            repair: options.repair,
            lifetime: repair::lifetime(options.queue.max_age),
            max_queued_bytes: options.queue.max_bytes,
            packet_size,
            encryptor,
            encoder: Mutex::new(Encoder { packetizer, is_accepting: true, refusals: Refusals::default() }),
            queue: Mutex::new(LiveQueue::new(options.queue)),
            is_published: AtomicBool::new(true),
            signal: Signal::new(),
            waiting: AtomicUsize::new(0),
            room: Notify::new(),
            ended: Notify::new(),
        }
    }

    fn push(
        &self,
        payload: &[u8],
        user_timestamp: Option<u64>,
        admission: Admission,
    ) -> Result<(), PushFrameErrorReason> {
        if !self.is_published.load(Ordering::Acquire) {
            return Err(PushFrameErrorReason::TrackUnpublished);
        }
        let now = Instant::now();
        let layout = self.layout(payload.len(), user_timestamp);
        let (encoded, limit) = self.measure(layout, payload.len(), user_timestamp);
        if payload.len() > limit {
            return Err(PushFrameErrorReason::TooLarge { size: payload.len(), limit });
        }
        // Before the work on the frame, which would be for nothing.
        self.admit(now, encoded, admission)?;
        let frame = self.prepare(layout, payload, user_timestamp)?;
        let mut encoder = lock(&self.encoder);
        if !encoder.is_accepting {
            return Err(PushFrameErrorReason::TrackUnpublished);
        }
        // Others may have pushed meanwhile. From here on only the driver changes the queue, and it makes room.
        self.admit(now, encoded, admission)?;
        let packets = encoder.packetizer.number(self.clock.at(now), frame);
        if lock(&self.queue).push_frame(now, packets) { Ok(()) } else { Err(PushFrameErrorReason::QueueFull) }
    }

    /// How a frame is cut: as the link likes it, and into no more packets than a frame may have.
    fn layout(&self, len: usize, user_timestamp: Option<u64>) -> PacketLayout {
        let layout = self.packet_size.layout();
        match &self.encryptor {
            Some(encryptor) => encryptor.layout_for(layout, len, user_timestamp),
            None => layout.for_payload(len, &Extensions { user_timestamp, ..Extensions::default() }),
        }
    }

    /// Bytes of a frame's packets, and the longest payload that the track takes.
    fn measure(&self, layout: PacketLayout, len: usize, user_timestamp: Option<u64>) -> (usize, usize) {
        let longest = PacketLayout::new(MAX_PACKET_LEN);
        let (encoded, limit) = match &self.encryptor {
            Some(encryptor) => (
                encryptor.encoded_len(&layout, len, user_timestamp),
                encryptor.max_frame_len(&longest, user_timestamp),
            ),
            None => {
                let extensions = Extensions { user_timestamp, ..Extensions::default() };
                (layout.encoded_len(len, &extensions), longest.max_frame_len(&extensions))
            }
        };
        if encoded > self.max_queued_bytes {
            // What a queue of that many bytes takes, less what packets add.
            return (encoded, limit.min(self.max_queued_bytes.saturating_sub(encoded - len)));
        }
        (encoded, limit)
    }

    /// Whether the queue takes a frame now.
    fn admit(&self, now: Instant, encoded: usize, admission: Admission) -> Result<(), PushFrameErrorReason> {
        let mut queue = lock(&self.queue);
        queue.handle_timeout(now);
        let has_room = match (admission, self.on_full) {
            (Admission::WithoutHarm, _) => {
                queue.is_empty() || queue.bytes() + encoded <= waiting_room(&queue)
            }
            (Admission::AsPublished, OnFull::Refuse) => !queue.would_overflow(encoded),
            (Admission::AsPublished, OnFull::EvictOldest) => true,
        };
        if has_room { Ok(()) } else { Err(PushFrameErrorReason::QueueFull) }
    }

    /// The packets of a frame, but for their numbers.
    fn prepare(
        &self,
        layout: PacketLayout,
        payload: &[u8],
        user_timestamp: Option<u64>,
    ) -> Result<PreparedFrame, PushFrameErrorReason> {
        let too_large = |FrameTooLarge { size, limit, .. }| PushFrameErrorReason::TooLarge { size, limit };
        match &self.encryptor {
            Some(encryptor) => {
                encryptor.prepare(&layout, payload, user_timestamp).map_err(|error| match error {
                    EncryptError::TooLarge(error) => too_large(error),
                    _ => PushFrameErrorReason::NoKey,
                })
            }
            None => {
                let extensions = Extensions { user_timestamp, ..Extensions::default() };
                layout.prepare(payload, extensions).map_err(too_large)
            }
        }
    }

    /// Refuses frames from now on; whether it did not before.
    pub(crate) fn stop_accepting(&self) -> bool {
        let was_accepting = std::mem::replace(&mut lock(&self.encoder).is_accepting, false);
        self.is_published.store(false, Ordering::Release);
        if was_accepting {
            self.room.notify_waiters();
            self.ended.notify_waiters();
        }
        was_accepting
    }

    /// How one of its packets is sent.
    pub(crate) fn send_options(&self, now: Instant, packet: &[u8], suggested_copies: u8) -> SendOptions {
        // Packets of our own parse; one that did not would be sent plainly.
        let marker = tramline_wire::forward::check(packet).map_or(Marker::Inter, |packet| packet.marker);
        let mending = self.repair.mending(marker, suggested_copies);
        SendOptions {
            deadline: Some(now + self.lifetime),
            retransmit: mending.retransmit,
            copies: mending.copies,
            flow: self.handle.get().into(),
            receipt: None,
        }
    }

    /// The driver is about to look at the queue: later pushes signal again.
    pub(crate) fn acknowledge_signal(&self) {
        self.signal.acknowledge();
    }

    fn note_refusal(&self, reason: PushFrameErrorReason) {
        let now = Instant::now();
        let mut encoder = lock(&self.encoder);
        encoder.refusals.total += 1;
        if let Some(count) = encoder.refusals.due(now) {
            drop(encoder);
            tracing::warn!(track = self.info.name(), sid = %self.info.sid(), %reason, count, "pushes were refused");
        }
    }
}

impl fmt::Debug for LocalTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalTrack")
            .field("info", &self.info)
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

/// How large the packets of all tracks of a room are to be. The driver, which sees the link, sets it.
#[derive(Clone, Debug)]
pub(crate) struct PacketSize(Arc<AtomicUsize>);

impl PacketSize {
    /// Of one datagram, until the link is known.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(1)))
    }

    /// `rate` is what the link takes, in bytes per second.
    pub(crate) fn set_rate(&self, rate: u64) {
        let bytes = rate / PACKETS_PER_SECOND;
        self.0.store(usize::try_from(bytes).unwrap_or(usize::MAX) / DATAGRAM, Ordering::Relaxed);
    }

    fn layout(&self) -> PacketLayout {
        PacketLayout::of_datagrams(self.0.load(Ordering::Relaxed))
    }
}

/// A packet takes up the link for half a millisecond at most: less than anybody notices.
const PACKETS_PER_SECOND: u64 = 2_000;
const DATAGRAM: usize = 1_200;

/// The driver's way to a track's queue. Wakes pushes that wait once there is room for them.
#[derive(Debug)]
pub(crate) struct SharedQueue(pub(crate) Arc<LocalTrack>);

impl SharedQueue {
    /// Whether something waits.
    pub(crate) fn has_frames(&mut self) -> bool {
        !lock(&self.0.queue).is_empty()
    }
}

impl QueueAccess<Bytes> for SharedQueue {
    fn access<R>(&mut self, f: impl FnOnce(&mut LiveQueue<Bytes>) -> R) -> R {
        let mut queue = lock(&self.0.queue);
        let result = f(&mut queue);
        // Half empty, so that a waiting thread is woken for many frames and not for each.
        if self.0.waiting.load(Ordering::Acquire) > 0 && queue.bytes() <= waiting_room(&queue) / 2 {
            drop(queue);
            self.0.room.notify_waiters();
        }
        result
    }
}

/// Bytes that may wait before a patient push: some 20 ms of traffic.
fn waiting_room(queue: &LiveQueue<Bytes>) -> usize {
    let by_rate = queue
        .drain_rate()
        .map_or(DEFAULT_WAITING_ROOM, |rate| usize::try_from(rate / 50).unwrap_or(usize::MAX));
    by_rate.clamp(MIN_WAITING_ROOM, MAX_WAITING_ROOM).min(queue.config().max_bytes)
}

/// Counts a push that waits, for as long as it does.
struct Waiting<'a>(&'a LocalTrack);

impl<'a> Waiting<'a> {
    fn new(track: &'a LocalTrack) -> Self {
        track.waiting.fetch_add(1, Ordering::AcqRel);
        Self(track)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Refused pushes, and when to speak of them.
#[derive(Debug, Default)]
struct Refusals {
    total: u64,
    reported: u64,
    last_report: Option<Instant>,
}

impl Refusals {
    /// How many to report now.
    fn due(&mut self, now: Instant) -> Option<u64> {
        if self.last_report.is_some_and(|last| now.saturating_duration_since(last) < REPORT_EVERY) {
            return None;
        }
        self.last_report = Some(now);
        let count = self.total - self.reported;
        self.reported = self.total;
        Some(count)
    }
}

const REPORT_EVERY: Duration = Duration::from_secs(5);
const MIN_WAITING_ROOM: usize = 32 << 10;
const DEFAULT_WAITING_ROOM: usize = 64 << 10;
const MAX_WAITING_ROOM: usize = 512 << 10;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
