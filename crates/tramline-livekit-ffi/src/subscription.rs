//! Remote tracks and the streams of their frames.
//!
//! A stream is there at once and its subscription comes about in the background. Frames are asked for one by one: each read request is worth one
//! event. The end of a stream is told once, and not before the first request: wrappers begin to listen only after they have the stream.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tramline::{
    DataTrackFrame, DataTrackStream, DataTrackSubscribeError, DataTrackSubscribeOptions, LateFrames,
    RemoteDataTrack, RemoteDataTrackPipelineOptions,
};

use crate::{
    client::{Client, handles},
    convert,
    handle::{Handle, Object, lock},
    proto::{self, SubscribeDataTrackErrorCode as Code, data_track_stream_event::Detail, ffi_event},
};

/// Frames that wait for the wrapper when it names no number: LiveKit's.
const BUFFERED_FRAMES: u32 = 16;

/// Payload bytes that wait at most, whatever the number of frames is: the default number at the largest size.
const BUFFERED_BYTES: usize = 32 << 20;

/// A stream of the wrapper's.
#[derive(Default)]
pub(crate) struct StreamEntry {
    /// One permit when a read request is open. Several at once are one.
    wanted: Notify,
    closed: Notify,
    end: Mutex<Option<proto::DataTrackStreamEos>>,
}

impl StreamEntry {
    /// Ends the stream from this side; nothing more is told of it.
    pub(crate) fn close(&self) {
        self.closed.notify_one();
    }

    fn end(&self) -> Option<proto::DataTrackStreamEos> {
        lock(&self.end).clone()
    }
}

pub(crate) fn subscribe(
    client: &Arc<Client>,
    request: &proto::SubscribeDataTrackRequest,
) -> proto::SubscribeDataTrackResponse {
    let handles = handles();
    let stream = Arc::new(StreamEntry::default());
    let handle = handles.insert(Object::Stream(Arc::clone(&stream)));
    let feeder = Feeder { client: Arc::clone(client), handle, stream };
    match handles.remote_track(request.track_handle) {
        Some(track) => client.spawn(feeder.run(track, options(&request.options))),
        None => client.spawn(feeder.fail(error(Code::InvalidHandle, "the handle is no remote data track's"))),
    }
    proto::SubscribeDataTrackResponse {
        stream: proto::OwnedDataTrackStream { handle: convert::owned(handle) },
    }
}

/// As in LiveKit's clients, frames wait for their reader without growing too old; the oldest go when there are too many.
fn options(request: &proto::DataTrackSubscribeOptions) -> DataTrackSubscribeOptions {
    let frames = request.buffer_size.unwrap_or(BUFFERED_FRAMES).max(1);
    DataTrackSubscribeOptions::new()
        .with_buffer_size(usize::try_from(frames).unwrap_or(usize::MAX))
        .with_max_bytes(BUFFERED_BYTES)
        .with_max_age(None)
        // They were promised the order of publishing.
        .with_late_frames(LateFrames::Drop)
}

pub(crate) fn read(
    client: &Arc<Client>,
    request: &proto::DataTrackStreamReadRequest,
) -> proto::DataTrackStreamReadResponse {
    let eos_event = match handles().stream(request.stream_handle) {
        Some(stream) => {
            let end = stream.end();
            stream.wanted.notify_one();
            end
        }
        None => {
            let end = proto::DataTrackStreamEos {
                error: Some(error(Code::InvalidHandle, "the handle is no data-track stream's")),
            };
            // For whoever waits for an event.
            let (job, handle, told) = (Arc::clone(client), request.stream_handle, end.clone());
            client.spawn(async move { tell(&job, handle, Detail::Eos(told)) });
            Some(end)
        }
    };
    proto::DataTrackStreamReadResponse { eos_event }
}

/// Carries the frames of one stream to the wrapper.
struct Feeder {
    client: Arc<Client>,
    handle: Handle,
    stream: Arc<StreamEntry>,
}

impl Feeder {
    async fn run(self, track: RemoteDataTrack, options: DataTrackSubscribeOptions) {
        tokio::select! {
            biased;
            () = self.stream.closed.notified() => {}
            () = self.feed(&track, options) => {}
        }
    }

    async fn fail(self, error: proto::SubscribeDataTrackError) {
        tokio::select! {
            biased;
            () = self.stream.closed.notified() => {}
            () = self.finish(Some(error)) => {}
        }
    }

    async fn feed(&self, track: &RemoteDataTrack, options: DataTrackSubscribeOptions) {
        match track.subscribe_with_options(options).await {
            Ok(mut frames) => {
                self.pass_on(&mut frames).await;
                self.finish(None).await;
            }
            Err(error) => self.finish(Some(subscribe_error(&error))).await,
        }
    }

    /// One frame for each request, until there are no more.
    async fn pass_on(&self, frames: &mut DataTrackStream) {
        loop {
            self.stream.wanted.notified().await;
            match frames.read().await {
                Some(frame) => tell(&self.client, self.handle, Detail::FrameReceived(message(frame))),
                None => {
                    // The request is still open, and the end answers it.
                    self.stream.wanted.notify_one();
                    return;
                }
            }
        }
    }

    /// Tells the end to the first who asks.
    async fn finish(&self, error: Option<proto::SubscribeDataTrackError>) {
        let end = proto::DataTrackStreamEos { error };
        *lock(&self.stream.end) = Some(end.clone());
        self.stream.wanted.notified().await;
        tell(&self.client, self.handle, Detail::Eos(end));
    }
}

fn tell(client: &Client, stream_handle: Handle, detail: Detail) {
    let event = proto::DataTrackStreamEvent { stream_handle, detail: Some(detail) };
    client.emit(ffi_event::Message::DataTrackStreamEvent(event));
}

fn message(frame: DataTrackFrame) -> proto::DataTrackStreamFrameReceived {
    let user_timestamp = frame.user_timestamp();
    let frame = proto::DataTrackFrame { payload: frame.into_payload(), user_timestamp };
    proto::DataTrackStreamFrameReceived { frame }
}

fn subscribe_error(why: &DataTrackSubscribeError) -> proto::SubscribeDataTrackError {
    let code = match why {
        // LiveKit's library has a number for this and uses another one, which its tests want to see.
        DataTrackSubscribeError::Unpublished => Code::Internal,
        DataTrackSubscribeError::Timeout => Code::Timeout,
        DataTrackSubscribeError::Disconnected => Code::Disconnected,
        _ => Code::Unknown,
    };
    error(code, &why.to_string())
}

fn error(code: Code, message: &str) -> proto::SubscribeDataTrackError {
    proto::SubscribeDataTrackError { code: code as i32, message: message.to_owned() }
}

pub(crate) fn is_published(
    request: &proto::RemoteDataTrackIsPublishedRequest,
) -> proto::RemoteDataTrackIsPublishedResponse {
    let track = handles().remote_track(request.track_handle);
    proto::RemoteDataTrackIsPublishedResponse {
        is_published: track.is_some_and(|track| track.is_published()),
    }
}

/// An option that is not set keeps its value.
pub(crate) fn set_pipeline_options(
    request: &proto::RemoteDataTrackSetPipelineOptionsRequest,
) -> proto::RemoteDataTrackSetPipelineOptionsResponse {
    if let (Some(track), Some(frames)) =
        (handles().remote_track(request.track_handle), request.options.max_partial_frames)
    {
        let frames = usize::try_from(frames).unwrap_or(usize::MAX);
        track.set_pipeline_options(
            RemoteDataTrackPipelineOptions::new().with_max_partial_frames(frames.max(1)),
        );
    }
    proto::RemoteDataTrackSetPipelineOptionsResponse {}
}
