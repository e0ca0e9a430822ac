//! Encrypted packets (LiveKit `EncryptedPacket`): what a packet says is sealed, whom it is for is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::Value;
use proto::encrypted_packet_payload::Value as Hidden;
use thiserror::Error;
use tramline_wire::E2eeExtension;

use crate::e2ee::{DecryptError, Decryptor, Derivation, Encryptor, KeyProvider, NoKey};

/// Encrypts the value of a packet. Kinds that LiveKit does not encrypt (DTMF, metrics, transcription) stay as they are.
///
/// # Errors
/// There is no key to send with; nothing may be sent then.
pub fn seal(encryptor: &Encryptor, value: Value) -> Result<Value, NoKey> {
    let hidden = match value {
        Value::User(user) => Hidden::User(user),
        Value::ChatMessage(message) => Hidden::ChatMessage(message),
        Value::RpcRequest(request) => Hidden::RpcRequest(request),
        Value::RpcAck(ack) => Hidden::RpcAck(ack),
        Value::RpcResponse(response) => Hidden::RpcResponse(response),
        Value::StreamHeader(header) => Hidden::StreamHeader(header),
        Value::StreamChunk(chunk) => Hidden::StreamChunk(chunk),
        Value::StreamTrailer(trailer) => Hidden::StreamTrailer(trailer),
        open => return Ok(open),
    };
    let plain = proto::EncryptedPacketPayload { value: Some(hidden) }.encode_to_vec();
    let sealed = encryptor.seal(&plain)?;
    Ok(Value::EncryptedPacket(proto::EncryptedPacket {
        encryption_type: proto::encryption::Type::Gcm as i32,
        iv: sealed.e2ee.iv.to_vec(),
        key_index: u32::from(sealed.e2ee.key_index),
        encrypted_value: sealed.payload.into(),
    }))
}

/// Bytes that [`seal`] adds to a value at most: IV, tag, key index, and the frames around them.
pub const OVERHEAD: usize = 64;

/// Why an encrypted packet cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The room was joined without keys.
    #[error(
        "{identity:?} sends encrypted packets, and the room was joined without keys: set RoomOptions::encryption"
    )]
    NoKeys {
        /// The sender.
        identity: Arc<str>,
    },
    /// The key is missing or another one.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    /// What was sealed is no packet, or the seal has no proper IV or key index.
    #[error("an encrypted packet of {identity:?} has {problem}")]
    Malformed {
        /// The sender.
        identity: Arc<str>,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Decrypts what others send, each with the keys of its identity.
#[derive(Debug)]
pub struct Opener {
    keys: Option<KeyProvider>,
    senders: BTreeMap<Arc<str>, Decryptor>,
}

impl Opener {
    /// With no keys, everything encrypted is refused.
    pub fn new(keys: Option<KeyProvider>) -> Self {
        Self { keys, senders: BTreeMap::new() }
    }

    /// What a packet of `identity` says in clear.
    ///
    /// `encryption_type` is not looked at: LiveKit's browser client says "none" on encrypted packets.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open(&mut self, identity: &Arc<str>, packet: proto::EncryptedPacket) -> Result<Value, OpenError> {
        let malformed = |problem| OpenError::Malformed { identity: identity.clone(), problem };
        let Some(keys) = &self.keys else {
            return Err(OpenError::NoKeys { identity: identity.clone() });
        };
        let iv = packet.iv.try_into().map_err(|_| malformed("an IV that is not 12 bytes long"))?;
        let key_index = u8::try_from(packet.key_index).map_err(|_| malformed("a key index above 255"))?;
        let e2ee = E2eeExtension { key_index, iv };
        if !self.senders.contains_key(identity) && self.senders.len() >= MAX_SENDERS {
            self.senders.pop_first();
        }
        let decryptor = self
            .senders
            .entry(identity.clone())
            .or_insert_with(|| Decryptor::new(keys.clone(), identity.clone()));
        let plain = decryptor.open(e2ee, Bytes::from(packet.encrypted_value))?;
        let payload = proto::EncryptedPacketPayload::decode(plain);
        let hidden = payload.map_err(|_| malformed("contents that are no packet"))?.value;
        Ok(match hidden.ok_or_else(|| malformed("contents of an unknown kind"))? {
            Hidden::User(user) => Value::User(user),
            Hidden::ChatMessage(message) => Value::ChatMessage(message),
            Hidden::RpcRequest(request) => Value::RpcRequest(request),
            Hidden::RpcAck(ack) => Value::RpcAck(ack),
            Hidden::RpcResponse(response) => Value::RpcResponse(response),
            Hidden::StreamHeader(header) => Value::StreamHeader(header),
            Hidden::StreamChunk(chunk) => Value::StreamChunk(chunk),
            Hidden::StreamTrailer(trailer) => Value::StreamTrailer(trailer),
        })
    }

    /// A key derivation that would help with packets of `identity`; see [`Decryptor::poll_derivation`].
    pub fn poll_derivation(&mut self, identity: &str) -> Option<Derivation> {
        self.senders.get_mut(identity)?.poll_derivation()
    }

    /// The participant has left.
    pub fn forget(&mut self, identity: &str) {
        self.senders.remove(identity);
    }
}

/// Senders whose keys are held ready.
const MAX_SENDERS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::KeyOptions;

    fn keys(secret: &[u8]) -> KeyProvider {
        let keys = KeyProvider::new(KeyOptions::default());
        keys.set_shared_key(secret, 0).expect("a key");
        keys
    }

    fn user(payload: &[u8]) -> Value {
        Value::User(proto::UserPacket {
            payload: payload.to_vec(),
            topic: Some("t".into()),
            ..Default::default()
        })
    }

    fn sealed(value: Value) -> proto::EncryptedPacket {
        match seal(&Encryptor::new(keys(b"12345"), "alice", [7; 12]), value).expect("a key") {
            Value::EncryptedPacket(packet) => packet,
            other => panic!("sent in clear: {other:?}"),
        }
    }

    #[test]
    fn what_is_sealed_can_be_read_with_the_same_key_alone() {
        let alice: Arc<str> = "alice".into();
        let packet = sealed(user(b"hi"));
        assert!(!packet.encrypted_value.windows(2).any(|pair| pair == b"hi"));
        assert_eq!(Opener::new(Some(keys(b"12345"))).open(&alice, packet.clone()), Ok(user(b"hi")));
        // A browser says "none" there.
        let from_browser = proto::EncryptedPacket { encryption_type: 0, ..packet.clone() };
        assert_eq!(Opener::new(Some(keys(b"12345"))).open(&alice, from_browser), Ok(user(b"hi")));
        let error = Opener::new(Some(keys(b"54321"))).open(&alice, packet.clone());
        assert!(matches!(error, Err(OpenError::Decrypt(DecryptError::WrongKey { .. }))), "{error:?}");
        let error = Opener::new(None).open(&alice, packet.clone());
        assert!(matches!(error, Err(OpenError::NoKeys { .. })), "{error:?}");
        for broken in [
            proto::EncryptedPacket { iv: vec![0; 11], ..packet.clone() },
            proto::EncryptedPacket { key_index: 256, ..packet },
        ] {
            let error = Opener::new(Some(keys(b"12345"))).open(&alice, broken);
            assert!(matches!(error, Err(OpenError::Malformed { .. })), "{error:?}");
        }
    }

    /// protocol: the payload `hi` with topic `t`, LiveKit's published example.
    #[test]
    fn a_packet_of_livekit_decrypts() {
        let hex = "32b1708474fa26fe2b9d8921589cb2259385514f5ec79b7eb8";
        let bytes =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"));
        let packet = proto::EncryptedPacket {
            encryption_type: 1,
            iv: (0..12).collect(),
            key_index: 0,
            encrypted_value: bytes.collect(),
        };
        assert_eq!(Opener::new(Some(keys(b"12345"))).open(&"alice".into(), packet), Ok(user(b"hi")));
    }

    #[test]
    fn a_seal_adds_no_more_than_it_says() {
        for len in [0, 1, 100, 20_000, 63_000] {
            let value = user(&vec![1; len]);
            let plain = proto::DataPacket { value: Some(value.clone()), ..Default::default() };
            let packet = proto::DataPacket {
                value: Some(Value::EncryptedPacket(sealed(value))),
                ..Default::default()
            };
            assert!(packet.encoded_len() <= plain.encoded_len() + OVERHEAD, "{len}");
        }
    }
}
