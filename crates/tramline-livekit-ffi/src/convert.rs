//! From the SDK's types to messages.

use std::collections::BTreeMap;

use tramline::{
    ByteStreamInfo, ChatMessage, ConnectionQuality, DisconnectReason, ParticipantIdentity, ParticipantKind,
    Permissions, RemoteParticipant, TextOperation, TextStreamInfo,
};

use crate::{handle::Handle, proto, schema};

pub(crate) fn owned(id: Handle) -> proto::FfiOwnedHandle {
    proto::FfiOwnedHandle { id }
}

pub(crate) fn room_info(room: &tramline::Room) -> proto::RoomInfo {
    let info = room.info();
    proto::RoomInfo {
        sid: info.sid.map(|sid| sid.as_str().to_owned()),
        name: info.name,
        metadata: info.metadata,
        lossy_dc_buffered_amount_low_threshold: 0,
        reliable_dc_buffered_amount_low_threshold: 0,
        empty_timeout: info.empty_timeout_secs,
        departure_timeout: info.departure_timeout_secs,
        max_participants: info.max_participants,
        creation_time: info.created_at_ms,
        num_participants: info.num_participants,
        num_publishers: info.num_publishers,
        active_recording: info.is_recorded,
    }
}

/// Makes [`ParticipantInfo`](proto::ParticipantInfo) of either kind of participant; they have the same methods and no common type.
macro_rules! participant_info {
    ($participant:expr) => {{
        let participant = $participant;
        $crate::proto::ParticipantInfo {
            sid: participant.sid().as_str().to_owned(),
            name: participant.name(),
            identity: participant.identity().as_str().to_owned(),
            state: match participant.is_active() {
                true => $crate::proto::ParticipantState::Active,
                false => $crate::proto::ParticipantState::Joined,
            } as i32,
            metadata: participant.metadata(),
            attributes: participant
                .attributes()
                .into_iter()
                .map(|(key, value)| $crate::proto::participant_info::AttributesEntry {
                    key: Some(key),
                    value: Some(value),
                })
                .collect(),
            kind: $crate::convert::kind(participant.kind()) as i32,
            disconnect_reason: $crate::proto::DisconnectReason::UnknownReason as i32,
            joined_at: participant.joined_at_ms(),
            permission: Some($crate::convert::permission(participant.permissions())),
            client_protocol: participant.client_protocol(),
        }
    }};
}
pub(crate) use participant_info;

pub(crate) fn kind(kind: ParticipantKind) -> proto::ParticipantKind {
    match kind {
        ParticipantKind::Ingress => proto::ParticipantKind::Ingress,
        ParticipantKind::Egress => proto::ParticipantKind::Egress,
        ParticipantKind::Sip => proto::ParticipantKind::Sip,
        ParticipantKind::Agent => proto::ParticipantKind::Agent,
        _ => proto::ParticipantKind::Standard,
    }
}

pub(crate) fn quality(quality: ConnectionQuality) -> proto::ConnectionQuality {
    match quality {
        ConnectionQuality::Poor => proto::ConnectionQuality::QualityPoor,
        ConnectionQuality::Good => proto::ConnectionQuality::QualityGood,
        ConnectionQuality::Lost => proto::ConnectionQuality::QualityLost,
        _ => proto::ConnectionQuality::QualityExcellent,
    }
}

pub(crate) fn permission(permissions: Permissions) -> proto::ParticipantPermission {
    proto::ParticipantPermission {
        can_subscribe: permissions.can_subscribe,
        can_publish: permissions.can_publish,
        can_publish_data: permissions.can_publish_data,
        hidden: permissions.hidden,
        can_update_metadata: permissions.can_update_own_metadata,
        can_subscribe_metrics: false,
        can_manage_agent_session: false,
    }
}

pub(crate) fn attributes(attributes: BTreeMap<String, String>) -> Vec<proto::AttributesEntry> {
    attributes.into_iter().map(|(key, value)| proto::AttributesEntry { key, value }).collect()
}

/// Both sides have LiveKit's numbers.
pub(crate) fn reason(reason: DisconnectReason) -> i32 {
    reason.to_wire()
}

pub(crate) fn owned_remote(handle: Handle, participant: &RemoteParticipant) -> proto::OwnedParticipant {
    proto::OwnedParticipant { handle: owned(handle), info: participant_info!(participant) }
}

pub(crate) fn track_info(info: &tramline::DataTrackInfo) -> proto::DataTrackInfo {
    proto::DataTrackInfo {
        name: info.name().to_owned(),
        sid: info.sid().as_str().to_owned(),
        uses_e2ee: info.uses_e2ee(),
        schema: info.schema().map(schema::id_message),
        frame_encoding: info.frame_encoding().map(schema::frame_message),
    }
}

pub(crate) fn text(identity: &ParticipantIdentity) -> String {
    identity.as_str().to_owned()
}

pub(crate) fn identities(names: Vec<String>) -> Vec<ParticipantIdentity> {
    names.into_iter().map(|name| name.as_str().into()).collect()
}

/// An identity that may be left out.
pub(crate) fn identity(name: Option<String>) -> Option<ParticipantIdentity> {
    name.filter(|name| !name.is_empty()).map(|name| name.as_str().into())
}

/// Entries of the map in a message; each such message has a type of its own for them.
macro_rules! entries {
    ($attributes:expr, $message:ident) => {
        $attributes
            .into_iter()
            .map(|(key, value)| $crate::proto::$message::AttributesEntry {
                key: Some(key),
                value: Some(value),
            })
            .collect()
    };
}
pub(crate) use entries;

/// The map that such entries are.
macro_rules! map_of {
    ($entries:expr) => {
        $entries
            .into_iter()
            .map(|entry| (entry.key.unwrap_or_default(), entry.value.unwrap_or_default()))
            .collect()
    };
}
pub(crate) use map_of;

pub(crate) fn text_info(info: &TextStreamInfo) -> proto::TextStreamInfo {
    let operation = match info.operation() {
        TextOperation::Update => proto::text_stream_info::OperationType::Update,
        TextOperation::Delete => proto::text_stream_info::OperationType::Delete,
        TextOperation::Reaction => proto::text_stream_info::OperationType::Reaction,
        _ => proto::text_stream_info::OperationType::Create,
    };
    proto::TextStreamInfo {
        stream_id: info.id().to_owned(),
        timestamp: info.timestamp_ms(),
        mime_type: info.mime_type().to_owned(),
        topic: info.topic().to_owned(),
        total_length: info.total_length(),
        attributes: entries!(info.attributes(), text_stream_info),
        operation_type: operation as i32,
        version: Some(info.version()),
        reply_to_stream_id: info.reply_to_stream_id(),
        attached_stream_ids: info.attached_stream_ids(),
        generated: Some(info.generated()),
        encryption_type: encryption(info.is_encrypted()),
    }
}

pub(crate) fn byte_info(info: &ByteStreamInfo) -> proto::ByteStreamInfo {
    proto::ByteStreamInfo {
        stream_id: info.id().to_owned(),
        timestamp: info.timestamp_ms(),
        mime_type: info.mime_type().to_owned(),
        topic: info.topic().to_owned(),
        total_length: info.total_length(),
        attributes: entries!(info.attributes(), byte_stream_info),
        name: info.name().to_owned(),
        encryption_type: encryption(info.is_encrypted()),
    }
}

fn encryption(is_encrypted: bool) -> i32 {
    let kind = if is_encrypted { proto::EncryptionType::Gcm } else { proto::EncryptionType::None };
    kind as i32
}

pub(crate) fn chat(message: ChatMessage) -> proto::ChatMessage {
    proto::ChatMessage {
        id: message.id,
        timestamp: message.timestamp_ms,
        message: message.message,
        edit_timestamp: message.edit_timestamp_ms,
        deleted: Some(message.deleted),
        generated: Some(message.generated),
    }
}

pub(crate) fn stream_error(error: impl std::fmt::Display) -> proto::StreamError {
    proto::StreamError { description: error.to_string() }
}
