//! The one way from handles to the driver.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use tokio::sync::{mpsc, oneshot};
use tramline_wire::{TrackHandle, TrackSid};

use tramline_core::{
    packet::{DataPacketKind, reliable::Lane},
    rpc::{InvocationId, RpcError},
    schema::SchemaId,
    session::{SelfUpdate, TrackPermission},
};

use crate::{
    driver::requests::Reply,
    error::{DataTrackSubscribeError, DefineSchemaError, FetchSchemaError, PublishError, UpdateError},
    local_track::LocalDataTrack,
    options::{DataTrackOptions, DataTrackSubscribeOptions, RemoteDataTrackPipelineOptions},
    rpc::{Handler, PerformRpcData},
    sender::{Queued, Wait},
    stats::RoomStats,
    stream::{DataTrackStream, StreamId},
};

/// Sends to the driver; usable on any thread, inside and outside of runtimes. What is sent after the driver's end is dropped, and with
/// it the reply's sender, by which an asker learns of the end.
#[derive(Debug, Clone)]
pub(crate) struct Link(mpsc::UnboundedSender<ToDriver>);

/// What handles ask of the driver. There is no bound on these because the application's own calls are the only source: pushes send at
/// most one [`ToDriver::Ready`] per track and turn of the driver.
#[derive(Debug)]
pub(crate) enum ToDriver {
    /// The queue of the local track has something to send.
    Ready(TrackHandle),
    Publish {
        options: Box<DataTrackOptions>,
        reply: oneshot::Sender<Result<LocalDataTrack, PublishError>>,
    },
    Unpublish(TrackHandle),
    Subscribe {
        track: TrackSid,
        options: DataTrackSubscribeOptions,
        reply: oneshot::Sender<Result<DataTrackStream, DataTrackSubscribeError>>,
    },
    Unsubscribe {
        track: TrackSid,
        stream: StreamId,
    },
    SetPipelineOptions {
        track: TrackSid,
        options: RemoteDataTrackPipelineOptions,
    },
    DefineSchema {
        schema: SchemaId,
        definition: String,
        reply: Reply<(), DefineSchemaError>,
    },
    FetchSchema {
        schema: SchemaId,
        publisher: String,
        reply: Reply<Arc<str>, FetchSchemaError>,
    },
    UpdateSelf {
        update: Box<SelfUpdate>,
        reply: Reply<(), UpdateError>,
    },
    /// An encoded packet, without its number.
    Packet {
        packet: BytesMut,
        kind: DataPacketKind,
        lane: Lane,
        queued: Queued,
        wait: Wait,
    },
    PerformRpc {
        data: Box<PerformRpcData>,
        reply: oneshot::Sender<Result<String, RpcError>>,
    },
    RegisterRpcMethod {
        method: String,
        handler: Handler,
    },
    UnregisterRpcMethod(String),
    /// A handler has returned.
    Answered {
        invocation: InvocationId,
        result: Result<String, RpcError>,
    },
    SetSubscriptionPermissions {
        all_participants: bool,
        permissions: Vec<TrackPermission>,
    },
    /// Whether tracks that are published from now on are encrypted.
    SetEncrypting(bool),
    Stats(oneshot::Sender<RoomStats>),
    /// Flush, leave, end. Without a reply when the last handle was dropped.
    Close(Option<oneshot::Sender<()>>),
}

impl Link {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<ToDriver>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    pub(crate) fn send(&self, message: ToDriver) {
        // A driver that has ended needs to know nothing.
        let _ = self.0.send(message);
    }
}

/// Locks, also after a panic of another holder: the data behind our locks is valid between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
