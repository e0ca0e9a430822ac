//! From the chunks of a stream to its contents.

use bytes::{Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

use super::StreamError;

/// Makes the contents of one stream of its chunks, in order: inflates them, counts them, and keeps the characters of a text
/// together that chunks have cut.
///
/// Give it each chunk with [`push`](Self::push) and the end with [`finish`](Self::finish). After an error there is nothing more.
#[derive(Debug)]
pub struct Decoder {
    inflate: Option<Decompress>,
    is_text: bool,
    /// The beginning of a character whose end has not come.
    cut: BytesMut,
    received: u64,
    announced: Option<u64>,
    limit: u64,
}

impl Decoder {
    /// For a stream of `announced` bytes, if that is known; more than that, or than `limit`, is an error.
    pub fn new(is_text: bool, is_compressed: bool, announced: Option<u64>, limit: u64) -> Self {
        Self {
            inflate: is_compressed.then(|| Decompress::new(false)),
            is_text,
            cut: BytesMut::new(),
            received: 0,
            announced,
            limit: announced.map_or(limit, |announced| announced.min(limit)),
        }
    }

    /// The contents of the next chunk; of a text, whole characters. Can be empty.
    ///
    /// # Errors
    /// The stream is too long, damaged, or no text.
    pub fn push(&mut self, chunk: Bytes) -> Result<Bytes, StreamError> {
        let content = match &mut self.inflate {
            Some(inflate) => inflated(inflate, &chunk, self.limit - self.received)?,
            None => chunk,
        };
        if content.len() as u64 > self.limit - self.received {
            return Err(StreamError::TooLong { limit: self.limit });
        }
        self.received += content.len() as u64;
        if self.is_text { self.whole_characters(content) } else { Ok(content) }
    }

    /// The stream has ended as it should.
    ///
    /// # Errors
    /// Something is missing.
    pub fn finish(&self) -> Result<(), StreamError> {
        match self.announced {
            Some(announced) if self.received < announced => {
                Err(StreamError::Truncated { received: self.received, announced })
            }
            _ if !self.cut.is_empty() => Err(StreamError::Utf8),
            _ => Ok(()),
        }
    }

    /// Bytes of contents so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    fn whole_characters(&mut self, content: Bytes) -> Result<Bytes, StreamError> {
        let mut joined = if self.cut.is_empty() {
            content
        } else {
            self.cut.extend_from_slice(&content);
            self.cut.split().freeze()
        };
        if let Err(error) = std::str::from_utf8(&joined) {
            if error.error_len().is_some() {
                return Err(StreamError::Utf8);
            }
            self.cut.extend_from_slice(&joined.split_off(error.valid_up_to()));
        }
        Ok(joined)
    }
}

fn inflated(inflate: &mut Decompress, mut chunk: &[u8], limit: u64) -> Result<Bytes, StreamError> {
    let mut content = Vec::with_capacity(chunk.len().saturating_mul(4).clamp(1024, 1 << 20));
    loop {
        let (read, made) = (inflate.total_in(), content.len());
        let status = inflate
            .decompress_vec(chunk, &mut content, FlushDecompress::None)
            .map_err(|_| StreamError::Compression)?;
        chunk = &chunk[(inflate.total_in() - read) as usize..];
        if content.len() as u64 > limit {
            return Err(StreamError::TooLong { limit });
        }
        let is_full = content.len() == content.capacity();
        if status == Status::StreamEnd || (chunk.is_empty() && !is_full) {
            return Ok(content.into());
        }
        if is_full {
            content.reserve(content.len().min(1 << 20));
        } else if made == content.len() && read == inflate.total_in() {
            return Err(StreamError::Compression);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data_stream::send::deflated;

    const NO_LIMIT: u64 = u64::MAX;

    fn decode(decoder: &mut Decoder, chunks: &[&[u8]]) -> Result<Vec<Bytes>, StreamError> {
        chunks.iter().map(|chunk| decoder.push(Bytes::copy_from_slice(chunk))).collect()
    }

    #[test]
    fn characters_that_chunks_have_cut_come_whole() {
        let mut decoder = Decoder::new(true, false, Some(6), NO_LIMIT);
        let parts = decode(&mut decoder, &[b"x\xe2", b"\x82", b"\xac", b"yz"]).expect("text");
        assert_eq!(parts, ["x".as_bytes(), b"", "€".as_bytes(), b"yz"]);
        assert_eq!((decoder.finish(), decoder.received()), (Ok(()), 6));
        let mut cut = Decoder::new(true, false, None, NO_LIMIT);
        decode(&mut cut, &[b"\xe2"]).expect("the beginning of one");
        assert_eq!(cut.finish(), Err(StreamError::Utf8));
        assert_eq!(
            decode(&mut Decoder::new(true, false, None, NO_LIMIT), &[b"\xff"]),
            Err(StreamError::Utf8)
        );
        decode(&mut Decoder::new(false, false, None, NO_LIMIT), &[b"\xff"]).expect("bytes are bytes");
    }

    #[test]
    fn too_much_and_too_little_are_told_apart() {
        let mut decoder = Decoder::new(false, false, Some(4), NO_LIMIT);
        decode(&mut decoder, &[b"abc"]).expect("within");
        assert_eq!(decoder.finish(), Err(StreamError::Truncated { received: 3, announced: 4 }));
        assert_eq!(decode(&mut decoder, &[b"de"]), Err(StreamError::TooLong { limit: 4 }));
        let bomb = deflated(&vec![0; 10 << 20]);
        assert!(bomb.len() < 15_000);
        let mut decoder = Decoder::new(false, true, None, 1 << 20);
        assert!(matches!(decode(&mut decoder, &[&bomb]), Err(StreamError::TooLong { .. })));
        let mut damaged = Decoder::new(false, true, None, NO_LIMIT);
        assert_eq!(decode(&mut damaged, &[&[0xff; 40]]), Err(StreamError::Compression));
    }

    proptest! {
        #[test]
        fn whatever_was_compressed_comes_back_however_it_is_cut(
            text in ".{0,3000}", cut in 1usize..400, repeat in 1usize..8,
        ) {
            let text = text.repeat(repeat);
            let compressed = deflated(text.as_bytes());
            let mut decoder = Decoder::new(true, true, Some(text.len() as u64), NO_LIMIT);
            let mut read = String::new();
            for chunk in compressed.chunks(cut) {
                let part = decoder.push(Bytes::copy_from_slice(chunk)).expect("not damaged");
                read.push_str(std::str::from_utf8(&part).expect("whole characters"));
            }
            prop_assert_eq!(decoder.finish(), Ok(()));
            prop_assert_eq!(read, text);
        }
    }
}
