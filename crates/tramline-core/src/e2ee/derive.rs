//! From what the application gives to what the cipher takes.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::aead::{AES_128_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::{hkdf, pbkdf2};
use zeroize::Zeroizing;

/// PBKDF2 rounds; fixed by what other clients do.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");

/// HKDF's `info`: that many zero bytes.
const INFO: [u8; 128] = [0; 128];

const AES_KEY_LEN: usize = 16;

/// Length of the key material that one step of the ratchet makes, in bytes.
const RATCHETED_LEN: usize = 32;

/// How the AES key is made from what the application gives.
///
/// Both sides must do the same. LiveKit's native clients stretch everything with PBKDF2 unless told otherwise; its
/// browser client does so with strings, but takes HKDF for raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyDerivation {
    /// PBKDF2-HMAC-SHA-256 with 100 000 rounds: for passphrases. Takes milliseconds for each key.
    #[default]
    Pbkdf2,
    /// HKDF-SHA-256: for keys that are random already. Takes microseconds.
    Hkdf,
}

impl KeyDerivation {
    /// The name for errors and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pbkdf2 => "PBKDF2",
            Self::Hkdf => "HKDF",
        }
    }

    /// The cipher for `material`.
    pub(super) fn cipher(self, material: &[u8], salt: &[u8]) -> LessSafeKey {
        let mut key = Zeroizing::new([0; AES_KEY_LEN]);
        self.fill(material, salt, &mut *key);
        LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &*key).expect("the length of an AES-128 key"))
    }

    /// The key material one step after `material`.
    pub(super) fn ratchet(self, material: &[u8], salt: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut next = Zeroizing::new(vec![0; RATCHETED_LEN]);
        self.fill(material, salt, &mut next);
        next
    }

    fn fill(self, material: &[u8], salt: &[u8], out: &mut [u8]) {
        match self {
            Self::Pbkdf2 => pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, material, out),
            Self::Hkdf => hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
                .extract(material)
                .expand(&[&INFO[..]], Len(out.len()))
                .and_then(|key| key.fill(out))
                .expect("far below the 8160 bytes that HKDF-SHA-256 can make"),
        }
    }
}

impl fmt::Display for KeyDerivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}
