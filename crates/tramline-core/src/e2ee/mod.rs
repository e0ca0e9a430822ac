//! End-to-end encryption of data tracks, as LiveKit's clients do it.
//!
//! A frame is encrypted once, before it is cut into packets, with AES-128-GCM, and decrypted once, after it has been
//! put together again. Every packet names the slot of the key and the IV (extension 1 of the packet); the user
//! timestamp stays in clear.
//!
//! - [`KeyProvider`] holds the keys: one for the whole room, or one per participant, in a ring of slots. Applications
//!   keep a clone and change keys at any time, from any thread.
//! - [`Encryptor`] is the sending participant: its frames become [`PreparedFrame`](crate::packetize::PreparedFrame)s.
//! - [`Decryptor`] is one remote participant, or one of its tracks, as seen from here.
//!
//! What it does not protect: GCM covers the payload and nothing else, since other clients authenticate nothing else. A
//! server can read and change names, timestamps, sizes and frame numbers, and it can withhold, repeat and reorder
//! frames, or hand a frame of one track to readers of another track of the same sender.

mod decrypt;
mod derive;
mod encrypt;
mod key;
mod provider;

pub use decrypt::{DecryptError, Decryptor, Event};
pub use derive::KeyDerivation;
pub use encrypt::{EncryptError, Encryptor, NoKey, Sealed};
pub use key::{Derivation, TAG_LEN};
pub use provider::{
    DEFAULT_RATCHET_SALT, DEFAULT_RING_SIZE, EmptyKey, KeyOptions, KeyProvider, MAX_RATCHET_WINDOW,
    MAX_RING_SIZE,
};
