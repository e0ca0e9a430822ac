//! The keys of a room, as the application manages them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use thiserror::Error;
use zeroize::Zeroizing;

use super::derive::KeyDerivation;
use super::key::Key;

/// The salt of LiveKit's clients.
pub const DEFAULT_RATCHET_SALT: &[u8] = b"LKFrameEncryptionKey";

/// Slots of a key ring unless the application asks for more or fewer, as in LiveKit's clients.
pub const DEFAULT_RING_SIZE: usize = 16;

/// Most slots of a key ring: packets name the slot in one byte.
pub const MAX_RING_SIZE: usize = 256;

/// Most steps of the ratchet that a receiver tries, which is LiveKit's default: each failing frame is decrypted once
/// more for each of them.
pub const MAX_RATCHET_WINDOW: usize = 16;

/// What a [`KeyProvider`] is made of. Every participant of a room needs the same derivation and salt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyOptions {
    /// How keys are derived.
    pub derivation: KeyDerivation,
    /// The salt of the derivation and of the ratchet.
    pub ratchet_salt: Vec<u8>,
    /// How many steps a sender's ratchet may be ahead of the key here. 0, the default, tries no steps: a frame that does
    /// not decrypt costs a single attempt then, whoever sent it. At most [`MAX_RATCHET_WINDOW`].
    pub ratchet_window: usize,
    /// Slots of each ring: 0 means [`DEFAULT_RING_SIZE`], more than [`MAX_RING_SIZE`] means that.
    pub ring_size: usize,
}

impl KeyOptions {
    /// Sets [`derivation`](Self::derivation).
    pub fn with_derivation(self, derivation: KeyDerivation) -> Self {
        Self { derivation, ..self }
    }

    /// Sets [`ratchet_salt`](Self::ratchet_salt).
    pub fn with_ratchet_salt(self, ratchet_salt: impl Into<Vec<u8>>) -> Self {
        Self { ratchet_salt: ratchet_salt.into(), ..self }
    }

    /// Sets [`ratchet_window`](Self::ratchet_window).
    pub fn with_ratchet_window(self, ratchet_window: usize) -> Self {
        Self { ratchet_window, ..self }
    }

    /// Sets [`ring_size`](Self::ring_size).
    pub fn with_ring_size(self, ring_size: usize) -> Self {
        Self { ring_size, ..self }
    }
}

impl Default for KeyOptions {
    fn default() -> Self {
        Self {
            derivation: KeyDerivation::default(),
            ratchet_salt: DEFAULT_RATCHET_SALT.to_vec(),
            ratchet_window: 0,
            ring_size: DEFAULT_RING_SIZE,
        }
    }
}

/// The keys of a room. Clones share them; use it on any thread.
///
/// Every participant has a ring of numbered slots, and there is one more ring that all share. Whoever looks for a
/// participant's key at an index gets its own one, or else the shared one: set a shared key and nothing else, or a key
/// for each identity (the local one too).
///
/// Setting a key takes an index of any size, modulo the ring size. Looking up, and receiving, does not wrap: an index
/// beyond the ring has no key.
///
/// A local participant sends with the index that was set last, in its own ring or else in the shared one, unless
/// [`set_sender_index`](Self::set_sender_index) says otherwise. To change keys without losing frames, set the new one
/// at another index everywhere but at the sender, then at the sender.
///
/// Deriving takes milliseconds with PBKDF2 and happens on the thread that sets a key, before any lock is taken: whoever
/// encrypts or decrypts meanwhile does not wait for it.
#[derive(Debug, Clone)]
pub struct KeyProvider {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: KeyOptions,
    salt: Arc<[u8]>,
    state: RwLock<State>,
    /// Counts the changes of `state`, so that those who look often need no lock to see that nothing has changed.
    generation: AtomicU64,
}

#[derive(Debug)]
struct State {
    shared: Arc<Ring>,
    participants: BTreeMap<Arc<str>, Arc<Ring>>,
    sender_index: Option<u8>,
}

/// The key was empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an encryption key must not be empty: give a passphrase, or at least 16 random bytes")]
pub struct EmptyKey;

impl KeyProvider {
    /// A provider without keys. Options out of range are brought into it.
    pub fn new(options: KeyOptions) -> Self {
        let options = KeyOptions {
            ratchet_window: options.ratchet_window.min(MAX_RATCHET_WINDOW),
            ring_size: match options.ring_size {
                0 => DEFAULT_RING_SIZE,
                size => size.min(MAX_RING_SIZE),
            },
            ..options
        };
        let state = State {
            shared: Arc::new(Ring::new(options.ring_size)),
            participants: BTreeMap::new(),
            sender_index: None,
        };
        let salt = options.ratchet_salt.as_slice().into();
        let generation = AtomicU64::new(0);
        Self { shared: Arc::new(Shared { options, salt, state: RwLock::new(state), generation }) }
    }

    /// What the provider was made of, within its ranges.
    pub fn options(&self) -> &KeyOptions {
        &self.shared.options
    }

    /// Sets the key that all participants share; the next frames are sent with it. Returns its slot.
    ///
    /// # Errors
    /// The key is empty.
    pub fn set_shared_key(&self, key: &[u8], index: u32) -> Result<u8, EmptyKey> {
        let (key, slot) = (self.derive(key)?, self.slot(index));
        self.change(|state| state.set_shared(slot, key, true));
        Ok(slot)
    }

    /// The shared key as it was set, or what its ratchet has made of it.
    pub fn shared_key(&self, index: u32) -> Option<Vec<u8>> {
        Some(self.read().shared.key(u8::try_from(index).ok()?)?.material().to_vec())
    }

    /// Replaces the shared key by the one that its ratchet makes of it and returns that one; `None` when there is no
    /// key at the index. Receivers follow when they do the same, or within their ratchet window.
    pub fn ratchet_shared_key(&self, index: u32) -> Option<Vec<u8>> {
        let slot = u8::try_from(index).ok()?;
        self.ratchet(|state| state.shared.key(slot).cloned(), |state, key| state.set_shared(slot, key, false))
    }

    /// Sets the key of one participant, the local one included. Returns its slot.
    ///
    /// # Errors
    /// The key is empty.
    pub fn set_key(&self, identity: &str, key: &[u8], index: u32) -> Result<u8, EmptyKey> {
        let (key, slot) = (self.derive(key)?, self.slot(index));
        self.change(|state| state.ring_mut(identity).set(slot, Slot { key, follows_shared: false }, true));
        Ok(slot)
    }

    /// A participant's key as it was set, or what its ratchet has made of it; the shared one when it has none.
    pub fn key(&self, identity: &str, index: u32) -> Option<Vec<u8>> {
        Some(self.find(identity, u8::try_from(index).ok()?)?.material().to_vec())
    }

    /// Replaces a participant's key by the one that its ratchet makes of it and returns that one; `None` when there is
    /// no key at the index. When it was the shared key, it is so no more for this participant, until that is set anew.
    pub fn ratchet_key(&self, identity: &str, index: u32) -> Option<Vec<u8>> {
        let slot = u8::try_from(index).ok()?;
        self.ratchet(
            |state| state.find(identity, slot).cloned(),
            |state, key| {
                let own =
                    state.participants.get(identity).and_then(|ring| ring.slots[usize::from(slot)].as_ref());
                let follows_shared = own.is_none_or(|own| own.follows_shared);
                state.ring_mut(identity).set(slot, Slot { key, follows_shared }, false);
            },
        )
    }

    /// Forgets all keys of a participant: it has the shared ones again, if any.
    pub fn remove_keys(&self, identity: &str) {
        self.change(|state| {
            state.participants.remove(identity);
        });
    }

    /// The index that a local participant of this identity sends with.
    pub fn sender_index(&self, identity: &str) -> u8 {
        self.read().sender_index(identity)
    }

    /// Fixes the index that local participants send with, modulo the ring size; `None`: the one that was set last.
    pub fn set_sender_index(&self, index: Option<u32>) {
        let index = index.map(|index| self.slot(index));
        self.change(|state| state.sender_index = index);
    }

    // ---- What encryptors and decryptors ask.

    /// What a local participant sends with now.
    pub(super) fn sender_key(&self, identity: &str) -> (u8, Option<Arc<Key>>) {
        let state = self.read();
        let index = state.sender_index(identity);
        (index, state.find(identity, index).cloned())
    }

    /// Changes whenever a key does.
    pub(super) fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// The rings in which a participant's keys are looked for, in order, and the generation of this state.
    pub(super) fn rings(&self, identity: &str) -> (u64, [Option<Arc<Ring>>; 2]) {
        let state = self.read();
        let own = state.participants.get(identity).cloned();
        (self.generation(), [own, Some(state.shared.clone())])
    }

    fn find(&self, identity: &str, slot: u8) -> Option<Arc<Key>> {
        self.read().find(identity, slot).cloned()
    }

    fn derive(&self, material: &[u8]) -> Result<Arc<Key>, EmptyKey> {
        if material.is_empty() {
            return Err(EmptyKey);
        }
        let material = Zeroizing::new(material.to_vec());
        Ok(Arc::new(Key::new(self.shared.options.derivation, self.shared.salt.clone(), material)))
    }

    /// Derives without the lock, and again when another thread has changed the key meanwhile.
    fn ratchet(
        &self,
        find: impl Fn(&State) -> Option<Arc<Key>>,
        replace: impl FnOnce(&mut State, Arc<Key>),
    ) -> Option<Vec<u8>> {
        loop {
            let key = find(&self.read())?;
            let next = key.derive_next();
            let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
            if find(&state).is_some_and(|now| Arc::ptr_eq(&now, &key)) {
                replace(&mut state, next.clone());
                self.shared.generation.fetch_add(1, Ordering::Release);
                return Some(next.material().to_vec());
            }
        }
    }

    fn slot(&self, index: u32) -> u8 {
        (index as usize % self.shared.options.ring_size) as u8
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // A panic inside leaves the state whole: every change is a single assignment.
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        self.shared.generation.fetch_add(1, Ordering::Release);
    }
}

impl State {
    fn find(&self, identity: &str, slot: u8) -> Option<&Arc<Key>> {
        self.participants.get(identity).and_then(|ring| ring.key(slot)).or_else(|| self.shared.key(slot))
    }

    fn ring_mut(&mut self, identity: &str) -> &mut Ring {
        let size = self.shared.slots.len();
        let ring = self.participants.entry(identity.into()).or_insert_with(|| Arc::new(Ring::new(size)));
        Arc::make_mut(ring)
    }

    /// The shared key counts again for those who had ratcheted theirs alone.
    fn set_shared(&mut self, slot: u8, key: Arc<Key>, is_latest: bool) {
        Arc::make_mut(&mut self.shared).set(slot, Slot { key, follows_shared: false }, is_latest);
        let place = usize::from(slot);
        self.participants.retain(|_, ring| {
            if ring.slots[place].as_ref().is_some_and(|own| own.follows_shared) {
                Arc::make_mut(ring).slots[place] = None;
            }
            ring.slots.iter().any(Option::is_some)
        });
    }

    fn sender_index(&self, identity: &str) -> u8 {
        let own = || self.participants.get(identity)?.latest;
        self.sender_index.or_else(own).or(self.shared.latest).unwrap_or(0)
    }
}

/// The slots of one participant, or those that all share. Changed by replacing it, so that readers can keep one.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    slots: Box<[Option<Slot>]>,
    /// Where a key was set last.
    latest: Option<u8>,
}

#[derive(Debug, Clone)]
struct Slot {
    key: Arc<Key>,
    /// Made of the shared key by this participant's ratchet.
    follows_shared: bool,
}

impl Ring {
    fn new(size: usize) -> Self {
        Self { slots: vec![None; size].into(), latest: None }
    }

    pub(super) fn key(&self, slot: u8) -> Option<&Arc<Key>> {
        self.slots.get(usize::from(slot))?.as_ref().map(|slot| &slot.key)
    }

    fn set(&mut self, slot: u8, value: Slot, is_latest: bool) {
        self.slots[usize::from(slot)] = Some(value);
        if is_latest {
            self.latest = Some(slot);
        }
    }
}
