//! What a request asks for, and its response.

use std::sync::Arc;

use prost::Message as _;

use crate::{
    call,
    client::{self, Client},
    keys, packet, participant,
    proto::{self, FfiRequest, FfiResponse, ffi_event, ffi_request::Message as Request, ffi_response},
    publication, reading, refusal, room, stats, subscription, writing,
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
        Request::PublishData(request) => Response::PublishData(packet::publish(client, request)),
        Request::PublishSipDtmf(request) => Response::PublishSipDtmf(packet::publish_dtmf(client, request)),
        Request::SendChatMessage(request) => Response::SendChatMessage(packet::send_chat(client, request)),
        Request::EditChatMessage(request) => Response::SendChatMessage(packet::edit_chat(client, request)),
        Request::SendStreamHeader(request) => {
            Response::SendStreamHeader(packet::send_header(client, request))
        }
        Request::SendStreamChunk(request) => Response::SendStreamChunk(packet::send_chunk(client, request)),
        Request::SendStreamTrailer(request) => {
            Response::SendStreamTrailer(packet::send_trailer(client, request))
        }
        Request::PerformRpc(request) => Response::PerformRpc(call::perform(client, request)),
        Request::RegisterRpcMethod(request) => Response::RegisterRpcMethod(call::register(client, request)),
        Request::UnregisterRpcMethod(request) => Response::UnregisterRpcMethod(call::unregister(request)),
        Request::RpcMethodInvocationResponse(request) => {
            Response::RpcMethodInvocationResponse(call::respond(client, request))
        }
        Request::SendText(request) => Response::SendText(writing::send_text(client, request)),
        Request::SendBytes(request) => Response::SendBytes(writing::send_bytes(client, request)),
        Request::SendFile(request) => Response::SendFile(writing::send_file(client, request)),
        Request::TextStreamOpen(request) => Response::TextStreamOpen(writing::open_text(client, request)),
        Request::TextStreamWrite(request) => Response::TextStreamWrite(writing::write_text(client, request)),
        Request::TextStreamClose(request) => Response::TextStreamClose(writing::close_text(client, request)),
        Request::ByteStreamOpen(request) => Response::ByteStreamOpen(writing::open_bytes(client, request)),
        Request::ByteStreamWrite(request) => Response::ByteStreamWrite(writing::write_bytes(client, request)),
        Request::ByteStreamClose(request) => Response::ByteStreamClose(writing::close_bytes(client, request)),
        Request::TextReadIncremental(request) => {
            Response::TextReadIncremental(reading::read_text(client, &request))
        }
        Request::TextReadAll(request) => Response::TextReadAll(reading::read_all_text(client, &request)),
        Request::ByteReadIncremental(request) => {
            Response::ByteReadIncremental(reading::read_bytes(client, &request))
        }
        Request::ByteReadAll(request) => Response::ByteReadAll(reading::read_all_bytes(client, &request)),
        Request::ByteWriteToFile(request) => Response::ByteWriteToFile(reading::save(client, request)),
        Request::SetTrackSubscriptionPermissions(request) => {
            Response::SetTrackSubscriptionPermissions(participant::set_permissions(request))
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
