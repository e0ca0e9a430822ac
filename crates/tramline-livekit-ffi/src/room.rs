//! Joining and leaving.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, OnceLock},
    time::Duration,
};

use tokio::sync::Semaphore;
use tramline::{KeyProvider, Room, RoomEvents, RoomOptions};
use tramline_net::runtime::spawn_thread;

use crate::{
    client::{Client, handles},
    convert::{self, participant_info},
    event::Listener,
    handle::{Object, lock},
    keys,
    proto::{self, connect_callback, ffi_event},
};

/// How long the events of a room wait for the wrapper to say that it listens. Some never do; LiveKit's library gives such a room up,
/// this one begins to talk.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// Requests to publish a track that are open at once. LiveKit's server hangs up on a participant from whom more than 200 messages wait.
const PUBLISHING: usize = 64;

/// A room of the wrapper's. Dropping the last reference leaves it.
pub(crate) struct RoomEntry {
    room: Room,
    keys: Option<KeyProvider>,
    gate: OpenAtEnd,
    reason: OnceLock<i32>,
}

impl RoomEntry {
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// The keys, when it was joined with encryption.
    pub(crate) fn keys(&self) -> Option<&KeyProvider> {
        self.keys.as_ref()
    }

    /// Why the wrapper has left, if it has said so.
    pub(crate) fn reason(&self) -> Option<i32> {
        self.reason.get().copied()
    }

    /// Lets the events pass.
    pub(crate) fn set_ready(&self) {
        self.gate.0.open();
    }

    /// Leaves, and returns when the room's thread is gone. On a thread of our own it leaves in the background.
    pub(crate) fn end(self) {
        self.set_ready();
        let _ = self.room.end();
    }
}

pub(crate) fn connect(client: &Arc<Client>, request: proto::ConnectRequest) -> proto::ConnectResponse {
    let async_id = client.async_id(request.request_async_id);
    let job = {
        let client = Arc::clone(client);
        async move {
            let mut options = options(&request.options);
            options.raw_stream_events = client.habits.wants_raw_streams;
            let keys = options.encryption.clone();
            let joined = Room::connect(&request.url, &request.token, options).await;
            let outcome = match joined {
                Ok((room, events)) => announce(&client, room, keys, events),
                Err(error) => Err(error.to_string()),
            };
            let message = match outcome {
                Ok(result) => connect_callback::Message::Result(result),
                Err(error) => connect_callback::Message::Error(error),
            };
            client.emit(ffi_event::Message::Connect(proto::ConnectCallback {
                async_id,
                message: Some(message),
            }));
        }
    };
    client.spawn(job);
    proto::ConnectResponse { async_id }
}

fn options(request: &proto::RoomOptions) -> RoomOptions {
    let mut options = RoomOptions::default();
    if let Some(millis) = request.connect_timeout_ms {
        options.connect_timeout = Duration::from_millis(millis);
    }
    options.single_peer_connection = request.single_peer_connection.unwrap_or(true);
    // The older field is about media alone.
    options.encryption = request.encryption.as_ref().and_then(keys::provider);
    options
}

/// Gives the room its handles, and its events a thread that waits for the wrapper.
fn announce(
    client: &Arc<Client>,
    room: Room,
    keys: Option<KeyProvider>,
    events: RoomEvents,
) -> Result<connect_callback::Result, String> {
    let handles = handles();
    let handle = handles.reserve();
    let local = room.local_participant();
    let mut known = HashMap::new();
    let mut participants = Vec::new();
    for participant in room.remote_participants().into_values() {
        known.insert(participant.identity(), participant.sid());
        let handle = handles.insert(Object::RemoteParticipant(participant.clone()));
        let participant = convert::owned_remote(handle, &participant);
        participants.push(connect_callback::ParticipantWithTracks { participant });
    }
    let gate = Arc::new(Gate::default());
    let room =
        Arc::new(RoomEntry { room, keys, gate: OpenAtEnd(Arc::clone(&gate)), reason: OnceLock::new() });
    let listener = Listener::new(Arc::clone(client), handle, Arc::downgrade(&room), known);
    let thread = spawn_thread("tramline-event", move || {
        gate.wait(READY_WITHIN);
        listener.run(events);
    })
    .map_err(|error| format!("this machine gave no thread for the room's events: {error}"))?;
    client.add_listener(thread);
    let result = connect_callback::Result {
        room: proto::OwnedRoom { handle: convert::owned(handle), info: convert::room_info(room.room()) },
        local_participant: proto::OwnedParticipant {
            handle: convert::owned(
                handles.insert(Object::LocalParticipant(local.clone(), Arc::new(Semaphore::new(PUBLISHING)))),
            ),
            info: participant_info!(&local),
        },
        participants,
    };
    handles.insert_at(handle, Object::Room(room));
    Ok(result)
}

pub(crate) fn set_ready(request: &proto::ReadyForRoomEventRequest) -> proto::ReadyForRoomEventResponse {
    if let Some(room) = handles().room(request.room_handle) {
        room.set_ready();
    }
    proto::ReadyForRoomEventResponse {}
}

pub(crate) fn disconnect(
    client: &Arc<Client>,
    request: &proto::DisconnectRequest,
) -> proto::DisconnectResponse {
    let async_id = client.async_id(request.request_async_id);
    // A room that is unknown, or known no more, is left already.
    let room = handles().room(request.room_handle);
    let reason = request.reason;
    let job = {
        let client = Arc::clone(client);
        async move {
            if let Some(room) = room {
                if let Some(reason) = reason {
                    let _ = room.reason.set(reason);
                }
                // Its last events come without the wrapper's word.
                room.set_ready();
                room.room().close().await;
            }
            client.emit(ffi_event::Message::Disconnect(proto::DisconnectCallback { async_id }));
        }
    };
    client.spawn(job);
    proto::DisconnectResponse { async_id }
}

/// Whoever waits goes on when the room is gone.
struct OpenAtEnd(Arc<Gate>);

impl Drop for OpenAtEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Opens once.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *lock(&self.is_open) = true;
        self.opened.notify_all();
    }

    /// Waits until it is open, for at most `limit`.
    fn wait(&self, limit: Duration) {
        let is_open = lock(&self.is_open);
        let outcome = self.opened.wait_timeout_while(is_open, limit, |is_open| !*is_open);
        let timed_out = outcome.map_or_else(|poisoned| poisoned.into_inner().1, |(_, result)| result);
        if timed_out.timed_out() {
            tracing::warn!(?limit, "the wrapper has not asked for room events: they come now");
        }
    }
}
