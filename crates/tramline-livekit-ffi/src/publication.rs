//! Local tracks.

use std::sync::Arc;

use tramline::{DataTrackOptions, LocalDataTrack, PushFrameErrorReason};

use crate::{
    client::{Client, handles},
    convert,
    handle::Object,
    proto::{self, ffi_event, publish_data_track_callback::Result as Outcome},
    schema,
};

pub(crate) fn publish(
    client: &Arc<Client>,
    request: proto::PublishDataTrackRequest,
) -> proto::PublishDataTrackResponse {
    let async_id = client.async_id(request.request_async_id);
    let publisher = handles().publisher(request.local_participant_handle);
    let mut options = DataTrackOptions::new(request.options.name);
    if let Some(schema) = request.options.schema {
        options = options.with_schema(schema::id(schema));
    }
    if let Some(encoding) = request.options.frame_encoding.and_then(schema::frame_encoding) {
        options = options.with_frame_encoding(encoding);
    }
    let job = {
        let client = Arc::clone(client);
        async move {
            let result = match publisher {
                Some((participant, turns)) => {
                    // They never close.
                    let _turn = turns.acquire().await;
                    match participant.publish_data_track(options).await {
                        Ok(track) => Outcome::Track(announce(track)),
                        Err(error) => Outcome::Error(proto::PublishDataTrackError {
                            code: code(error.code()),
                            message: error.to_string(),
                        }),
                    }
                }
                None => Outcome::Error(proto::PublishDataTrackError {
                    code: proto::PublishDataTrackErrorCode::InvalidHandle as i32,
                    message: "the handle is no local participant's".to_owned(),
                }),
            };
            client.emit(ffi_event::Message::PublishDataTrack(proto::PublishDataTrackCallback {
                async_id,
                result: Some(result),
            }));
        }
    };
    client.spawn(job);
    proto::PublishDataTrackResponse { async_id }
}

fn announce(track: LocalDataTrack) -> proto::OwnedLocalDataTrack {
    let info = convert::track_info(track.info());
    let handle = convert::owned(handles().insert(Object::LocalTrack(track)));
    proto::OwnedLocalDataTrack { handle, info }
}

pub(crate) fn try_push(request: proto::LocalDataTrackTryPushRequest) -> proto::LocalDataTrackTryPushResponse {
    let error = match handles().local_track(request.track_handle) {
        Some(track) => {
            let proto::DataTrackFrame { payload, user_timestamp } = request.frame;
            track.try_push_bytes(&payload, user_timestamp).err().map(|reason| push_error(&reason))
        }
        None => Some(proto::LocalDataTrackTryPushError {
            code: proto::LocalDataTrackTryPushErrorCode::InvalidHandle as i32,
            message: "the handle is no local data track's".to_owned(),
        }),
    };
    proto::LocalDataTrackTryPushResponse { error }
}

fn push_error(error: &PushFrameErrorReason) -> proto::LocalDataTrackTryPushError {
    proto::LocalDataTrackTryPushError { code: code(error.code()), message: error.to_string() }
}

pub(crate) fn unpublish(
    request: &proto::LocalDataTrackUnpublishRequest,
) -> proto::LocalDataTrackUnpublishResponse {
    if let Some(track) = handles().local_track(request.track_handle) {
        track.unpublish();
    }
    proto::LocalDataTrackUnpublishResponse {}
}

pub(crate) fn is_published(
    request: &proto::LocalDataTrackIsPublishedRequest,
) -> proto::LocalDataTrackIsPublishedResponse {
    let track = handles().local_track(request.track_handle);
    proto::LocalDataTrackIsPublishedResponse { is_published: track.is_some_and(|track| track.is_published()) }
}

/// The SDK has LiveKit's numbers.
fn code(code: u32) -> i32 {
    i32::try_from(code).unwrap_or_default()
}
