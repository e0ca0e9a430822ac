//! What waits between the driver and the reader of a stream.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tramline_core::data_stream::{Decoder, StreamError};

use crate::link::lock;

/// Bytes that wait in all streams of a room.
#[derive(Debug)]
pub(crate) struct Capacity {
    waiting: AtomicUsize,
    limit: usize,
}

impl Capacity {
    pub(crate) fn new(limit: usize) -> Self {
        Self { waiting: AtomicUsize::new(0), limit }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > self.limit
    }
}

/// The chunks of one stream, as they came; its reader inflates them.
#[derive(Debug)]
pub(crate) struct Feed {
    state: Mutex<State>,
    capacity: Arc<Capacity>,
    attributes: Arc<Mutex<BTreeMap<String, String>>>,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: Option<Result<(), StreamError>>,
    waker: Option<Waker>,
    is_read: bool,
    decoder: Decoder,
    chunks_read: u64,
}

impl Feed {
    pub(crate) fn new(
        capacity: Arc<Capacity>,
        decoder: Decoder,
        attributes: Arc<Mutex<BTreeMap<String, String>>>,
    ) -> Self {
        let state = State {
            chunks: VecDeque::new(),
            bytes: 0,
            end: None,
            waker: None,
            is_read: true,
            decoder,
            chunks_read: 0,
        };
        Self { state: Mutex::new(state), capacity, attributes }
    }

    // ---- The driver's side.

    /// Adds a chunk; `false` when nobody wants it any more.
    pub(crate) fn push(&self, chunk: Bytes) -> bool {
        let mut state = lock(&self.state);
        if !state.is_read || state.end.is_some() {
            return false;
        }
        let cost = chunk.len() + CHUNK_COST;
        state.bytes += cost;
        self.capacity.waiting.fetch_add(cost, Ordering::Relaxed);
        state.chunks.push_back(chunk);
        wake(state);
        true
    }

    /// The stream has ended as it should.
    pub(crate) fn end(&self, attributes: BTreeMap<String, String>) {
        lock(&self.attributes).extend(attributes);
        let mut state = lock(&self.state);
        state.end.get_or_insert(Ok(()));
        wake(state);
    }

    /// The stream has failed. What came before is still read, unless nobody did so in time.
    pub(crate) fn fail(&self, error: StreamError) {
        let mut state = lock(&self.state);
        if matches!(error, StreamError::Unread { .. }) {
            self.clear(&mut state);
            state.end = Some(Err(error));
        } else {
            state.end.get_or_insert(Err(error));
        }
        wake(state);
    }

    /// Bytes that wait in this stream.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.state).bytes
    }

    // ---- The reader's side.

    /// The next contents, not empty; `None` at the end.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        let mut state = lock(&self.state);
        loop {
            if let Some(chunk) = state.chunks.pop_front() {
                self.take_out(&mut state, chunk.len() + CHUNK_COST);
                state.chunks_read += 1;
                match state.decoder.push(chunk) {
                    Ok(content) if content.is_empty() => continue,
                    Ok(content) => return Poll::Ready(Some(Ok(content))),
                    Err(error) => {
                        self.close(&mut state);
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
            return match state.end.take() {
                Some(result) => {
                    let result = result.and_then(|()| state.decoder.finish());
                    let is_first = state.is_read;
                    self.close(&mut state);
                    Poll::Ready(result.err().filter(|_| is_first).map(Err))
                }
                None if !state.is_read => Poll::Ready(None),
                None => {
                    state.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
    }

    /// Nobody reads any more.
    pub(crate) fn stop(&self) {
        self.close(&mut lock(&self.state));
    }

    /// Chunks and bytes of contents that were read.
    pub(crate) fn read(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.chunks_read, state.decoder.received())
    }

    fn close(&self, state: &mut State) {
        self.clear(state);
        state.is_read = false;
        state.end = Some(Ok(()));
    }

    fn clear(&self, state: &mut State) {
        state.chunks.clear();
        let bytes = state.bytes;
        self.take_out(state, bytes);
    }

    fn take_out(&self, state: &mut State, bytes: usize) {
        state.bytes -= bytes;
        self.capacity.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop();
    }
}

fn wake(mut state: std::sync::MutexGuard<'_, State>) {
    if let Some(waker) = state.waker.take() {
        drop(state);
        waker.wake();
    }
}

/// What a waiting chunk costs besides its bytes, roughly.
const CHUNK_COST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(limit: usize) -> (Arc<Capacity>, Feed) {
        let capacity = Arc::new(Capacity::new(limit));
        let decoder = Decoder::new(false, false, Some(4), u64::MAX);
        (Arc::clone(&capacity), Feed::new(capacity, decoder, Arc::default()))
    }

    fn next(feed: &Feed) -> Poll<Option<Result<Bytes, StreamError>>> {
        feed.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn contents_come_before_the_end_and_the_end_stays() {
        let (capacity, feed) = feed(100);
        assert!(next(&feed).is_pending());
        assert!(feed.push(Bytes::from_static(b"ab")) && feed.push(Bytes::from_static(b"cd")));
        assert!(capacity.is_exceeded());
        feed.end(BTreeMap::from([("k".to_owned(), "v".to_owned())]));
        feed.fail(StreamError::SenderGone);
        assert_eq!(next(&feed), Poll::Ready(Some(Ok(Bytes::from_static(b"ab")))));
        assert_eq!(next(&feed), Poll::Ready(Some(Ok(Bytes::from_static(b"cd")))));
        assert_eq!((next(&feed), next(&feed)), (Poll::Ready(None), Poll::Ready(None)));
        assert!(!capacity.is_exceeded() && !feed.push(Bytes::new()));
        assert_eq!((feed.read(), lock(&feed.attributes).len()), ((2, 4), 1));
    }

    #[test]
    fn a_failure_is_told_once_after_what_came_before() {
        let (_, feed) = feed(100);
        feed.push(Bytes::from_static(b"ab"));
        feed.end(BTreeMap::new());
        assert!(matches!(next(&feed), Poll::Ready(Some(Ok(_)))));
        let error = StreamError::Truncated { received: 2, announced: 4 };
        assert_eq!((next(&feed), next(&feed)), (Poll::Ready(Some(Err(error))), Poll::Ready(None)));
    }

    #[test]
    fn what_nobody_reads_in_time_is_thrown_away() {
        let (capacity, feed) = feed(100);
        feed.push(vec![0; 4].into());
        feed.fail(StreamError::Unread { limit: 100 });
        assert_eq!(feed.waiting(), 0);
        assert_eq!(next(&feed), Poll::Ready(Some(Err(StreamError::Unread { limit: 100 }))));
        drop(feed);
        assert_eq!(capacity.waiting.load(Ordering::Relaxed), 0);
    }
}
