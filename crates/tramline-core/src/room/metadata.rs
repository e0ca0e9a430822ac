//! Name, metadata and attributes, as a participant may change its own.

use std::time::Instant;

use livekit_protocol as proto;
use proto::request_response::{Reason, Request};

use super::output::Output;
use super::participant::Grants;
use super::{Room, TOKEN_REFRESH};
use crate::forward::PeerKey;
use crate::session::SelfUpdate;

/// Longest metadata, in bytes.
pub const MAX_METADATA_LEN: usize = 512 * 1024;

/// Most bytes in all attributes of a participant, keys and values together.
pub const MAX_ATTRIBUTES_LEN: usize = 64 * 1024;

/// Longest name of a participant, in bytes.
pub const MAX_NAME_LEN: usize = 256;

/// Clients above this protocol number are told about success too.
const SILENT_SUCCESS_UP_TO: i32 = 14;

/// Metadata, a name or attributes are longer than a server keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{len} bytes are too many: a name has at most {MAX_NAME_LEN}, attributes {MAX_ATTRIBUTES_LEN}, metadata {MAX_METADATA_LEN}"
)]
pub struct MetadataTooLong {
    /// What it has.
    pub len: usize,
}

impl Room {
    /// `UpdateParticipantMetadata`: empty name and metadata mean no change, an attribute without a value is deleted.
    pub(super) fn handle_metadata(
        &mut self,
        now: Instant,
        peer: PeerKey,
        request: proto::UpdateParticipantMetadata,
    ) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let id = request.request_id;
        let refusal = if !participant.grants.can_update_own_metadata {
            Some((Reason::NotAllowed, "does not have permission to update own metadata"))
        } else if request.name.len() > MAX_NAME_LEN {
            Some((Reason::LimitExceeded, "the name is longer than 256 bytes"))
        } else if request.metadata.len() > MAX_METADATA_LEN {
            Some((Reason::LimitExceeded, "the metadata is longer than 512 KiB"))
        } else {
            let mut attributes = participant.attributes.clone();
            for (key, value) in &request.attributes {
                if value.is_empty() {
                    attributes.remove(key);
                } else {
                    attributes.insert(key.clone(), value.clone());
                }
            }
            let len: usize = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
            if len > MAX_ATTRIBUTES_LEN {
                Some((Reason::LimitExceeded, "the attributes are longer than 64 KiB together"))
            } else {
                participant.attributes = attributes;
                None
            }
        };
        if let Some((reason, message)) = refusal {
            return self.refuse(peer, id, reason, message, Some(Request::UpdateMetadata(request)));
        }
        if !request.name.is_empty() {
            participant.name.clone_from(&request.name);
        }
        if !request.metadata.is_empty() {
            participant.metadata.clone_from(&request.metadata);
        }
        participant.version += 1;
        let wants_success = participant.client.protocol > SILENT_SUCCESS_UP_TO;
        self.changed(now, peer, true);
        self.refresh_token(now, peer);
        if wants_success {
            self.respond(peer, id, Reason::Ok, "", Some(Request::UpdateMetadata(request)));
        }
    }

    /// Changes the room's metadata, and tells everybody.
    ///
    /// # Errors
    /// It is too long.
    pub fn set_metadata(&mut self, metadata: String) -> Result<(), MetadataTooLong> {
        if metadata.len() > MAX_METADATA_LEN {
            return Err(MetadataTooLong { len: metadata.len() });
        }
        if self.metadata != metadata {
            self.metadata = metadata;
            self.tell_room();
        }
        Ok(())
    }

    /// Changes what the application stored with a participant, on behalf of the server's owner: unlike the participant itself, who may clear nothing.
    ///
    /// # Errors
    /// A value is too long; nothing is changed then.
    pub fn update_participant(
        &mut self,
        now: Instant,
        peer: PeerKey,
        update: SelfUpdate,
    ) -> Result<(), MetadataTooLong> {
        self.timeout = None;
        let Some(participant) = self.participants.get_mut(&peer) else { return Ok(()) };
        let mut attributes = participant.attributes.clone();
        for (key, value) in update.attributes {
            if value.is_empty() {
                attributes.remove(&key);
            } else {
                attributes.insert(key, value);
            }
        }
        let attributes_len = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
        let name_len = update.name.as_ref().map_or(0, String::len);
        let metadata_len = update.metadata.as_ref().map_or(0, String::len);
        let limits = [
            (attributes_len, MAX_ATTRIBUTES_LEN),
            (name_len, MAX_NAME_LEN),
            (metadata_len, MAX_METADATA_LEN),
        ];
        if let Some((len, _)) = limits.into_iter().find(|(len, limit)| len > limit) {
            return Err(MetadataTooLong { len });
        }
        participant.attributes = attributes;
        if let Some(name) = update.name {
            participant.name = name;
        }
        if let Some(metadata) = update.metadata {
            participant.metadata = metadata;
        }
        participant.version += 1;
        self.changed(now, peer, true);
        self.refresh_token(now, peer);
        Ok(())
    }

    /// Changes what a participant may do. Without `can_publish_data` its tracks are unpublished, without
    /// `can_subscribe` its subscriptions end.
    pub fn set_grants(&mut self, now: Instant, peer: PeerKey, grants: Grants) {
        self.timeout = None;
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        if participant.grants == grants {
            return;
        }
        participant.grants = grants;
        participant.version += 1;
        if !grants.can_publish_data {
            self.unpublish_all(now, peer);
        }
        if !grants.can_subscribe {
            self.drop_subscriptions(peer);
            self.handles_changed(now, peer);
        }
        self.changed(now, peer, true);
        self.refresh_token(now, peer);
        self.retry_pending(now, peer);
    }

    fn refresh_token(&mut self, now: Instant, peer: PeerKey) {
        if let Some(participant) = self.participants.get_mut(&peer) {
            participant.next_token = now + TOKEN_REFRESH;
            self.output.push_back(Output::RefreshToken { peer, claims: participant.claims() });
        }
    }
}
