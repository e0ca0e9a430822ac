//! The frames of one subscription, for their readers.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_core::Stream;
use tramline_core::{
    frame::Frame,
    outbox::QueueAccess,
    queue::{LiveQueue, QueueConfig},
};
use tramline_net::runtime::is_inside_runtime;

use crate::{
    DisconnectReason,
    error::{ReadError, TryReadError},
    frame::DataTrackFrame,
    link::{Link, ToDriver},
    remote_track::RemoteDataTrack,
    stats::StreamStats,
};
use exchange::{Exchange, Item, Nothing, TimedOut};

pub(crate) use exchange::Report;

mod exchange;

/// What [`exchange`] locks with.
mod sync {
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
}

/// The frames of a remote track, in the order in which they became whole.
///
/// Read with [`read`](Self::read), as a [`Stream`], without waiting ([`try_read`](Self::try_read)), from threads without a runtime
/// ([`read_timeout`](Self::read_timeout)), or only ever the newest one ([`read_latest`](Self::read_latest)). Each stream of a track has a queue of its
/// own: one that is read too slowly loses its own oldest frames, counted in [`stats`](Self::stats). Each frame says how many are missing before it
/// ([`DataTrackFrame::gap`]).
///
/// All that takes `&self` may be called from many threads at the same time: each frame goes to one of them. [`close`](Self::close) wakes them all.
/// Dropping or closing the last stream of a track unsubscribes.
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
    /// It was closed on this side.
    Closed,
}

/// What comes out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// A frame.
    Frame(DataTrackFrame),
    /// No frame has come for as long as [`DataTrackSubscribeOptions::with_deadline`](crate::DataTrackSubscribeOptions::with_deadline) says. Reported once
    /// for each silence, however long it lasts, after the frames that came before it.
    DeadlineMissed,
}

impl StreamEvent {
    fn new(item: Item) -> Self {
        match item {
            Item::Frame(frame, gap) => Self::Frame(DataTrackFrame::from_core(frame, gap)),
            Item::DeadlineMissed => Self::DeadlineMissed,
        }
    }

    fn frame(self) -> Option<DataTrackFrame> {
        match self {
            Self::Frame(frame) => Some(frame),
            Self::DeadlineMissed => None,
        }
    }
}

impl DataTrackStream {
    pub(crate) fn new(shared: Arc<SharedStream>, track: RemoteDataTrack, link: Link) -> Self {
        Self { shared, track, link }
    }

    /// The next frame; `None` once the stream has ended and everything before has been read. Cancel-safe, on any executor.
    pub async fn read(&mut self) -> Option<DataTrackFrame> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    /// As [`read`](Self::read), and tells of missed deadlines too.
    pub async fn read_event(&mut self) -> Option<StreamEvent> {
        poll_fn(|cx| self.poll_read_event(cx)).await
    }

    /// As [`read`](Self::read), for a future written by hand.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<DataTrackFrame>> {
        loop {
            match ready!(self.poll_read_event(cx)) {
                Some(StreamEvent::DeadlineMissed) => {}
                frame => return Poll::Ready(frame.and_then(StreamEvent::frame)),
            }
        }
    }

    /// As [`read_event`](Self::read_event), for a future written by hand.
    pub fn poll_read_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<StreamEvent>> {
        self.shared.exchange.poll_next(Instant::now(), cx).map(|item| item.map(StreamEvent::new))
    }

    /// The next frame if one is there now.
    ///
    /// # Errors
    /// There is none now, or there will be none any more.
    pub fn try_read(&self) -> Result<DataTrackFrame, TryReadError> {
        loop {
            if let Some(frame) = self.try_read_event()?.frame() {
                return Ok(frame);
            }
        }
    }

    /// As [`try_read`](Self::try_read), and tells of missed deadlines too.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    pub fn try_read_event(&self) -> Result<StreamEvent, TryReadError> {
        match self.shared.exchange.try_next(Instant::now()) {
            Ok(item) => Ok(StreamEvent::new(item)),
            Err(Nothing::Yet) => Err(TryReadError::Empty),
            Err(Nothing::EverMore) => Err(TryReadError::Ended),
        }
    }

    /// Blocks the calling thread until a frame comes, the stream ends (`None`), or the time has passed.
    ///
    /// # Errors
    /// The time has passed, or the thread drives an async runtime.
    pub fn read_timeout(&self, timeout: Duration) -> Result<Option<DataTrackFrame>, ReadError> {
        self.wait_for_frame(Some(timeout))
    }

    /// As [`read_timeout`](Self::read_timeout), for as long as it takes.
    ///
    /// # Errors
    /// The thread drives an async runtime.
    pub fn read_blocking(&self) -> Result<Option<DataTrackFrame>, ReadError> {
        self.wait_for_frame(None)
    }

    /// As [`read_timeout`](Self::read_timeout), and tells of missed deadlines too.
    ///
    /// # Errors
    /// As [`read_timeout`](Self::read_timeout).
    pub fn read_event_timeout(&self, timeout: Duration) -> Result<Option<StreamEvent>, ReadError> {
        self.wait_for_event(Some(timeout), timeout_to_deadline(timeout))
    }

    /// The newest frame, if it came within `max_age`: what a control loop acts on, each time it comes round. Never waits.
    ///
    /// The same frame is returned again until a newer one has come or it is too old ([`DataTrackFrame::number`] tells them apart); `None` is the moment to stop
    /// the machine. Age counts from when the frame was whole on this side, so that no clocks need to agree. Older frames that were not read are
    /// dropped and counted as superseded, which is no [`gap`](DataTrackFrame::gap); frames that are read otherwise are not seen here.
    #[must_use]
    pub fn read_latest(&self, max_age: Duration) -> Option<DataTrackFrame> {
        let (frame, gap) = self.shared.exchange.newest(Instant::now(), max_age)?;
        Some(DataTrackFrame::from_core(frame, gap))
    }

    /// Ends the stream from this side: whoever reads gets `None`, on any thread; frames that wait are dropped. The last stream of a track unsubscribes.
    pub fn close(&self) {
        close(&self.shared, &self.track, &self.link);
    }

    /// Closes the stream later and from elsewhere, while somebody else reads it.
    #[must_use]
    pub fn closer(&self) -> StreamCloser {
        StreamCloser { shared: Arc::clone(&self.shared), track: self.track.clone(), link: self.link.clone() }
    }

    /// The track that is read.
    #[must_use]
    pub fn track(&self) -> &RemoteDataTrack {
        &self.track
    }

    /// Why the stream has ended; `None` while it goes on. Frames from before the end may still wait.
    #[must_use]
    pub fn end(&self) -> Option<StreamEnd> {
        self.shared.exchange.ended()
    }

    /// What happened to the frames on their way to this reader.
    #[must_use]
    pub fn stats(&self) -> StreamStats {
        StreamStats::new(&self.shared.exchange.report(Instant::now()))
    }

    fn wait_for_frame(&self, timeout: Option<Duration>) -> Result<Option<DataTrackFrame>, ReadError> {
        let deadline = timeout.and_then(timeout_to_deadline);
        loop {
            match self.wait_for_event(timeout, deadline)? {
                Some(StreamEvent::DeadlineMissed) => {}
                frame => return Ok(frame.and_then(StreamEvent::frame)),
            }
        }
    }

    fn wait_for_event(
        &self,
        timeout: Option<Duration>,
        deadline: Option<Instant>,
    ) -> Result<Option<StreamEvent>, ReadError> {
        if is_inside_runtime() {
            return Err(ReadError::InsideRuntime);
        }
        match self.shared.exchange.wait_next(deadline) {
            Ok(item) => Ok(item.map(StreamEvent::new)),
            Err(TimedOut) => Err(ReadError::Timeout { after: timeout.unwrap_or_default() }),
        }
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
        self.close();
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

/// Closes a [`DataTrackStream`] from elsewhere. Cheap to clone; dropping it closes nothing.
#[derive(Clone)]
pub struct StreamCloser {
    shared: Arc<SharedStream>,
    track: RemoteDataTrack,
    link: Link,
}

impl StreamCloser {
    /// As [`DataTrackStream::close`].
    pub fn close(&self) {
        close(&self.shared, &self.track, &self.link);
    }
}

impl fmt::Debug for StreamCloser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamCloser").field("track", self.track.info()).finish_non_exhaustive()
    }
}

fn close(shared: &SharedStream, track: &RemoteDataTrack, link: &Link) {
    if shared.exchange.close() {
        link.send(ToDriver::Unsubscribe { track: track.info().sid().clone(), stream: shared.id });
    }
}

/// A time-out beyond what the clock can express is none.
fn timeout_to_deadline(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
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

/// What the readers share with the driver.
pub(crate) struct SharedStream {
    pub(crate) id: StreamId,
    pub(crate) exchange: Exchange,
}

impl SharedStream {
    pub(crate) fn new(config: QueueConfig) -> Self {
        Self { id: StreamId::next(), exchange: Exchange::new(config) }
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
        self.0.exchange.access(f)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
