//! Keys of end-to-end encryption.

use std::{ffi::c_char, mem::size_of, ptr};

use sdk::{EmptyKey, KeyDerivation, KeyOptions, KeyProvider};

use crate::{
    error::{Failure, guard, guard_or},
    handle::{self, Out, Owned, handle},
    status::tramline_status::{self, *},
    structs::{self, Extensible},
    text::{self, tramline_bytes},
};

/// The keys of one or more rooms: set before or after they are joined, on any thread. A room keeps what it needs of them; the handle may be
/// freed.
///
/// Every participant has a ring of numbered slots, and there is one more ring that all share. Whoever looks for a participant's key at an
/// index gets its own one, or else the shared one. A local participant sends with the index that was set last, unless
/// `tramline_keys_set_sender_index` says otherwise. To change keys without losing frames, set the new one at another index everywhere but at
/// the sender, then at the sender.
pub struct tramline_keys(Owned<KeyProvider>);
handle!(tramline_keys holds KeyProvider);

/// How keys are derived. Every participant of a room needs the same.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_key_derivation {
    /// PBKDF2-HMAC-SHA-256 with 100,000 rounds, for passphrases; takes milliseconds for each key.
    TRAMLINE_KEY_DERIVATION_PBKDF2 = 0,
    /// HKDF-SHA-256, for keys that are random already; takes microseconds.
    TRAMLINE_KEY_DERIVATION_HKDF = 1,
}

/// What `tramline_keys` are made of. Take `tramline_key_options_defaults` and set what differs.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_key_options {
    /// `sizeof(tramline_key_options)`.
    pub struct_size: usize,
    /// The salt of the derivation and of the ratchet; null is LiveKit's, "LKFrameEncryptionKey".
    pub ratchet_salt: *const u8,
    /// Its length in bytes.
    pub ratchet_salt_len: usize,
    /// How many steps a sender's ratchet may be ahead of the key here, at most 16. Default 0: a frame that does not decrypt costs one attempt.
    pub ratchet_window: u32,
    /// Slots of each ring, at most 256; 0 is the default, 16.
    pub ring_size: u32,
    /// One of `tramline_key_derivation`. Default PBKDF2.
    pub derivation: i32,
}

// SAFETY: integers and a pointer, `struct_size` first.
unsafe impl Extensible for tramline_key_options {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            ratchet_salt: ptr::null(),
            ratchet_salt_len: 0,
            ratchet_window: 0,
            ring_size: 0,
            derivation: tramline_key_derivation::TRAMLINE_KEY_DERIVATION_PBKDF2 as i32,
        }
    }
}

impl tramline_key_options {
    /// # Safety
    /// The rule on bytes, for the salt.
    unsafe fn to_sdk(self) -> Result<KeyOptions, Failure> {
        const PBKDF2: i32 = tramline_key_derivation::TRAMLINE_KEY_DERIVATION_PBKDF2 as i32;
        const HKDF: i32 = tramline_key_derivation::TRAMLINE_KEY_DERIVATION_HKDF as i32;
        let derivation = match self.derivation {
            PBKDF2 => KeyDerivation::Pbkdf2,
            HKDF => KeyDerivation::Hkdf,
            other => {
                return Err(Failure::invalid(format!(
                    "options.derivation is {other}; expected one of tramline_key_derivation"
                )));
            }
        };
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let options = KeyOptions::default()
            .with_derivation(derivation)
            .with_ratchet_window(size(self.ratchet_window))
            .with_ring_size(size(self.ring_size));
        if self.ratchet_salt.is_null() {
            return Ok(options);
        }
        // SAFETY: the same rule.
        let salt = unsafe { text::bytes(self.ratchet_salt, self.ratchet_salt_len, "options.ratchet_salt") }?;
        Ok(options.with_ratchet_salt(salt))
    }
}

/// Fills `options` with the defaults. `struct_size` is `sizeof(tramline_key_options)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_key_options_defaults(
    options: *mut tramline_key_options,
    struct_size: usize,
) -> tramline_status {
    // SAFETY: the rule on structs, with the size as an argument.
    guard(|| unsafe { structs::write_defaults(options, struct_size, "options") })
}

/// Keys without a key. Null `options` are the defaults. Hand them to a room in its options, and set keys at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_keys_new(
    options: *const tramline_key_options,
    keys: *mut *mut tramline_keys,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, structs and bytes.
        let (out, options) =
            unsafe { (Out::handle(keys, "keys")?, structs::read(options, "options")?.to_sdk()?) };
        out.set(handle::new(KeyProvider::new(options)));
        Ok(())
    })
}

/// Sets the key that all participants share, at an index modulo the ring size; the next frames are sent with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_keys_set_shared(
    keys: *const tramline_keys,
    key: *const u8,
    key_len: usize,
    index: u32,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (keys, key) = unsafe { (handle::value(keys, "keys")?, text::bytes(key, key_len, "key")?) };
        keys.set_shared_key(key, index)?;
        Ok(())
    })
}

/// The shared key at an index as it was set, or what its ratchet has made of it; to be freed. `TRAMLINE_ERR_NOT_FOUND` when there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_keys_export_shared(
    keys: *const tramline_keys,
    index: u32,
    key: *mut tramline_bytes,
) -> tramline_status {
    // SAFETY: the rules on handles and results.
    unsafe { key_of(keys, key, index, |keys| keys.shared_key(index)) }
}

/// Replaces the shared key at an index by the one that its ratchet makes of it, which is returned too; to be freed. Receivers follow when they do
/// the same, or within their ratchet window. `TRAMLINE_ERR_NOT_FOUND` when there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_keys_ratchet_shared(
    keys: *const tramline_keys,
    index: u32,
    key: *mut tramline_bytes,
) -> tramline_status {
    // SAFETY: the rules on handles and results.
    unsafe { key_of(keys, key, index, |keys| keys.ratchet_shared_key(index)) }
}

/// Sets the key of one participant, the local one included, at an index modulo the ring size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_keys_set(
    keys: *const tramline_keys,
    identity: *const c_char,
    identity_len: usize,
    key: *const u8,
    key_len: usize,
    index: u32,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (keys, identity, key) = unsafe {
            (
                handle::value(keys, "keys")?,
                text::text(identity, identity_len, "identity")?,
                text::bytes(key, key_len, "key")?,
            )
        };
        keys.set_key(identity, key, index)?;
        Ok(())
    })
}

/// As `tramline_keys_export_shared`, for the key of one participant, or the shared one when it has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_keys_export(
    keys: *const tramline_keys,
    identity: *const c_char,
    identity_len: usize,
    index: u32,
    key: *mut tramline_bytes,
) -> tramline_status {
    // SAFETY: the rules on handles, bytes and results.
    unsafe {
        with_identity(identity, identity_len, |identity| {
            key_of(keys, key, index, |keys| keys.key(identity, index))
        })
    }
}

/// As `tramline_keys_ratchet_shared`, for the key of one participant. When it was the shared one, it is so no more for this participant, until that is
/// set anew.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_keys_ratchet(
    keys: *const tramline_keys,
    identity: *const c_char,
    identity_len: usize,
    index: u32,
    key: *mut tramline_bytes,
) -> tramline_status {
    // SAFETY: the rules on handles, bytes and results.
    unsafe {
        with_identity(identity, identity_len, |identity| {
            key_of(keys, key, index, |keys| keys.ratchet_key(identity, index))
        })
    }
}

/// Forgets all keys of a participant: it has the shared ones again, if any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_keys_remove(
    keys: *const tramline_keys,
    identity: *const c_char,
    identity_len: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (keys, identity) =
            unsafe { (handle::value(keys, "keys")?, text::text(identity, identity_len, "identity")?) };
        keys.remove_keys(identity);
        Ok(())
    })
}

/// Fixes the index that local participants send with, modulo the ring size; negative is the one that was set last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_keys_set_sender_index(
    keys: *const tramline_keys,
    index: i64,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        let keys = unsafe { handle::value(keys, "keys") }?;
        let index =
            match index {
                ..0 => None,
                index => Some(u32::try_from(index).map_err(|_| {
                    Failure::invalid(format!("index is {index}; expected at most {}", u32::MAX))
                })?),
            };
        keys.set_sender_index(index);
        Ok(())
    })
}

/// Another handle to the same keys; null when `keys` is, or belongs to another process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_keys_clone(keys: *const tramline_keys) -> *mut tramline_keys {
    // SAFETY: the rule on handles.
    guard_or(ptr::null_mut(), || Ok(handle::share(unsafe { handle::value(keys, "keys") }?)))
}

/// Frees the handle; rooms keep the keys.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_keys_free(keys: *mut tramline_keys) {
    guard(|| {
        // SAFETY: the rule on handles; freeing is the last use.
        drop(unsafe { handle::take(keys) });
        Ok(())
    });
}

/// # Safety
/// The rules on handles and results.
unsafe fn key_of(
    keys: *const tramline_keys,
    out: *mut tramline_bytes,
    index: u32,
    find: impl FnOnce(&KeyProvider) -> Option<Vec<u8>>,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules above.
        let (out, keys) = unsafe {
            let out = Out::new(out, "key")?;
            out.set(tramline_bytes::EMPTY);
            (out, handle::value(keys, "keys")?)
        };
        let found = find(keys);
        let found = found.ok_or_else(|| {
            Failure::new(
                TRAMLINE_ERR_NOT_FOUND,
                format!(
                    "there is no key at index {index}; set one, below the ring size of {}",
                    keys.options().ring_size
                ),
            )
        })?;
        out.set(tramline_bytes::new(found));
        Ok(())
    })
}

/// # Safety
/// The rule on bytes.
unsafe fn with_identity(
    identity: *const c_char,
    len: usize,
    body: impl FnOnce(&str) -> tramline_status,
) -> tramline_status {
    let mut status = TRAMLINE_OK;
    let checked = guard(|| {
        // SAFETY: the same rule.
        status = body(unsafe { text::text(identity, len, "identity") }?);
        Ok(())
    });
    if checked == TRAMLINE_OK { status } else { checked }
}

impl From<EmptyKey> for Failure {
    fn from(error: EmptyKey) -> Self {
        Self::invalid(error.to_string())
    }
}
