//! From contents to packets.

use std::collections::BTreeMap;
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::Value;
use proto::data_stream as wire;
use thiserror::Error;

use super::{CAPABILITY_DEFLATE, CHUNK_LEN, INLINE_SINCE, Info};
use crate::session::Participant;

/// What all of a stream's receivers understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// A whole stream in its header.
    pub inline: bool,
    /// Compressed contents.
    pub deflate: bool,
}

impl Reach {
    /// For nobody yet: everything.
    pub const ALL: Self = Self { inline: true, deflate: true };
    /// Of an unknown receiver nothing can be expected.
    pub const NONE: Self = Self { inline: false, deflate: false };

    /// As [`self`](Self), and `participant` receives it too.
    #[must_use]
    pub fn and(self, participant: &Participant) -> Self {
        let inline = participant.client_protocol >= INLINE_SINCE;
        let deflate = inline && participant.capabilities.contains(&CAPABILITY_DEFLATE);
        Self { inline: self.inline && inline, deflate: self.deflate && deflate }
    }
}

/// The header with its attributes does not fit into a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the header of a stream with its topic, attributes and destinations has {size} bytes, and at most {limit} fit"
)]
pub struct HeaderTooLarge {
    /// What it has.
    pub size: usize,
    /// The most.
    pub limit: usize,
}

/// A stream whose contents are all there. Its packets, in order.
///
/// `destinations` go onto each packet and count for the header's size.
///
/// # Errors
/// The header is too large.
pub fn whole(
    mut info: Info,
    content: Bytes,
    reach: Reach,
    compress: bool,
    destinations: &[String],
) -> Result<(Info, Packets), HeaderTooLarge> {
    info.total_length = Some(content.len() as u64);
    let mut header = info.to_wire();
    let mut is_cut_anywhere = !info.is_text();
    let mut body = content;
    if compress && reach.deflate {
        let compressed = deflated(&body);
        if compressed.len() < body.len() {
            body = compressed.into();
            header.compression = wire::CompressionType::DeflateRaw as i32;
            is_cut_anywhere = true;
        }
    }
    let has_attachments =
        matches!(&info.content, super::Content::Text(text) if !text.attached_stream_ids.is_empty());
    if reach.inline && !has_attachments && body.len() < CHUNK_LEN {
        header.inline_content = Some(body.to_vec());
        if packet_len(&header, destinations) <= CHUNK_LEN {
            return Ok((
                info,
                Packets { header: Some(header), body: Bytes::new(), is_cut_anywhere, writer: None },
            ));
        }
        header.inline_content = None;
    }
    check(&header, destinations)?;
    let writer = Some(Writer { id: header.stream_id.clone(), next: 0 });
    Ok((info, Packets { header: Some(header), body, is_cut_anywhere, writer }))
}

/// The packets of [`whole`].
#[derive(Debug)]
pub struct Packets {
    header: Option<wire::Header>,
    body: Bytes,
    is_cut_anywhere: bool,
    /// `None` after the trailer, or when everything is in the header.
    writer: Option<Writer>,
}

impl Packets {
    /// Whether the header is all there is.
    pub fn is_inline(&self) -> bool {
        self.writer.is_none()
    }
}

impl Iterator for Packets {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        if let Some(header) = self.header.take() {
            return Some(Value::StreamHeader(header));
        }
        let writer = self.writer.as_mut()?;
        if self.body.is_empty() {
            let trailer = writer.trailer("", BTreeMap::new());
            self.writer = None;
            return Some(trailer);
        }
        let len = chunk_len(&self.body, !self.is_cut_anywhere);
        Some(writer.chunk(&self.body.split_to(len)))
    }
}

/// A stream whose contents come little by little: its header first, then chunks, then the trailer.
#[derive(Debug)]
pub struct Writer {
    id: String,
    next: u64,
}

impl Writer {
    /// A stream, and its header.
    ///
    /// # Errors
    /// The header is too large.
    pub fn open(info: &Info, destinations: &[String]) -> Result<(Self, Value), HeaderTooLarge> {
        Self::open_with(info, false, destinations)
    }

    /// As [`open`](Self::open); of compressed contents the chunks are given compressed, all of them one raw DEFLATE stream.
    ///
    /// # Errors
    /// The header is too large.
    pub fn open_with(
        info: &Info,
        is_compressed: bool,
        destinations: &[String],
    ) -> Result<(Self, Value), HeaderTooLarge> {
        let mut header = info.to_wire();
        if is_compressed {
            header.compression = wire::CompressionType::DeflateRaw as i32;
        }
        check(&header, destinations)?;
        Ok((Self { id: info.id.clone(), next: 0 }, Value::StreamHeader(header)))
    }

    /// The next chunk, which holds at most [`CHUNK_LEN`] bytes.
    pub fn chunk(&mut self, content: &[u8]) -> Value {
        let chunk = wire::Chunk {
            stream_id: self.id.clone(),
            chunk_index: self.next,
            content: content.to_vec(),
            ..wire::Chunk::default()
        };
        self.next += 1;
        Value::StreamChunk(chunk)
    }

    /// The end; a reason makes it a failure.
    pub fn trailer(&self, reason: &str, attributes: BTreeMap<String, String>) -> Value {
        Value::StreamTrailer(wire::Trailer {
            stream_id: self.id.clone(),
            reason: reason.to_owned(),
            attributes: attributes.into_iter().collect(),
        })
    }
}

/// How much of `rest` goes into the next chunk: as much as fits, of a text up to the end of a character.
pub fn chunk_len(rest: &[u8], is_text: bool) -> usize {
    if rest.len() <= CHUNK_LEN {
        return rest.len();
    }
    let is_boundary = |at: &usize| !is_text || rest[*at] & 0xc0 != 0x80;
    // What is no text, in spite of what was said, is cut as bytes are.
    (CHUNK_LEN - 3..=CHUNK_LEN).rev().find(is_boundary).unwrap_or(CHUNK_LEN)
}

/// Raw DEFLATE, without a header.
pub fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(content.len() / 3 + 64), Compression::default());
    // Writing into memory does not fail; if it did, what is there would be too long to be used.
    match encoder.write_all(content).and_then(|()| encoder.finish()) {
        Ok(compressed) => compressed,
        Err(_) => content.to_vec(),
    }
}

fn check(header: &wire::Header, destinations: &[String]) -> Result<(), HeaderTooLarge> {
    let size = packet_len(header, destinations);
    if size > CHUNK_LEN { Err(HeaderTooLarge { size, limit: CHUNK_LEN }) } else { Ok(()) }
}

fn packet_len(header: &wire::Header, destinations: &[String]) -> usize {
    let header = header.encoded_len();
    let destinations: usize = destinations.iter().map(|identity| identity.len() + 3).sum();
    header + destinations + 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_stream::{Content, Text};

    fn text(id: &str) -> Info {
        Info { id: id.into(), topic: "t".into(), mime_type: "text/plain".into(), ..Info::default() }
    }

    fn kinds(packets: Packets) -> Vec<(&'static str, usize)> {
        packets
            .map(|value| match value {
                Value::StreamHeader(header) => {
                    ("header", header.inline_content.map_or(0, |content| content.len()))
                }
                Value::StreamChunk(chunk) => ("chunk", chunk.content.len()),
                Value::StreamTrailer(_) => ("trailer", 0),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn sent(content: &[u8], reach: Reach, compress: bool) -> Vec<(&'static str, usize)> {
        let content = Bytes::copy_from_slice(content);
        kinds(whole(text("s"), content, reach, compress, &[]).expect("it fits").1)
    }

    #[test]
    fn short_streams_are_one_packet_for_those_who_take_that() {
        let inline = Reach { inline: true, deflate: false };
        assert_eq!(sent(b"hello", Reach::ALL, true), [("header", 5)]);
        assert_eq!(sent(b"", inline, true), [("header", 0)]);
        assert_eq!(sent(b"hello", Reach::NONE, true), [("header", 0), ("chunk", 5), ("trailer", 0)]);
        assert_eq!(sent(b"", Reach::NONE, true), [("header", 0), ("trailer", 0)]);
        assert_eq!(sent(&[b'x'; 15_000], inline, true), [("header", 0), ("chunk", 15_000), ("trailer", 0)]);
        let [("header", len)] = sent(&[b'x'; 60_000], Reach::ALL, true)[..] else {
            panic!("compressed into one")
        };
        assert!(len < 200);
        assert_eq!(sent(&[b'x'; 60_000], Reach::ALL, false).len(), 1 + 4 + 1);
        let attached = Text { attached_stream_ids: vec!["f".into()], ..Text::default() };
        let info = Info { content: Content::Text(attached), ..text("s") };
        let (_, packets) = whole(info, Bytes::from_static(b"x"), Reach::ALL, true, &[]).expect("it fits");
        assert_eq!(kinds(packets).len(), 3, "attachments make it a long one");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let content = "€".repeat(10_001);
        let packets = whole(text("s"), content.clone().into(), Reach::NONE, false, &[]).expect("it fits").1;
        let mut read = String::new();
        for value in packets {
            if let Value::StreamChunk(chunk) = value {
                read.push_str(std::str::from_utf8(&chunk.content).expect("whole characters"));
            }
        }
        assert_eq!(read, content);
        assert_eq!(chunk_len(&[0x80; 20_000], true), CHUNK_LEN);
    }

    #[test]
    fn a_header_that_fits_nowhere_is_refused_with_its_size() {
        let info = Info { attributes: [("k".to_owned(), "v".repeat(16_000))].into(), ..text("s") };
        let error = Writer::open(&info, &[]).expect_err("too large");
        assert!(error.size > 16_000 && error.limit == CHUNK_LEN);
        assert!(whole(info, Bytes::new(), Reach::ALL, true, &[]).is_err());
        let everybody: Vec<String> = (0..2_000).map(|index| format!("robot-{index}")).collect();
        assert!(Writer::open(&text("s"), &everybody).is_err());
    }
}
