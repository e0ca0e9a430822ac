//! The sending side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use thiserror::Error;
use tramline_wire::{E2eeExtension, Extensions};

use super::key::{Key, TAG_LEN};
use super::provider::KeyProvider;
use crate::packetize::{FrameTooLarge, PacketLayout, PreparedFrame};

/// Encrypts what one local participant sends. One for all its tracks, on any thread; it holds no lock while it works.
#[derive(Debug)]
pub struct Encryptor {
    keys: KeyProvider,
    identity: Arc<str>,
    ivs: Ivs,
}

impl Encryptor {
    /// An encryptor for a local participant.
    ///
    /// `first_iv` must be random, and new for every encryptor: participants that share a key are kept apart by nothing
    /// else. Two frames with one IV and one key would tell the server both.
    pub fn new(keys: KeyProvider, identity: impl Into<Arc<str>>, first_iv: [u8; 12]) -> Self {
        Self { keys, identity: identity.into(), ivs: Ivs::new(first_iv) }
    }

    /// The keys.
    pub fn keys(&self) -> &KeyProvider {
        &self.keys
    }

    /// The longest payload of a frame, in bytes.
    pub fn max_frame_len(&self, layout: &PacketLayout, user_timestamp: Option<u64>) -> usize {
        layout.max_frame_len(&extensions(E2EE, user_timestamp)).saturating_sub(TAG_LEN)
    }

    /// See [`PacketLayout::for_payload`].
    pub fn layout_for(
        &self,
        layout: PacketLayout,
        payload_len: usize,
        user_timestamp: Option<u64>,
    ) -> PacketLayout {
        layout.for_payload(payload_len + TAG_LEN, &extensions(E2EE, user_timestamp))
    }

    /// Bytes of all packets of a frame with this payload: what a queue must have room for.
    pub fn encoded_len(
        &self,
        layout: &PacketLayout,
        payload_len: usize,
        user_timestamp: Option<u64>,
    ) -> usize {
        layout.encoded_len(payload_len + TAG_LEN, &extensions(E2EE, user_timestamp))
    }

    /// Encrypts a frame into its packets, which a [`Packetizer`](crate::packetize::Packetizer) then numbers. The plaintext is read once, and all there is afterwards is the one buffer of the packets.
    ///
    /// # Errors
    /// There is no key to send with, or the payload does not fit. Nothing may be sent then, least of all in clear.
    pub fn prepare(
        &self,
        layout: &PacketLayout,
        payload: &[u8],
        user_timestamp: Option<u64>,
    ) -> Result<PreparedFrame, EncryptError> {
        let limit = self.max_frame_len(layout, user_timestamp);
        let sealed_len = payload.len() + TAG_LEN;
        // In terms of what the caller has: a tag more would not fit.
        layout
            .check(sealed_len, &extensions(E2EE, user_timestamp))
            .map_err(|_| FrameTooLarge { size: payload.len(), limit })?;
        let (e2ee, key) = self.next()?;
        let fill = |out: &mut [u8]| key.seal(e2ee.iv, payload, out);
        Ok(layout.prepare_in_place(sealed_len, extensions(e2ee, user_timestamp), fill)?)
    }

    /// Encrypts a message that is no frame (LiveKit `EncryptedPacket`): key index, IV and ciphertext with its tag.
    ///
    /// # Errors
    /// There is no key to send with.
    pub fn seal(&self, plaintext: &[u8]) -> Result<Sealed, NoKey> {
        let (e2ee, key) = self.next()?;
        let mut payload = BytesMut::zeroed(plaintext.len() + TAG_LEN);
        key.seal(e2ee.iv, plaintext, &mut payload);
        Ok(Sealed { e2ee, payload: payload.freeze() })
    }

    fn next(&self) -> Result<(E2eeExtension, Arc<Key>), NoKey> {
        let (key_index, key) = self.keys.sender_key(&self.identity);
        let key = key.ok_or_else(|| NoKey { identity: self.identity.clone(), index: key_index })?;
        Ok((E2eeExtension { key_index, iv: self.ivs.next() }, key))
    }
}

/// What [`Encryptor::seal`] makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Key index and IV.
    pub e2ee: E2eeExtension,
    /// Ciphertext with its tag.
    pub payload: Bytes,
}

/// Why a frame was not encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// There is no key to send with.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// The payload is too large.
    #[error(transparent)]
    TooLarge(#[from] FrameTooLarge),
}

/// There is no key to send with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "there is no key for the local participant {identity:?} at index {index}: set a shared key, or one for this \
     identity, before sending on an encrypted track"
)]
#[non_exhaustive]
pub struct NoKey {
    /// The local participant.
    pub identity: Arc<str>,
    /// The index that it would send with.
    pub index: u8,
}

/// IVs that never come twice: four random bytes and an eight-byte counter.
///
/// The counter starts at a random value as well. Participants, and runs, that share a key meet only when the four bytes
/// are equal and the counters come close to each other, instead of whenever the four bytes are equal.
#[derive(Debug)]
struct Ivs {
    prefix: [u8; 4],
    counter: AtomicU64,
}

impl Ivs {
    fn new([a, b, c, d, counter @ ..]: [u8; 12]) -> Self {
        Self { prefix: [a, b, c, d], counter: AtomicU64::new(u64::from_be_bytes(counter)) }
    }

    fn next(&self) -> [u8; 12] {
        let mut iv = [0; 12];
        iv[..4].copy_from_slice(&self.prefix);
        iv[4..].copy_from_slice(&self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        iv
    }
}

/// Stands for any: all have the same length.
const E2EE: E2eeExtension = E2eeExtension { key_index: 0, iv: [0; 12] };

fn extensions(e2ee: E2eeExtension, user_timestamp: Option<u64>) -> Extensions {
    Extensions { e2ee: Some(e2ee), user_timestamp }
}
