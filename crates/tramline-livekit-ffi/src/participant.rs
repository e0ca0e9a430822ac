//! What the local participant says of itself, and the schemas that it defines and reads.

use std::{fmt::Display, sync::Arc};

use tramline::{DataTrackSid, LocalParticipant, ParticipantTrackPermission};

use crate::{
    client::{Client, handles},
    handle::Handle,
    proto::{self, ffi_event::Message as Event},
    schema,
};

const UNKNOWN: &str = "the handle is no local participant's";

pub(crate) fn set_metadata(
    client: &Arc<Client>,
    request: proto::SetLocalMetadataRequest,
) -> proto::SetLocalMetadataResponse {
    let async_id = client.async_id(request.request_async_id);
    let metadata = request.metadata;
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.set_metadata(metadata).await,
        move |outcome| {
            Event::SetLocalMetadata(proto::SetLocalMetadataCallback { async_id, error: outcome.err() })
        },
    );
    proto::SetLocalMetadataResponse { async_id }
}

pub(crate) fn set_name(
    client: &Arc<Client>,
    request: proto::SetLocalNameRequest,
) -> proto::SetLocalNameResponse {
    let async_id = client.async_id(request.request_async_id);
    let name = request.name;
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.set_name(name).await,
        move |outcome| Event::SetLocalName(proto::SetLocalNameCallback { async_id, error: outcome.err() }),
    );
    proto::SetLocalNameResponse { async_id }
}

pub(crate) fn set_attributes(
    client: &Arc<Client>,
    request: proto::SetLocalAttributesRequest,
) -> proto::SetLocalAttributesResponse {
    let async_id = client.async_id(request.request_async_id);
    let attributes = request.attributes.into_iter().map(|entry| (entry.key, entry.value)).collect();
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.set_attributes(attributes).await,
        move |outcome| {
            Event::SetLocalAttributes(proto::SetLocalAttributesCallback { async_id, error: outcome.err() })
        },
    );
    proto::SetLocalAttributesResponse { async_id }
}

/// Ids that no track can have name none.
pub(crate) fn set_permissions(
    request: proto::SetTrackSubscriptionPermissionsRequest,
) -> proto::SetTrackSubscriptionPermissionsResponse {
    if let Some(participant) = handles().local_participant(request.local_participant_handle) {
        let permissions = request.permissions.into_iter().map(|permission| ParticipantTrackPermission {
            participant_identity: permission.participant_identity.as_str().into(),
            allow_all: permission.allow_all.unwrap_or_default(),
            allowed_track_sids: permission
                .allowed_track_sids
                .iter()
                .filter_map(|sid| DataTrackSid::try_from(sid.as_str()).ok())
                .collect(),
            allowed_track_names: Vec::new(),
        });
        participant
            .set_track_subscription_permissions(request.all_participants_allowed, permissions.collect());
    }
    proto::SetTrackSubscriptionPermissionsResponse {}
}

pub(crate) fn define_schema(
    client: &Arc<Client>,
    request: proto::DefineSchemaRequest,
) -> proto::DefineSchemaResponse {
    let async_id = client.async_id(request.request_async_id);
    let (id, definition) = (schema::id(request.schema_id), request.definition);
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.define_schema(id, definition).await,
        move |outcome| Event::DefineSchema(proto::DefineSchemaCallback { async_id, error: outcome.err() }),
    );
    proto::DefineSchemaResponse { async_id }
}

pub(crate) fn find_schema(
    client: &Arc<Client>,
    request: proto::GetSchemaRequest,
) -> proto::GetSchemaResponse {
    let async_id = client.async_id(request.request_async_id);
    let (id, publisher) = (schema::id(request.schema_id), request.participant_identity);
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.fetch_schema(id, publisher).await,
        move |outcome| {
            let (definition, error) = match outcome {
                Ok(definition) => (Some(definition.as_ref().to_owned()), None),
                Err(error) => (None, Some(error)),
            };
            Event::GetSchema(proto::GetSchemaCallback { async_id, definition, error })
        },
    );
    proto::GetSchemaResponse { async_id }
}

/// Has a local participant do something, and tells how that went.
pub(crate) fn later<T, E, Act, Doing, Tell>(client: &Arc<Client>, participant: Handle, act: Act, tell: Tell)
where
    E: Display,
    Act: FnOnce(LocalParticipant) -> Doing + Send + 'static,
    Doing: Future<Output = Result<T, E>> + Send,
    Tell: FnOnce(Result<T, String>) -> Event + Send + 'static,
{
    let participant = handles().local_participant(participant);
    let later = Arc::clone(client);
    client.spawn(async move {
        let outcome = match participant {
            Some(participant) => act(participant).await.map_err(|error| error.to_string()),
            None => Err(UNKNOWN.to_owned()),
        };
        later.emit(tell(outcome));
    });
}
