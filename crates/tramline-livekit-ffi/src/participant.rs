//! What the local participant says of itself, its schemas and its keys.

use std::sync::Arc;

use crate::{
    client::Client,
    proto::{self, ffi_event},
};

const NOT_YET: &str = "Tramline does not support this request yet";

pub(crate) fn set_metadata(
    client: &Arc<Client>,
    request: proto::SetLocalMetadataRequest,
) -> proto::SetLocalMetadataResponse {
    let async_id = client.async_id(request.request_async_id);
    answer(
        client,
        ffi_event::Message::SetLocalMetadata(proto::SetLocalMetadataCallback {
            async_id,
            error: Some(NOT_YET.to_owned()),
        }),
    );
    proto::SetLocalMetadataResponse { async_id }
}

pub(crate) fn set_name(
    client: &Arc<Client>,
    request: proto::SetLocalNameRequest,
) -> proto::SetLocalNameResponse {
    let async_id = client.async_id(request.request_async_id);
    answer(
        client,
        ffi_event::Message::SetLocalName(proto::SetLocalNameCallback {
            async_id,
            error: Some(NOT_YET.to_owned()),
        }),
    );
    proto::SetLocalNameResponse { async_id }
}

pub(crate) fn set_attributes(
    client: &Arc<Client>,
    request: proto::SetLocalAttributesRequest,
) -> proto::SetLocalAttributesResponse {
    let async_id = client.async_id(request.request_async_id);
    answer(
        client,
        ffi_event::Message::SetLocalAttributes(proto::SetLocalAttributesCallback {
            async_id,
            error: Some(NOT_YET.to_owned()),
        }),
    );
    proto::SetLocalAttributesResponse { async_id }
}

pub(crate) fn define_schema(
    client: &Arc<Client>,
    request: proto::DefineSchemaRequest,
) -> proto::DefineSchemaResponse {
    let async_id = client.async_id(request.request_async_id);
    answer(
        client,
        ffi_event::Message::DefineSchema(proto::DefineSchemaCallback {
            async_id,
            error: Some(NOT_YET.to_owned()),
        }),
    );
    proto::DefineSchemaResponse { async_id }
}

pub(crate) fn find_schema(
    client: &Arc<Client>,
    request: proto::GetSchemaRequest,
) -> proto::GetSchemaResponse {
    let async_id = client.async_id(request.request_async_id);
    answer(
        client,
        ffi_event::Message::GetSchema(proto::GetSchemaCallback {
            async_id,
            definition: None,
            error: Some(NOT_YET.to_owned()),
        }),
    );
    proto::GetSchemaResponse { async_id }
}

pub(crate) fn e2ee(_request: proto::E2eeRequest) -> proto::E2eeResponse {
    proto::E2eeResponse { message: None }
}

fn answer(client: &Arc<Client>, message: ffi_event::Message) {
    let later = Arc::clone(client);
    client.spawn(async move { later.emit(message) });
}
