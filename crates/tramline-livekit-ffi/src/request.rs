//! What a request asks for, and its response.

use std::sync::Arc;

use prost::Message as _;

use crate::{
    client::{self, Client},
    keys, participant,
    proto::{self, FfiRequest, FfiResponse, ffi_event, ffi_request::Message as Request, ffi_response},
    publication, refusal, room, stats, subscription,
};

/// The encoded response; `None` is a failure that the messages have no words for.
pub(crate) fn handle(client: &Arc<Client>, bytes: &[u8]) -> Option<Vec<u8>> {
    let request = match FfiRequest::decode(bytes) {
        Ok(request) => request,
        Err(error) => {
            tracing::error!(%error, "a request is no FfiRequest");
            return None;
        }
    };
    match request.message {
        Some(request) => Some(FfiResponse { message: Some(answer(client, request)) }.encode_to_vec()),
        None => refusal::handle(client, bytes),
    }
}

fn answer(client: &Arc<Client>, request: Request) -> ffi_response::Message {
    use ffi_response::Message as Response;
    match request {
        Request::Dispose(request) => Response::Dispose(dispose(client, &request)),
        Request::Connect(request) => Response::Connect(room::connect(client, request)),
        Request::ReadyForRoomEvent(request) => Response::ReadyForRoomEvent(room::set_ready(&request)),
        Request::Disconnect(request) => Response::Disconnect(room::disconnect(client, &request)),
        Request::GetSessionStats(request) => Response::GetSessionStats(stats::report(client, &request)),
        Request::SetLocalMetadata(request) => {
            Response::SetLocalMetadata(participant::set_metadata(client, request))
        }
        Request::SetLocalName(request) => Response::SetLocalName(participant::set_name(client, request)),
        Request::SetLocalAttributes(request) => {
            Response::SetLocalAttributes(participant::set_attributes(client, request))
        }
        Request::E2ee(request) => Response::E2ee(keys::handle(request)),
        Request::PublishDataTrack(request) => {
            Response::PublishDataTrack(publication::publish(client, request))
        }
        Request::LocalDataTrackTryPush(request) => {
            Response::LocalDataTrackTryPush(publication::try_push(request))
        }
        Request::LocalDataTrackUnpublish(request) => {
            Response::LocalDataTrackUnpublish(publication::unpublish(&request))
        }
        Request::LocalDataTrackIsPublished(request) => {
            Response::LocalDataTrackIsPublished(publication::is_published(&request))
        }
        Request::SubscribeDataTrack(request) => {
            Response::SubscribeDataTrack(subscription::subscribe(client, &request))
        }
        Request::RemoteDataTrackIsPublished(request) => {
            Response::RemoteDataTrackIsPublished(subscription::is_published(&request))
        }
        Request::RemoteDataTrackSetPipelineOptions(request) => {
            Response::RemoteDataTrackSetPipelineOptions(subscription::set_pipeline_options(&request))
        }
        Request::DataTrackStreamRead(request) => {
            Response::DataTrackStreamRead(subscription::read(client, &request))
        }
        Request::DefineSchema(request) => Response::DefineSchema(participant::define_schema(client, request)),
        Request::GetSchema(request) => Response::GetSchema(participant::find_schema(client, request)),
    }
}

fn dispose(client: &Arc<Client>, request: &proto::DisposeRequest) -> proto::DisposeResponse {
    if !request.r#async {
        client::dispose();
        return proto::DisposeResponse { async_id: None };
    }
    let async_id = client.async_id(None);
    let client = Arc::clone(client);
    // On a thread of its own: it waits for all others.
    let started = tramline_net::runtime::spawn_thread("tramline-end", move || {
        client.emit(ffi_event::Message::Dispose(proto::DisposeCallback { async_id }));
        client::dispose();
    });
    if let Err(error) = started {
        tracing::error!(%error, "no thread to dispose on");
    }
    proto::DisposeResponse { async_id: Some(async_id) }
}
