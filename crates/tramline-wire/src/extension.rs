use crate::header::ParseError;

/// Ids of extension entries (LiveKit's `DataTrackExtensionID`).
mod tag {
    pub(super) const PADDING: u8 = 0;
    pub(super) const E2EE: u8 = 1;
    pub(super) const USER_TIMESTAMP: u8 = 2;
}

const E2EE_LEN: usize = 13;
const USER_TIMESTAMP_LEN: usize = 8;

/// Tag and length in front of the value of each entry.
const ENTRY_HEADER_LEN: usize = 2;

/// The word count in front of the entries; the block's length counts it too.
pub(crate) const WORD_COUNT_LEN: usize = 2;

/// What a packet says beyond its fixed header. Every packet of a frame repeats the same extensions; a receiver
/// takes those of the first one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The payload is encrypted, and this is needed to decrypt it.
    pub e2ee: Option<E2eeExtension>,
    /// The publisher's own time stamp of the frame. Opaque on the wire; Unix milliseconds by convention.
    pub user_timestamp: Option<u64>,
}

/// Which key and initialisation vector the frame was encrypted with (AES-128-GCM).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct E2eeExtension {
    /// Slot of the key in the publisher's key ring.
    pub key_index: u8,
    /// Initialisation vector, never used twice with the same key.
    pub iv: [u8; 12],
}

impl Extensions {
    /// Length in bytes of the encoded block with word count and padding, 0 when there is no extension.
    pub const fn encoded_len(&self) -> usize {
        let mut len = 0;
        if self.e2ee.is_some() {
            len += ENTRY_HEADER_LEN + E2EE_LEN;
        }
        if self.user_timestamp.is_some() {
            len += ENTRY_HEADER_LEN + USER_TIMESTAMP_LEN;
        }
        if len == 0 { 0 } else { (WORD_COUNT_LEN + len).next_multiple_of(4) }
    }

    /// Writes the block over the whole of `block`, which is [`encoded_len`](Self::encoded_len) > 0 bytes long.
    pub(crate) fn encode(&self, block: &mut [u8]) {
        let words = (block.len() / 4 - 1) as u16;
        let mut rest = Writer(block);
        rest.put(&words.to_be_bytes());
        if let Some(E2eeExtension { key_index, iv }) = &self.e2ee {
            rest.put(&[tag::E2EE, E2EE_LEN as u8, *key_index]);
            rest.put(iv);
        }
        if let Some(user_timestamp) = self.user_timestamp {
            rest.put(&[tag::USER_TIMESTAMP, USER_TIMESTAMP_LEN as u8]);
            rest.put(&user_timestamp.to_be_bytes());
        }
        rest.0.fill(tag::PADDING);
    }

    /// Reads the entries of a block (without its word count) the way LiveKit's Rust client does.
    ///
    /// Unknown tags, and known ones that are too short, are skipped; a known one that is longer than needed is
    /// read and its excess ignored, the last of several wins; a zero tag takes its length byte with it; a single
    /// byte left at the end is ignored.
    pub(crate) fn parse(mut entries: &[u8]) -> Result<Self, ParseError> {
        let mut extensions = Self::default();
        while let [tag, len, rest @ ..] = entries {
            if *tag == tag::PADDING {
                entries = rest;
                continue;
            }
            let Some((value, rest)) = rest.split_at_checked(usize::from(*len)) else {
                return Err(ParseError::Extension { tag: *tag, len: *len, available: rest.len() });
            };
            match *tag {
                tag::E2EE => {
                    if let Some([key_index, iv @ ..]) = value.first_chunk::<E2EE_LEN>() {
                        extensions.e2ee = Some(E2eeExtension { key_index: *key_index, iv: *iv });
                    }
                }
                tag::USER_TIMESTAMP => {
                    if let Some(value) = value.first_chunk::<USER_TIMESTAMP_LEN>() {
                        extensions.user_timestamp = Some(u64::from_be_bytes(*value));
                    }
                }
                _ => {}
            }
            entries = rest;
        }
        Ok(extensions)
    }
}

/// The part of a buffer that is not written yet.
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (head, tail) = std::mem::take(&mut self.0).split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        self.0 = tail;
    }
}
