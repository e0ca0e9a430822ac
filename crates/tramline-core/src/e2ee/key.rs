//! One key, and the keys that its ratchet makes of it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

use super::derive::KeyDerivation;

/// What encryption adds to a payload: the GCM tag at its end, in bytes.
pub const TAG_LEN: usize = 16;

/// Key material with the cipher made of it. Making one takes as long as its derivation does.
pub(super) struct Key {
    derivation: KeyDerivation,
    salt: Arc<[u8]>,
    material: Zeroizing<Vec<u8>>,
    cipher: LessSafeKey,
    /// The key after this one, once somebody has derived it. Whoever holds this key shares it.
    next: OnceLock<Arc<Key>>,
}

impl Key {
    pub(super) fn new(derivation: KeyDerivation, salt: Arc<[u8]>, material: Zeroizing<Vec<u8>>) -> Self {
        let cipher = derivation.cipher(&material, &salt);
        Self { derivation, salt, material, cipher, next: OnceLock::new() }
    }

    pub(super) fn material(&self) -> &[u8] {
        &self.material
    }

    /// The key one step of the ratchet later, derived if need be.
    pub(super) fn derive_next(&self) -> &Arc<Self> {
        self.next.get_or_init(|| {
            let material = self.derivation.ratchet(&self.material, &self.salt);
            Arc::new(Self::new(self.derivation, self.salt.clone(), material))
        })
    }

    /// The key one step of the ratchet later, if it is known; never waits.
    pub(super) fn next(&self) -> Option<&Arc<Self>> {
        self.next.get()
    }

    /// Encrypts `plaintext` into `out`, which is [`TAG_LEN`] bytes longer.
    pub(super) fn seal(&self, iv: [u8; 12], plaintext: &[u8], out: &mut [u8]) {
        let (ciphertext, tag) = out.split_at_mut(plaintext.len());
        self.cipher
            .seal_out_of_place_scatter(
                Nonce::assume_unique_for_key(iv),
                Aad::empty(),
                plaintext,
                ciphertext,
                &[],
                tag,
            )
            .expect("the caller sized `out`, and a frame is far below GCM's 64 GiB");
    }

    /// The plaintext of `sealed`, which stays as it is.
    pub(super) fn open(&self, iv: [u8; 12], sealed: &[u8]) -> Option<Bytes> {
        let (ciphertext, tag) = sealed.split_at(sealed.len().checked_sub(TAG_LEN)?);
        let mut plaintext = BytesMut::zeroed(ciphertext.len());
        self.cipher
            .open_separate_gather(
                Nonce::assume_unique_for_key(iv),
                Aad::empty(),
                ciphertext,
                tag,
                &mut plaintext,
            )
            .ok()?;
        Some(plaintext.freeze())
    }

    /// The plaintext of `sealed`, in the same memory when nobody else holds it. When it does not decrypt, nothing is
    /// left of it.
    pub(super) fn open_in_place(&self, iv: [u8; 12], sealed: Bytes) -> Option<Bytes> {
        match sealed.try_into_mut() {
            Ok(mut sealed) => {
                let nonce = Nonce::assume_unique_for_key(iv);
                let len = self.cipher.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?.len();
                sealed.truncate(len);
                Some(sealed.freeze())
            }
            Err(shared) => self.open(iv, &shared),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("derivation", &self.derivation).finish_non_exhaustive()
    }
}

/// The steps of a ratchet that a [`Decryptor`](super::Decryptor) would like to have tried.
///
/// With PBKDF2 each one takes many milliseconds, so the decryptor does not derive them itself: run this where nothing
/// waits for it. The frames that asked for it are lost; later ones find the derived keys.
#[derive(Debug)]
#[must_use = "nothing is derived before `run`"]
pub struct Derivation {
    pub(super) from: Arc<Key>,
    pub(super) steps: usize,
}

impl Derivation {
    /// Derives the keys. Takes two derivations for each step that nobody has derived yet.
    pub fn run(self) {
        let mut key = self.from;
        for _ in 0..self.steps {
            key = key.derive_next().clone();
        }
    }
}
