//! Live data between robots, services and browsers: the Rust SDK of Tramline.
//!
//! A **data track** is a named, lossy, low-latency stream of binary frames. A participant publishes tracks in a room; others subscribe to them. Any
//! LiveKit server that knows data tracks will do, and so will `tramline-server`.
//!
//! ```no_run
//! use tramline::{Room, RoomEvent, RoomOptions};
//!
//! /// Sends every frame of the track `ping` back on the track `pong`.
//! async fn echo(url: &str, token: &str) -> Result<(), Box<dyn std::error::Error>> {
//!     let (room, mut events) = Room::connect(url, token, RoomOptions::default()).await?;
//!     let pong = room.local_participant().publish_data_track("pong").await?;
//!     while let Some(event) = events.recv().await {
//!         if let RoomEvent::DataTrackPublished(track) = event && track.info().name() == "ping" {
//!             let mut frames = track.subscribe().await?;
//!             while let Some(frame) = frames.read().await {
//!                 pong.try_push(frame)?;
//!             }
//!         }
//!     }
//!     Ok(())
//! }
//! # fn main() { let _ = tramline::block_on(echo("", "")); }
//! ```
//!
//! Beside the tracks there are packets, calls of methods, and text and byte streams: see [`LocalParticipant::publish_data`],
//! [`LocalParticipant::perform_rpc`] and [`LocalParticipant::send_text`]; what comes is in the [`RoomEvent`]s, and [`messages`] shows all of it.
//!
//! * No runtime is needed: each [`Room`] brings one thread of its own (`tramline-room`), and every future here runs on any executor, [`block_on`]
//!   included. Nothing is shared between rooms: a process has as many of our threads as it has rooms. They take no signals.
//! * Nothing blocks a publisher. Each track has a live queue, bounded by age (100 ms) and bytes; what is too old is dropped whole, oldest first,
//!   and counted by reason ([`LocalDataTrack::stats`], [`RemoteDataTrack::stats`], [`DataTrackStream::stats`]).
//! * Handles are cheap to clone and may be used and dropped on any thread, also outside a runtime and while one shuts down. Dropping the last
//!   handle of a local track unpublishes it, dropping the last stream of a remote track unsubscribes, dropping the room leaves it.
#![forbid(unsafe_code)]

#[doc = include_str!("messages.md")]
pub mod messages {}

mod data_packet;
mod data_stream;
mod driver;
mod error;
mod event;
mod frame;
mod join;
mod link;
mod local_track;
mod options;
mod participant;
mod remote_track;
mod room;
mod rpc;
mod sender;
mod stats;
mod stream;
mod track_info;
mod workers;

pub use data_packet::{ChatMessage, DataPacket, DataPacketKind, SipDtmf, wire};
pub use data_stream::{
    ByteStreamInfo, ByteStreamReader, ByteStreamWriter, StreamByteOptions, StreamProgress, StreamTextOptions,
    TakeCell, TextOperation, TextStreamInfo, TextStreamReader, TextStreamWriter,
};
pub use error::{
    BlockError, ConnectError, ConnectStage, DataTrackSubscribeError, DecryptError, DecryptPacketError,
    DefineSchemaError, FetchSchemaError, HeaderTooLarge, NoKey, PublishDataError, PublishError, PublishWait,
    PushFrameError, PushFrameErrorReason, ReadError, SaveStreamError, SchemaError, SendStreamError,
    SignalError, StreamError, TryReadError, UpdateError,
};
pub use event::{RoomEvent, RoomEvents};
pub use frame::DataTrackFrame;
pub use local_track::LocalDataTrack;
pub use options::{
    DataTrackOptions, DataTrackSubscribeOptions, LateFrames, OnFull, Priority,
    RemoteDataTrackPipelineOptions, Repair, RoomOptions, TlsOptions,
};
pub use participant::{
    ConnectionQuality, LocalParticipant, Participant, ParticipantIdentity, ParticipantKind,
    ParticipantTrackPermission, Permissions, RemoteParticipant, SelfUpdate,
};
pub use remote_track::RemoteDataTrack;
pub use room::{ConnectionState, Room, RoomInfo};
pub use rpc::{PerformRpcData, RpcError, RpcErrorCode, RpcInvocationData};
pub use stats::{
    DropReason, Drops, LocalTrackStats, PeerStats, RemoteTrackStats, RoomStats, StreamStats, UdpCounters,
};
pub use stream::{DataTrackStream, StreamCloser, StreamEnd, StreamEvent};
pub use track_info::DataTrackInfo;
pub use tramline_core::{
    e2ee::{EmptyKey, KeyDerivation, KeyOptions, KeyProvider},
    leave::DisconnectReason,
    schema::{FrameEncoding, SchemaEncoding, SchemaId},
};
pub use tramline_wire::{ParticipantSid, RoomSid, SidError, TrackSid as DataTrackSid};

/// Runs a future to its end on the calling thread, without a runtime.
///
/// # Errors
/// The thread drives a tokio runtime, which this would freeze.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, BlockError> {
    tramline_net::runtime::block_on(future, None)
}

/// As [`block_on`], for at most `timeout`; the future is dropped then.
///
/// # Errors
/// The time went by, or the thread drives a tokio runtime, which this would freeze.
pub fn block_on_for<F: Future>(future: F, timeout: std::time::Duration) -> Result<F::Output, BlockError> {
    tramline_net::runtime::block_on(future, Some(timeout))
}

/// Compiles what the README shows.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
