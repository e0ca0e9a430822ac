//! Data blobs: what participants store for others to read, which is schemas above all.

use std::collections::BTreeMap;

use livekit_protocol as proto;
use proto::data_blob_key::Key;
use proto::data_track_schema_encoding::{Value as Encoding, WellKnownSchemaEncoding};
use proto::request_response::Reason;
use proto::signal_response::Message as Response;

use super::Room;
use crate::forward::PeerKey;
use crate::schema::MAX_CUSTOM_ENCODING_LEN;

/// Most bytes in all blobs of a participant, keys (in text form) and contents together.
pub const MAX_BLOBS_LEN: usize = 64_000;

/// Longest key of a blob, in bytes of its text form.
pub const MAX_BLOB_KEY_LEN: usize = 256;

/// The blobs of one participant, by the text form of their keys. They go when it goes.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    blobs: BTreeMap<String, proto::DataBlob>,
    /// Bytes of keys and contents.
    len: usize,
}

impl Blobs {
    /// Takes a blob in, in place of an older one with the same key.
    fn store(&mut self, blob: proto::DataBlob) -> Result<(), (Reason, &'static str)> {
        let Some(key) = blob.key.as_ref().and_then(text_form) else {
            return Err((Reason::InvalidRequest, "data blob is invalid: it has no key"));
        };
        if key.len() > MAX_BLOB_KEY_LEN {
            return Err((Reason::InvalidRequest, "data blob is invalid: its key is longer than 256 bytes"));
        }
        if custom_encoding(&blob).is_some_and(|name| !(1..=MAX_CUSTOM_ENCODING_LEN).contains(&name.len())) {
            return Err((
                Reason::InvalidRequest,
                "data blob is invalid: a custom schema encoding has 1 to 32 bytes",
            ));
        }
        if blob.contents.is_empty() {
            return Err((Reason::InvalidRequest, "data blob is empty"));
        }
        // The older one counts until it is replaced, as with LiveKit's server.
        let len = key.len() + blob.contents.len();
        if self.len + len > MAX_BLOBS_LEN {
            return Err((
                Reason::LimitExceeded,
                "the data blobs of a participant have at most 64000 bytes together",
            ));
        }
        let key_len = key.len();
        self.len += len;
        if let Some(before) = self.blobs.insert(key, blob) {
            self.len -= key_len + before.contents.len();
        }
        Ok(())
    }

    fn find(&self, key: &proto::DataBlobKey) -> Option<&proto::DataBlob> {
        self.blobs.get(&text_form(key)?)
    }
}

impl Room {
    pub(super) fn handle_store_blob(&mut self, peer: PeerKey, request: proto::StoreDataBlobRequest) {
        let proto::StoreDataBlobRequest { request_id, blob } = request;
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let key = blob.as_ref().and_then(|blob| blob.key.clone());
        let stored = if self.config.data_blobs {
            participant.blobs.store(blob.unwrap_or_default())
        } else {
            Err((Reason::NotAllowed, "data blob not enabled"))
        };
        match stored {
            Ok(()) => {
                let response = proto::StoreDataBlobResponse { request_id, key };
                self.send(peer, Response::StoreDataBlobResponse(response));
            }
            // The request is not echoed: it may be large.
            Err((reason, message)) => self.refuse(peer, request_id, reason, message, None),
        }
    }

    pub(super) fn handle_get_blob(&mut self, peer: PeerKey, request: &proto::GetDataBlobRequest) {
        let id = request.request_id;
        let Some(key) = &request.key else {
            return self.refuse(peer, id, Reason::InvalidRequest, "data blob key is required", None);
        };
        let owner = self.by_identity.get(request.participant_identity.as_str());
        let Some(owner) = owner.and_then(|owner| self.participants.get(owner)) else {
            return self.refuse(peer, id, Reason::NotFound, "participant not found", None);
        };
        match owner.blobs.find(key).cloned() {
            Some(blob) => {
                let response = proto::GetDataBlobResponse { request_id: id, blob: Some(blob) };
                self.send(peer, Response::GetDataBlobResponse(response));
            }
            None => self.refuse(peer, id, Reason::NotFound, "data blob not found", None),
        }
    }
}

fn custom_encoding(blob: &proto::DataBlob) -> Option<&str> {
    match blob.key.as_ref()?.key.as_ref()? {
        Key::SchemaId(schema) => match schema.encoding.as_ref()?.value.as_ref()? {
            Encoding::Custom(name) => Some(name),
            Encoding::WellKnown(_) => None,
        },
        Key::Generic(_) => None,
    }
}

/// The key in protobuf's text form, on one line; `None` when it is none. LiveKit's server compares and measures keys in
/// this form.
fn text_form(key: &proto::DataBlobKey) -> Option<String> {
    let mut text = String::new();
    match key.key.as_ref()? {
        Key::Generic(name) => push_string(&mut text, "generic", name),
        Key::SchemaId(schema) => {
            text.push_str("schema_id:{");
            if !schema.name.is_empty() {
                push_string(&mut text, "name", &schema.name);
            }
            if let Some(encoding) = &schema.encoding {
                if !schema.name.is_empty() {
                    text.push(' ');
                }
                text.push_str("encoding:{");
                match &encoding.value {
                    None => {}
                    Some(Encoding::Custom(name)) => push_string(&mut text, "custom", name),
                    Some(Encoding::WellKnown(number)) => {
                        text.push_str("well_known:");
                        match WellKnownSchemaEncoding::try_from(*number) {
                            Ok(known) => text.push_str(known.as_str_name()),
                            Err(_) => text.push_str(&number.to_string()),
                        }
                    }
                }
                text.push('}');
            }
            text.push('}');
        }
    }
    Some(text)
}

fn push_string(text: &mut String, field: &str, value: &str) {
    text.push_str(field);
    text.push_str(":\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => text.push_str(&format!("\\x{:02x}", u32::from(character))),
            _ => text.push(character),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_have_the_text_form_of_protobuf() {
        let text = |key| text_form(&proto::DataBlobKey { key: Some(key) }).expect("a key");
        assert_eq!(text(Key::Generic("a\"b\\\n\u{1}é".into())), r#"generic:"a\"b\\\n\x01é""#);
        assert_eq!(
            text(schema("pose", Some(Encoding::WellKnown(1)))),
            r#"schema_id:{name:"pose" encoding:{well_known:WELL_KNOWN_SCHEMA_ENCODING_PROTOBUF}}"#
        );
        assert_eq!(
            text(schema("", Some(Encoding::Custom("mine".into())))),
            r#"schema_id:{encoding:{custom:"mine"}}"#
        );
        assert_eq!(
            text(schema("x", Some(Encoding::WellKnown(99)))),
            r#"schema_id:{name:"x" encoding:{well_known:99}}"#
        );
        assert_eq!(text_form(&proto::DataBlobKey { key: None }), None);
    }

    #[test]
    fn another_encoding_is_another_key_and_a_name_cannot_pretend_to_be_one() {
        let mut blobs = Blobs::default();
        let keys = [
            schema("x", None),
            schema("x", Some(Encoding::WellKnown(1))),
            schema("x", Some(Encoding::WellKnown(2))),
            schema("x", Some(Encoding::Custom("c".into()))),
            schema(r#"x" encoding:{custom:"c"#, None),
            Key::Generic("x".into()),
        ];
        for (index, key) in keys.iter().enumerate() {
            blobs.store(blob(key.clone(), &[index as u8])).expect("small");
        }
        for (index, key) in keys.into_iter().enumerate() {
            let found = blobs.find(&proto::DataBlobKey { key: Some(key) }).expect("stored");
            assert_eq!(found.contents, [index as u8]);
        }
    }

    proptest! {
        #[test]
        fn what_is_stored_never_grows_beyond_the_limit_and_the_count_is_right(
            stores in proptest::collection::vec((0u8..6, 0usize..30_000), 1..40),
        ) {
            let mut blobs = Blobs::default();
            let mut model: BTreeMap<u8, usize> = BTreeMap::new();
            for (key, len) in stores {
                // `generic:"k"` with one letter has 11 bytes.
                let before: usize = model.values().map(|len| len + 11).sum();
                let result = blobs.store(blob(Key::Generic(char::from(b'a' + key).into()), &vec![1; len]));
                let expected = if len == 0 {
                    Err(Reason::InvalidRequest)
                } else if before + len + 11 > MAX_BLOBS_LEN {
                    Err(Reason::LimitExceeded)
                } else {
                    model.insert(key, len);
                    Ok(())
                };
                prop_assert_eq!(result.map_err(|(reason, _)| reason), expected);
                prop_assert_eq!(blobs.len, model.values().map(|len| len + 11).sum::<usize>());
                prop_assert!(blobs.len <= MAX_BLOBS_LEN);
                prop_assert_eq!(blobs.blobs.len(), model.len());
            }
        }
    }

    fn schema(name: &str, encoding: Option<Encoding>) -> Key {
        let encoding = encoding.map(|value| proto::DataTrackSchemaEncoding { value: Some(value) });
        Key::SchemaId(proto::DataTrackSchemaId { name: name.into(), encoding })
    }

    fn blob(key: Key, contents: &[u8]) -> proto::DataBlob {
        proto::DataBlob { key: Some(proto::DataBlobKey { key: Some(key) }), contents: contents.to_vec() }
    }
}
