//! Streams that come in: to their readers, and those that carry calls to where these are handled.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use tramline_core::{
    data_stream::{
        Decoder, Info, StreamError,
        receive::{Incoming, Opened, Progress, StreamKey},
    },
    rpc::{REQUEST_TOPIC, RESPONSE_TOPIC, Rpc},
};

use crate::{
    data_packet::wire,
    data_stream::{
        ByteStreamInfo, ByteStreamReader, Capacity, Feed, TakeCell, TextStreamInfo, TextStreamReader,
    },
    event::{EventQueue, RoomEvent},
    options::RoomOptions,
    participant::ParticipantIdentity,
};

/// The streams that are open, and those that wait for their readers.
pub(super) struct Streams {
    incoming: Incoming,
    open: HashMap<StreamKey, Sink>,
    /// All that may hold something, to find the one that holds most.
    feeds: Vec<Weak<Feed>>,
    capacity: Arc<Capacity>,
    max_len: u64,
    is_raw: bool,
    events: Arc<EventQueue>,
}

/// Where a stream goes.
enum Sink {
    Reader(Arc<Feed>),
    /// A call's text, which is collected.
    Call(Box<Collected>),
}

struct Collected {
    from: Arc<str>,
    is_request: bool,
    attributes: BTreeMap<String, String>,
    decoder: Decoder,
    text: Vec<u8>,
}

impl Streams {
    pub(super) fn new(events: Arc<EventQueue>, options: &RoomOptions) -> Self {
        Self {
            incoming: Incoming::default(),
            open: HashMap::new(),
            feeds: Vec::new(),
            capacity: Arc::new(Capacity::new(options.stream_capacity)),
            max_len: options.max_stream_len,
            is_raw: options.raw_stream_events,
            events,
        }
    }

    pub(super) fn handle_header(
        &mut self,
        from: &Arc<str>,
        header: wire::Header,
        is_encrypted: bool,
        rpc: &mut Rpc,
    ) {
        if self.is_raw && !is_call(&header.topic) {
            let participant_identity = ParticipantIdentity::from(Arc::clone(from));
            self.events
                .push(RoomEvent::StreamHeaderReceived { header: header.clone(), participant_identity });
        }
        let Some(opened) = self.incoming.handle_header(from, header, is_encrypted) else { return };
        let Opened { key, info, is_compressed, inline } = opened;
        let is_request = info.topic == REQUEST_TOPIC;
        let sink = if info.is_text() && is_call(&info.topic) {
            if is_request {
                rpc.handle_request_opened(from, &info.attributes);
            }
            let decoder = Decoder::new(true, is_compressed, info.total_length, MAX_CALL_LEN);
            let (from, attributes) = (Arc::clone(from), info.attributes);
            Sink::Call(Box::new(Collected { from, is_request, attributes, decoder, text: Vec::new() }))
        } else {
            let decoder = Decoder::new(info.is_text(), is_compressed, info.total_length, self.max_len);
            Sink::Reader(self.announce(from, info, decoder))
        };
        match inline {
            Some(content) => {
                let mut sink = sink;
                // Nobody can have stopped it yet.
                let _ = sink.push(content);
                self.end(sink, Ok(BTreeMap::new()), rpc);
            }
            None => {
                self.open.insert(key, sink);
            }
        }
        self.free_capacity();
    }

    fn announce(&mut self, from: &Arc<str>, info: Info, decoder: Decoder) -> Arc<Feed> {
        let participant_identity = ParticipantIdentity::from(Arc::clone(from));
        let topic = info.topic.clone();
        let capacity = Arc::clone(&self.capacity);
        if info.is_text() {
            let info = TextStreamInfo::new(info);
            let feed = Arc::new(Feed::new(capacity, decoder, info.attribute_cell()));
            let reader = TakeCell::new(TextStreamReader::new(info, Arc::clone(&feed)));
            self.keep(&feed);
            self.events.push(RoomEvent::TextStreamOpened { reader, topic, participant_identity });
            feed
        } else {
            let info = ByteStreamInfo::new(info);
            let feed = Arc::new(Feed::new(capacity, decoder, info.attribute_cell()));
            let reader = TakeCell::new(ByteStreamReader::new(info, Arc::clone(&feed)));
            self.keep(&feed);
            self.events.push(RoomEvent::ByteStreamOpened { reader, topic, participant_identity });
            feed
        }
    }

    fn keep(&mut self, feed: &Arc<Feed>) {
        if self.feeds.len() == self.feeds.capacity() {
            self.feeds.retain(|feed| feed.strong_count() > 0);
        }
        self.feeds.push(Arc::downgrade(feed));
    }

    pub(super) fn handle_chunk(
        &mut self,
        from: &Arc<str>,
        chunk: wire::Chunk,
        is_encrypted: bool,
        rpc: &mut Rpc,
    ) {
        let raw = self.is_raw.then(|| chunk.clone());
        let progress = self.incoming.handle_chunk(from, chunk, is_encrypted);
        self.tell_raw(from, progress.as_ref(), raw, |chunk, participant_identity| {
            RoomEvent::StreamChunkReceived { chunk, participant_identity }
        });
        self.handle_progress(progress, rpc);
    }

    pub(super) fn handle_trailer(
        &mut self,
        from: &Arc<str>,
        trailer: wire::Trailer,
        is_encrypted: bool,
        rpc: &mut Rpc,
    ) {
        let raw = self.is_raw.then(|| trailer.clone());
        let progress = self.incoming.handle_trailer(from, trailer, is_encrypted);
        self.tell_raw(from, progress.as_ref(), raw, |trailer, participant_identity| {
            RoomEvent::StreamTrailerReceived { trailer, participant_identity }
        });
        self.handle_progress(progress, rpc);
    }

    /// What belongs to a stream that was told.
    fn tell_raw<T>(
        &self,
        from: &Arc<str>,
        progress: Option<&(StreamKey, Progress)>,
        raw: Option<T>,
        event: impl FnOnce(T, ParticipantIdentity) -> RoomEvent,
    ) {
        let is_calls = |key| matches!(self.open.get(key), Some(Sink::Call(_)));
        if let (Some((key, _)), Some(raw)) = (progress, raw)
            && !is_calls(key)
        {
            self.events.push(event(raw, ParticipantIdentity::from(Arc::clone(from))));
        }
    }

    fn handle_progress(&mut self, progress: Option<(StreamKey, Progress)>, rpc: &mut Rpc) {
        let Some((key, progress)) = progress else { return };
        let end = match progress {
            Progress::Chunk(chunk) => match self.open.get_mut(&key).map(|sink| sink.push(chunk)) {
                Some(Ok(true)) => return self.free_capacity(),
                // Those who read events may still want the rest of it.
                Some(Ok(false)) if self.is_raw => return,
                Some(Ok(false)) | None => {
                    self.incoming.forget(key);
                    self.open.remove(&key);
                    return;
                }
                Some(Err(error)) => {
                    self.incoming.forget(key);
                    Err(error)
                }
            },
            Progress::Ended(attributes) => Ok(attributes),
            Progress::Failed(error) => Err(error),
        };
        if let Some(sink) = self.open.remove(&key) {
            self.end(sink, end, rpc);
        }
    }

    fn end(&mut self, sink: Sink, end: Result<BTreeMap<String, String>, StreamError>, rpc: &mut Rpc) {
        match (sink, end) {
            (Sink::Reader(feed), Ok(attributes)) => feed.end(attributes),
            (Sink::Reader(feed), Err(error)) => feed.fail(error),
            (Sink::Call(collected), end) => {
                let Collected { from, is_request, attributes, decoder, text } = *collected;
                let is_whole = end.is_ok() && decoder.finish().is_ok();
                let text = String::from_utf8(text).ok().filter(|_| is_whole);
                if is_request {
                    rpc.handle_request_text(&from, &attributes, text);
                } else {
                    rpc.handle_response_text(&from, &attributes, text);
                }
            }
        }
    }

    /// A participant has left: what it had begun does not come to its end.
    pub(super) fn handle_participant_left(&mut self, identity: &str, rpc: &mut Rpc) {
        for key in self.incoming.handle_participant_left(identity) {
            if let Some(sink) = self.open.remove(&key) {
                self.end(sink, Err(StreamError::SenderGone), rpc);
            }
        }
    }

    pub(super) fn end_all(&mut self) {
        for (_, sink) in self.open.drain() {
            if let Sink::Reader(feed) = sink {
                feed.fail(StreamError::SenderGone);
            }
        }
    }

    /// Packets that belong to no stream.
    pub(super) fn ignored(&self) -> u64 {
        self.incoming.ignored()
    }

    /// When too much waits for readers, the stream with the most fails.
    fn free_capacity(&mut self) {
        while self.capacity.is_exceeded() {
            self.feeds.retain(|feed| feed.strong_count() > 0);
            let largest = self.feeds.iter().filter_map(Weak::upgrade).max_by_key(|feed| feed.waiting());
            let Some(feed) = largest.filter(|feed| feed.waiting() > 0) else { return };
            feed.fail(StreamError::Unread { limit: self.capacity.limit() });
        }
    }
}

impl Drop for Streams {
    /// Nobody waits for ever for a driver that has panicked.
    fn drop(&mut self) {
        self.end_all();
    }
}

impl Sink {
    /// Takes a chunk; `false` when nobody wants the rest.
    fn push(&mut self, chunk: Bytes) -> Result<bool, StreamError> {
        match self {
            Self::Reader(feed) => Ok(feed.push(chunk)),
            Self::Call(collected) => {
                let text = collected.decoder.push(chunk)?;
                collected.text.extend_from_slice(&text);
                Ok(true)
            }
        }
    }
}

fn is_call(topic: &str) -> bool {
    topic == REQUEST_TOPIC || topic == RESPONSE_TOPIC
}

/// Longest text of a call, in bytes: it is held in memory as a whole on its way.
const MAX_CALL_LEN: u64 = 64 << 20;
