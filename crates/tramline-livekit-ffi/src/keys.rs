//! End-to-end encryption: the keys of a room.

use tramline::{KeyDerivation, KeyOptions, KeyProvider};

use crate::{
    client::handles,
    proto::{
        self, E2eeRequest, E2eeResponse, EncryptionType, KeyDerivationFunction, KeyProviderOptions,
        e2ee_request, e2ee_response,
    },
    room::RoomEntry,
};

/// The keys that a room is joined with, if it is to be encrypted.
pub(crate) fn provider(options: &proto::E2eeOptions) -> Option<KeyProvider> {
    if options.encryption_type == EncryptionType::None as i32 {
        return None;
    }
    let KeyProviderOptions { shared_key, ratchet_window_size, ratchet_salt, key_ring_size, .. } =
        &options.key_provider_options;
    let derivation = match options.key_provider_options.key_derivation_function() {
        KeyDerivationFunction::Pbkdf2 => KeyDerivation::Pbkdf2,
        KeyDerivationFunction::Hkdf => KeyDerivation::Hkdf,
    };
    let mut made_of = KeyOptions::default()
        .with_derivation(derivation)
        .with_ratchet_window(usize::try_from(*ratchet_window_size).unwrap_or(0))
        .with_ring_size(usize::try_from(*key_ring_size).unwrap_or(0));
    if !ratchet_salt.is_empty() {
        made_of = made_of.with_ratchet_salt(ratchet_salt.to_vec());
    }
    let keys = KeyProvider::new(made_of);
    if let Some(key) = shared_key {
        set(keys.set_shared_key(key, 0));
    }
    Some(keys)
}

/// The answers have no place for an error: what cannot be done is logged and answered with nothing.
pub(crate) fn handle(request: E2eeRequest) -> E2eeResponse {
    let room = handles().room(request.room_handle);
    let message = request.message.map(|message| answer(room.as_deref(), message));
    if message.is_none() {
        tracing::warn!("an encryption request without a message");
    }
    E2eeResponse { message }
}

fn answer(room: Option<&RoomEntry>, request: e2ee_request::Message) -> e2ee_response::Message {
    use e2ee_request::Message as Request;
    use e2ee_response::Message as Response;
    let keys = room.and_then(RoomEntry::keys);
    if keys.is_none() {
        tracing::warn!("an encryption request for a room that was joined without encryption");
    }
    match request {
        Request::ManagerSetEnabled(request) => {
            if let Some(room) = room {
                room.room().set_encrypting(request.enabled);
            }
            Response::ManagerSetEnabled(proto::E2eeManagerSetEnabledResponse {})
        }
        Request::ManagerGetFrameCryptors(_) => {
            Response::ManagerGetFrameCryptors(proto::E2eeManagerGetFrameCryptorsResponse {})
        }
        Request::CryptorSetEnabled(_) => {
            Response::CryptorSetEnabled(proto::FrameCryptorSetEnabledResponse {})
        }
        Request::CryptorSetKeyIndex(_) => {
            Response::CryptorSetKeyIndex(proto::FrameCryptorSetKeyIndexResponse {})
        }
        Request::SetSharedKey(request) => {
            if let (Some(keys), Some(index)) = (keys, index(request.key_index)) {
                set(keys.set_shared_key(&request.shared_key, index));
            }
            Response::SetSharedKey(proto::SetSharedKeyResponse {})
        }
        Request::RatchetSharedKey(request) => {
            let key = keys.zip(index(request.key_index));
            let new_key = key.and_then(|(keys, index)| keys.ratchet_shared_key(index)).map(Into::into);
            Response::RatchetSharedKey(proto::RatchetSharedKeyResponse { new_key })
        }
        Request::GetSharedKey(request) => {
            let key = keys.zip(index(request.key_index));
            let key = key.and_then(|(keys, index)| keys.shared_key(index)).map(Into::into);
            Response::GetSharedKey(proto::GetSharedKeyResponse { key })
        }
        Request::SetKey(request) => {
            if let (Some(keys), Some(index)) = (keys, index(request.key_index)) {
                set(keys.set_key(&request.participant_identity, &request.key, index));
            }
            Response::SetKey(proto::SetKeyResponse {})
        }
        Request::RatchetKey(request) => {
            let key = keys.zip(index(request.key_index));
            let new_key =
                key.and_then(|(keys, index)| keys.ratchet_key(&request.participant_identity, index));
            Response::RatchetKey(proto::RatchetKeyResponse { new_key: new_key.map(Into::into) })
        }
        Request::GetKey(request) => {
            let key = keys.zip(index(request.key_index));
            let key = key.and_then(|(keys, index)| keys.key(&request.participant_identity, index));
            Response::GetKey(proto::GetKeyResponse { key: key.map(Into::into) })
        }
    }
}

fn set(outcome: Result<u8, tramline::EmptyKey>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "a key was not set");
    }
}

/// A slot; a negative one is none.
fn index(index: i32) -> Option<u32> {
    u32::try_from(index).ok()
}
