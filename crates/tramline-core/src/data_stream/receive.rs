//! The streams that are coming in.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use livekit_protocol as proto;
use proto::data_stream as wire;

use super::{Info, StreamError};

/// Names a stream that came in, never a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(u64);

/// The streams that have begun and not ended, by sender and id.
///
/// Keeps no contents: each `handle_*` call returns what has become of a stream.
#[derive(Debug, Default)]
pub struct Incoming {
    open: BTreeMap<(Arc<str>, Box<str>), Open>,
    last: u64,
    ignored: u64,
}

#[derive(Debug)]
struct Open {
    key: StreamKey,
    next: u64,
    is_encrypted: bool,
}

/// A stream that has begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// Names it from now on.
    pub key: StreamKey,
    /// What it says of itself.
    pub info: Info,
    /// Whether its contents are compressed.
    pub is_compressed: bool,
    /// All of its contents, when they were in the header; nothing follows then.
    pub inline: Option<Bytes>,
}

/// What has become of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The next chunk.
    Chunk(Bytes),
    /// It ended as it should, with these attributes on top of the header's.
    Ended(BTreeMap<String, String>),
    /// It failed.
    Failed(StreamError),
}

impl Incoming {
    /// The header of a stream of `from`. `None` when it cannot be used.
    pub fn handle_header(
        &mut self,
        from: &Arc<str>,
        mut header: wire::Header,
        is_encrypted: bool,
    ) -> Option<Opened> {
        let compression = wire::CompressionType::try_from(header.compression);
        let inline = header.inline_content.take().map(Bytes::from);
        let id: Box<str> = header.stream_id.as_str().into();
        let (Ok(compression), Some(info)) = (compression, Info::from_wire(header, is_encrypted)) else {
            self.ignored += 1;
            return None;
        };
        let place = (from.clone(), id);
        if inline.is_none() && (self.open.contains_key(&place) || self.open.len() >= MAX_OPEN) {
            self.ignored += 1;
            return None;
        }
        self.last += 1;
        let key = StreamKey(self.last);
        if inline.is_none() {
            self.open.insert(place, Open { key, next: 0, is_encrypted });
        }
        let is_compressed = compression == wire::CompressionType::DeflateRaw;
        Some(Opened { key, info, is_compressed, inline })
    }

    /// A chunk. `None` when it belongs to no open stream, or came before.
    pub fn handle_chunk(
        &mut self,
        from: &Arc<str>,
        chunk: wire::Chunk,
        is_encrypted: bool,
    ) -> Option<(StreamKey, Progress)> {
        let place = (from.clone(), chunk.stream_id.into_boxed_str());
        let Some(open) = self.open.get_mut(&place) else {
            self.ignored += 1;
            return None;
        };
        let key = open.key;
        let failure = if open.is_encrypted != is_encrypted {
            StreamError::MixedEncryption
        } else if chunk.chunk_index > open.next {
            StreamError::Gap { missing: open.next }
        } else if chunk.chunk_index < open.next {
            self.ignored += 1;
            return None;
        } else {
            open.next += 1;
            return Some((key, Progress::Chunk(chunk.content.into())));
        };
        self.open.remove(&place);
        Some((key, Progress::Failed(failure)))
    }

    /// A trailer. `None` when it belongs to no open stream.
    pub fn handle_trailer(
        &mut self,
        from: &Arc<str>,
        trailer: wire::Trailer,
        is_encrypted: bool,
    ) -> Option<(StreamKey, Progress)> {
        let place = (from.clone(), trailer.stream_id.into_boxed_str());
        let Some(open) = self.open.remove(&place) else {
            self.ignored += 1;
            return None;
        };
        let progress = if open.is_encrypted != is_encrypted {
            Progress::Failed(StreamError::MixedEncryption)
        } else if trailer.reason.is_empty() {
            Progress::Ended(trailer.attributes.into_iter().collect())
        } else {
            Progress::Failed(StreamError::Aborted { reason: trailer.reason })
        };
        Some((open.key, progress))
    }

    /// A participant has left: its streams, which fail.
    pub fn handle_participant_left(&mut self, identity: &str) -> Vec<StreamKey> {
        let mut gone = Vec::new();
        self.open.retain(|(from, _), open| {
            let is_gone = &**from == identity;
            if is_gone {
                gone.push(open.key);
            }
            !is_gone
        });
        gone
    }

    /// Nobody wants the rest of a stream.
    pub fn forget(&mut self, key: StreamKey) {
        self.open.retain(|_, open| open.key != key);
    }

    /// Packets that belong to no stream, or came twice; headers of unknown kinds, repeated, or beyond the limit.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }
}

/// Streams that may be open at once, each some 200 bytes here.
const MAX_OPEN: usize = 4096;

#[cfg(test)]
mod tests {
    use proto::data_packet::Value;

    use super::*;
    use crate::data_stream::send::{Reach, Writer, whole};

    fn alice() -> Arc<str> {
        "alice".into()
    }

    fn info() -> Info {
        Info { id: "s".into(), topic: "t".into(), ..Info::default() }
    }

    fn chunk(index: u64) -> wire::Chunk {
        wire::Chunk {
            stream_id: "s".into(),
            chunk_index: index,
            content: vec![index as u8],
            ..Default::default()
        }
    }

    fn trailer(reason: &str) -> wire::Trailer {
        wire::Trailer {
            stream_id: "s".into(),
            reason: reason.into(),
            attributes: [("a".into(), "1".into())].into(),
        }
    }

    #[test]
    fn what_is_sent_comes_whole() {
        for reach in [Reach::ALL, Reach::NONE] {
            let content: Bytes = "hällo ".repeat(20_000).into();
            let (info, packets) = whole(info(), content.clone(), reach, true, &[]).expect("it fits");
            let mut incoming = Incoming::default();
            let (mut decoder, mut read, mut ended) = (None, Vec::new(), false);
            for value in packets {
                let progress = match value {
                    Value::StreamHeader(header) => {
                        let opened = incoming.handle_header(&alice(), header, false).expect("usable");
                        assert_eq!(opened.info, info);
                        let mut new = super::super::Decoder::new(
                            true,
                            opened.is_compressed,
                            opened.info.total_length,
                            u64::MAX,
                        );
                        if let Some(inline) = opened.inline {
                            read.extend_from_slice(&new.push(inline).expect("fine"));
                            ended = true;
                        }
                        decoder = Some(new);
                        continue;
                    }
                    Value::StreamChunk(chunk) => incoming.handle_chunk(&alice(), chunk, false),
                    Value::StreamTrailer(trailer) => incoming.handle_trailer(&alice(), trailer, false),
                    other => panic!("{other:?}"),
                };
                match (progress.expect("it is open").1, &mut decoder) {
                    (Progress::Chunk(chunk), Some(decoder)) => {
                        read.extend_from_slice(&decoder.push(chunk).expect("fine"));
                    }
                    (Progress::Ended(_), Some(decoder)) => {
                        decoder.finish().expect("whole");
                        ended = true;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert!(ended && read == content);
            assert_eq!(incoming.ignored(), 0);
        }
    }

    #[test]
    fn gaps_mixtures_and_reasons_are_failures_and_repeats_are_not() {
        let open = |incoming: &mut Incoming| {
            let (_, header) = Writer::open(&info(), &[]).expect("it fits");
            let Value::StreamHeader(header) = header else { panic!("no header") };
            incoming.handle_header(&alice(), header, true).expect("usable").key
        };
        let mut incoming = Incoming::default();
        let key = open(&mut incoming);
        assert_eq!(
            incoming.handle_chunk(&alice(), chunk(0), true),
            Some((key, Progress::Chunk(vec![0].into())))
        );
        assert_eq!(incoming.handle_chunk(&alice(), chunk(0), true), None);
        assert_eq!(incoming.handle_chunk(&"bob".into(), chunk(1), true), None, "of somebody else");
        let failed = |error| Some((key, Progress::Failed(error)));
        assert_eq!(incoming.handle_chunk(&alice(), chunk(2), true), failed(StreamError::Gap { missing: 1 }));
        assert_eq!(incoming.handle_trailer(&alice(), trailer(""), true), None);
        assert_eq!(incoming.ignored(), 3);

        let key = open(&mut incoming);
        let mixed = incoming.handle_chunk(&alice(), chunk(0), false);
        assert_eq!(mixed, Some((key, Progress::Failed(StreamError::MixedEncryption))));
        let key = open(&mut incoming);
        let aborted = StreamError::Aborted { reason: "cancelled".into() };
        assert_eq!(
            incoming.handle_trailer(&alice(), trailer("cancelled"), true),
            Some((key, Progress::Failed(aborted)))
        );
        let key = open(&mut incoming);
        let attributes = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(
            incoming.handle_trailer(&alice(), trailer(""), true),
            Some((key, Progress::Ended(attributes)))
        );
        let key = open(&mut incoming);
        assert_eq!(incoming.handle_participant_left("alice"), [key]);
    }

    #[test]
    fn streams_are_bounded_and_unknown_kinds_ignored() {
        let mut incoming = Incoming::default();
        for index in 0..=MAX_OPEN {
            let header = Info { id: index.to_string(), ..info() }.to_wire();
            assert_eq!(incoming.handle_header(&alice(), header, false).is_some(), index < MAX_OPEN);
        }
        let future = wire::Header { compression: 9, ..info().to_wire() };
        assert_eq!(incoming.handle_header(&"bob".into(), future, false), None);
        assert_eq!(incoming.handle_header(&"bob".into(), wire::Header::default(), false), None);
        assert_eq!(incoming.ignored(), 3);
    }
}
