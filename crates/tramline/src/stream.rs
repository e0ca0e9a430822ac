//! The frames of one subscription, for one reader.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use futures_core::Stream;
use tramline_core::{
    frame::Frame,
    outbox::QueueAccess,
    queue::{LiveQueue, QueueConfig},
};
use tramline_net::runtime::block_on;

use crate::{
    DisconnectReason,
    error::{ReadError, TryReadError},
    frame::DataTrackFrame,
    link::{Link, ToDriver, lock},
    remote_track::RemoteDataTrack,
    stats::StreamStats,
};

/// The frames of a remote track, in the order in which they became whole.
///
/// Read with [`read`](Self::read), as a [`Stream`], without waiting ([`try_read`](Self::try_read)), or from a thread without a runtime
/// ([`read_timeout`](Self::read_timeout)). Each stream of a track has a queue of its own: one that is read too slowly loses its own oldest frames,
/// counted in [`stats`](Self::stats). Dropping the last stream of a track unsubscribes.
pub struct DataTrackStream {
    shared: Arc<SharedStream>,
    track: RemoteDataTrack,
    link: Link,
}

/// Why a stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEnd {
    /// The track is not published any more.
    Unpublished,
    /// The session ended.
    Disconnected(DisconnectReason),
}

impl DataTrackStream {
    pub(crate) fn new(shared: Arc<SharedStream>, track: RemoteDataTrack, link: Link) -> Self {
        Self { shared, track, link }
    }

    /// The next frame; `None` once the stream has ended and everything before has been read. Cancel-safe, on any executor.
    pub async fn read(&mut self) -> Option<DataTrackFrame> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    /// As [`read`](Self::read), for a future written by hand.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<DataTrackFrame>> {
        let mut state = lock(&self.shared.state);
        if let Some(frame) = state.queue.pop(Instant::now()) {
            return Poll::Ready(Some(DataTrackFrame::from_core(frame)));
        }
        if state.end.is_some() {
            return Poll::Ready(None);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// The next frame if one is there now.
    ///
    /// # Errors
    /// There is none now, or there will be none any more.
    pub fn try_read(&mut self) -> Result<DataTrackFrame, TryReadError> {
        let mut state = lock(&self.shared.state);
        match (state.queue.pop(Instant::now()), state.end) {
            (Some(frame), _) => Ok(DataTrackFrame::from_core(frame)),
            (None, Some(_)) => Err(TryReadError::Ended),
            (None, None) => Err(TryReadError::Empty),
        }
    }

    /// Blocks the calling thread until a frame comes, the stream ends (`None`), or the time has passed.
    ///
    /// # Errors
    /// The time has passed, or the thread drives an async runtime.
    pub fn read_timeout(&mut self, timeout: Duration) -> Result<Option<DataTrackFrame>, ReadError> {
        Ok(block_on(self.read(), Some(timeout))?)
    }

    /// As [`read_timeout`](Self::read_timeout), for as long as it takes.
    ///
    /// # Errors
    /// The thread drives an async runtime.
    pub fn read_blocking(&mut self) -> Result<Option<DataTrackFrame>, ReadError> {
        Ok(block_on(self.read(), None)?)
    }

    /// The track that is read.
    #[must_use]
    pub fn track(&self) -> &RemoteDataTrack {
        &self.track
    }

    /// Why the stream has ended; `None` while it goes on. Frames from before the end may still wait.
    #[must_use]
    pub fn end(&self) -> Option<StreamEnd> {
        lock(&self.shared.state).end
    }

    /// What happened to the frames on their way to this reader.
    #[must_use]
    pub fn stats(&self) -> StreamStats {
        let mut state = lock(&self.shared.state);
        state.queue.handle_timeout(Instant::now());
        StreamStats::new(state.queue.counters(), state.queue.frames())
    }
}

impl Stream for DataTrackStream {
    type Item = DataTrackFrame;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<DataTrackFrame>> {
        self.get_mut().poll_read(cx)
    }
}

impl Drop for DataTrackStream {
    fn drop(&mut self) {
        self.link
            .send(ToDriver::Unsubscribe { track: self.track.info().sid().clone(), stream: self.shared.id });
    }
}

impl fmt::Debug for DataTrackStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataTrackStream")
            .field("track", self.track.info())
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

/// Tells the streams of a process apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StreamId(u64);

impl StreamId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a reader shares with the driver.
pub(crate) struct SharedStream {
    pub(crate) id: StreamId,
    state: Mutex<StreamState>,
}

struct StreamState {
    queue: LiveQueue<Frame>,
    waker: Option<Waker>,
    end: Option<StreamEnd>,
}

impl SharedStream {
    pub(crate) fn new(config: QueueConfig) -> Self {
        let state = StreamState { queue: LiveQueue::new(config), waker: None, end: None };
        Self { id: StreamId::next(), state: Mutex::new(state) }
    }

    /// The reader's waker, when it waits.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        lock(&self.state).waker.take()
    }

    pub(crate) fn end(&self, end: StreamEnd) {
        let mut state = lock(&self.state);
        state.end.get_or_insert(end);
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }
}

impl fmt::Debug for SharedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStream").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The driver's way to a stream's queue.
#[derive(Debug)]
pub(crate) struct StreamQueue(pub(crate) Arc<SharedStream>);

impl QueueAccess<Frame> for StreamQueue {
    fn access<R>(&mut self, f: impl FnOnce(&mut LiveQueue<Frame>) -> R) -> R {
        f(&mut lock(&self.0.state).queue)
    }
}

#[cfg(test)]
mod tests {
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
        if let Some(waker) = queue.0.take_waker() {
            waker.wake();
        }
    }

    /// No frame grows too old, however slow the machine is that runs the test.
    fn ageless() -> QueueConfig {
        QueueConfig::default().with_max_age(None)
    }

    #[test]
    fn frames_come_in_order_and_the_end_after_them() {
        let (mut stream, mut queue, _inbox) = stream(ageless());
        assert_eq!(stream.try_read(), Err(TryReadError::Empty));
        deliver(&mut queue, "a");
        deliver(&mut queue, "b");
        queue.0.end(StreamEnd::Unpublished);
        assert_eq!(stream.read_blocking(), Ok(Some("a".into())));
        assert_eq!(stream.try_read(), Ok("b".into()));
        assert_eq!(stream.read_blocking(), Ok(None));
        assert_eq!(
            (stream.try_read(), stream.end()),
            (Err(TryReadError::Ended), Some(StreamEnd::Unpublished))
        );
        assert_eq!((stream.stats().accepted, stream.stats().delivered, stream.stats().bytes), (2, 2, 2));
    }

    #[test]
    fn a_blocked_reader_is_woken_from_another_thread() {
        let (mut stream, mut queue, _inbox) = stream(ageless());
        let reader = std::thread::spawn(move || (stream.read_blocking(), stream.read_blocking()));
        deliver(&mut queue, "late");
        queue.0.end(StreamEnd::Disconnected(DisconnectReason::ServerShutdown));
        assert_eq!(reader.join().expect("no panic"), (Ok(Some("late".into())), Ok(None)));
    }

    #[test]
    fn blocking_reads_time_out_and_refuse_to_freeze_a_runtime() {
        let (mut stream, _queue, _inbox) = stream(ageless());
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
        let (mut stream, mut queue, mut inbox) = stream(ageless().with_max_frames(2));
        for payload in ["1", "2", "3"] {
            deliver(&mut queue, payload);
        }
        assert_eq!(stream.try_read(), Ok("2".into()));
        assert_eq!(stream.stats().dropped.count(tramline_core::stats::DropReason::QueueFull), 1);
        let id = queue.0.id;
        drop(stream);
        assert!(matches!(inbox.try_recv(), Ok(ToDriver::Unsubscribe { stream, .. }) if stream == id));
    }
}
