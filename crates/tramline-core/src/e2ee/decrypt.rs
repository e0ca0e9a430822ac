//! The receiving side.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tracing::debug;
use tramline_wire::E2eeExtension;

use super::derive::KeyDerivation;
use super::key::{Derivation, Key};
use super::provider::{KeyProvider, Ring};
use crate::frame::Frame;
use crate::stats::{DropReason, Drops};

/// Decrypts what one remote participant sends: give it the frames of an encrypted track as the reassembler makes them.
///
/// The identity is that of the track's publisher, as the server announced it with the subscription. Frames that do not
/// decrypt are dropped and counted; the first one of each cause is an [`Event`] too, and again when keys have changed.
/// After a call, drain [`poll_event`](Self::poll_event) and, with a ratchet window,
/// [`poll_derivation`](Self::poll_derivation).
#[derive(Debug)]
pub struct Decryptor {
    keys: KeyProvider,
    identity: Arc<str>,
    /// What of `keys` matters here, as of `generation`.
    generation: u64,
    rings: [Option<Arc<Ring>>; 2],
    /// By index, where the sender's ratchet is.
    ratcheted: BTreeMap<u8, Ratcheted>,
    reported: BTreeSet<(DropReason, u8)>,
    drops: Drops,
    events: VecDeque<Event>,
    derivation: Option<Derivation>,
}

#[derive(Debug)]
struct Ratcheted {
    /// The key in the ring.
    base: Arc<Key>,
    /// The one that the sender was last seen to use.
    current: Arc<Key>,
    /// The last key for whose successors was asked.
    asked: Option<Arc<Key>>,
}

/// What an application may want to know about a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Frames cannot be decrypted for this cause. Not said again until a key has been set.
    Failed(DecryptError),
    /// The sender's ratchet has moved, and frames decrypt again.
    Ratcheted {
        /// The sender.
        identity: Arc<str>,
        /// The slot of the key.
        index: u8,
        /// By how many steps.
        steps: usize,
    },
}

/// Why a frame was not decrypted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// There is no key at the frame's index.
    #[error(
        "there is no key for {identity:?} at index {index} (the ring has {ring_size} slots): set a shared key, or one \
         for this identity, at that index"
    )]
    NoKey {
        /// The sender.
        identity: Arc<str>,
        /// The slot that the frame names.
        index: u8,
        /// How many slots there are.
        ring_size: usize,
    },
    /// The frame does not decrypt with the key at its index: the sender has another key, salt or derivation, or the
    /// frame was changed on its way.
    #[error(
        "a frame of {identity:?} does not decrypt with the key at index {index}, which was derived with {derivation}: \
         sender and receiver need the same key, salt and derivation (browsers use HKDF for raw bytes and PBKDF2 for \
         strings; native clients use PBKDF2 unless told otherwise)"
    )]
    WrongKey {
        /// The sender.
        identity: Arc<str>,
        /// The slot that the frame names.
        index: u8,
        /// How the key in it was derived.
        derivation: KeyDerivation,
    },
    /// The track was published as encrypted, and the frame is not: it is not from whoever has the key.
    #[error(
        "a frame of the encrypted track of {identity:?} came in clear; it was dropped, for anybody could have made it"
    )]
    NotEncrypted {
        /// Who should have sent it.
        identity: Arc<str>,
    },
}

impl DecryptError {
    /// Under which reason such frames are counted.
    pub fn reason(&self) -> DropReason {
        match self {
            Self::NoKey { .. } => DropReason::NoKey,
            Self::WrongKey { .. } => DropReason::WrongKey,
            Self::NotEncrypted { .. } => DropReason::NotEncrypted,
        }
    }

    fn index(&self) -> u8 {
        match self {
            Self::NoKey { index, .. } | Self::WrongKey { index, .. } => *index,
            Self::NotEncrypted { .. } => 0,
        }
    }
}

impl Decryptor {
    /// A decryptor for what the remote participant `identity` sends.
    pub fn new(keys: KeyProvider, identity: impl Into<Arc<str>>) -> Self {
        let identity = identity.into();
        let (generation, rings) = keys.rings(&identity);
        Self {
            keys,
            identity,
            generation,
            rings,
            ratcheted: BTreeMap::new(),
            reported: BTreeSet::new(),
            drops: Drops::default(),
            events: VecDeque::new(),
            derivation: None,
        }
    }

    /// The frame with its payload in clear, in the same memory when nobody else holds it; `None` when it was dropped.
    pub fn handle_frame(&mut self, frame: Frame) -> Option<Frame> {
        let Frame { payload, e2ee, .. } = frame;
        let opened = match e2ee {
            Some(e2ee) => self.open(e2ee, payload),
            None => Err(DecryptError::NotEncrypted { identity: self.identity.clone() }),
        };
        match opened {
            Ok(payload) => Some(Frame { payload, e2ee: None, ..frame }),
            Err(error) => {
                debug!(frame = frame.number, %error, "frame dropped");
                self.drops.add(error.reason());
                self.report(error);
                None
            }
        }
    }

    /// Decrypts a message that is no frame (LiveKit `EncryptedPacket`). Counts and reports nothing.
    ///
    /// # Errors
    /// There is no key at the index, or it is another one.
    pub fn open(&mut self, e2ee: E2eeExtension, sealed: Bytes) -> Result<Bytes, DecryptError> {
        self.refresh();
        let E2eeExtension { key_index: index, iv } = e2ee;
        let Some(key) = self.rings.iter().flatten().find_map(|ring| ring.key(index)).cloned() else {
            let ring_size = self.keys.options().ring_size;
            return Err(DecryptError::NoKey { identity: self.identity.clone(), index, ring_size });
        };
        let opened = match self.keys.options().ratchet_window {
            0 => key.open_in_place(iv, sealed),
            window => self.open_in_window(&key, e2ee, &sealed, window),
        };
        opened.ok_or_else(|| DecryptError::WrongKey {
            identity: self.identity.clone(),
            index,
            derivation: self.keys.options().derivation,
        })
    }

    /// Frames dropped so far, by reason.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// What to tell the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Key derivations that would help, only with a ratchet window: to be run where nothing waits for it. At most once
    /// for each key, and again only after the sender has proved that it has a later one.
    pub fn poll_derivation(&mut self) -> Option<Derivation> {
        self.derivation.take()
    }

    /// One atomic load as long as no key changes, of anybody.
    fn refresh(&mut self) {
        if self.keys.generation() != self.generation {
            let before = std::mem::take(&mut self.rings);
            (self.generation, self.rings) = self.keys.rings(&self.identity);
            let same = |(a, b): (&Option<Arc<Ring>>, &Option<Arc<Ring>>)| match (a, b) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if before.iter().zip(&self.rings).all(same) {
                return;
            }
            self.reported.clear();
            let rings = &self.rings;
            self.ratcheted.retain(|index, ratcheted| {
                let key = rings.iter().flatten().find_map(|ring| ring.key(*index));
                key.is_some_and(|key| Arc::ptr_eq(key, &ratcheted.base))
            });
        }
    }

    /// Tries the key that the sender was last seen to use, then those after it that are known.
    fn open_in_window(
        &mut self,
        base: &Arc<Key>,
        e2ee: E2eeExtension,
        sealed: &[u8],
        window: usize,
    ) -> Option<Bytes> {
        let index = e2ee.key_index;
        let ratcheted = self.ratcheted.get(&index);
        let mut key = ratcheted.map_or(base, |ratcheted| &ratcheted.current).clone();
        if let Some(plaintext) = key.open(e2ee.iv, sealed) {
            return Some(plaintext);
        }
        let entry = || Ratcheted { base: base.clone(), current: base.clone(), asked: None };
        for step in 1..=window {
            let Some(next) = key.next().cloned() else {
                let ratcheted = self.ratcheted.entry(index).or_insert_with(entry);
                if ratcheted.asked.as_ref().is_none_or(|asked| !Arc::ptr_eq(asked, &key)) {
                    ratcheted.asked = Some(key.clone());
                    self.derivation = Some(Derivation { from: key, steps: window + 1 - step });
                }
                return None;
            };
            key = next;
            if let Some(plaintext) = key.open(e2ee.iv, sealed) {
                self.ratcheted.entry(index).or_insert_with(entry).current = key;
                let identity = self.identity.clone();
                self.events.push_back(Event::Ratcheted { identity, index, steps: step });
                return Some(plaintext);
            }
        }
        None
    }

    fn report(&mut self, error: DecryptError) {
        if self.reported.insert((error.reason(), error.index())) {
            self.events.push_back(Event::Failed(error));
        }
    }
}
