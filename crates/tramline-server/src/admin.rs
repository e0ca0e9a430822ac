//! What the server's owner can do to rooms and participants.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use thiserror::Error;
use tramline_core::room::{Grants, MetadataTooLong};
use tramline_core::session::SelfUpdate;

use crate::Server;
use crate::shard::Control;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// There is no such room.
    #[error("there is no room {room:?}; rooms come with their first participant")]
    NoRoom {
        /// Its name.
        room: String,
    },
    /// There is no such participant.
    #[error("{identity:?} is not in the room {room:?}")]
    NoParticipant {
        /// The room's name.
        room: String,
        /// Whose identity.
        identity: String,
    },
    /// A value is longer than the server keeps.
    #[error(transparent)]
    TooLong(#[from] MetadataTooLong),
    /// The server's thread has ended.
    #[error("the server is not running any more")]
    NotRunning,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    SetRoomMetadata(String),
    DeleteRoom,
    Update { identity: String, update: SelfUpdate },
    SetGrants { identity: String, grants: Grants },
    Remove { identity: String },
}

/// What is to be done, where, and who is told.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) room: String,
    pub(crate) task: Task,
    pub(crate) reply: SyncSender<Result<(), AdminError>>,
}

impl Server {
    /// Stores metadata with a room; everybody in it is told.
    ///
    /// # Errors
    /// Why not.
    pub fn set_room_metadata(&self, room: &str, metadata: impl Into<String>) -> Result<(), AdminError> {
        self.ask(room, Task::SetRoomMetadata(metadata.into()))
    }

    /// Sends everybody out of a room (`ROOM_DELETED`), which goes.
    ///
    /// # Errors
    /// Why not.
    pub fn delete_room(&self, room: &str) -> Result<(), AdminError> {
        self.ask(room, Task::DeleteRoom)
    }

    /// Changes name, metadata and attributes of a participant, whatever its own permissions are. An attribute set to an empty text goes.
    ///
    /// # Errors
    /// Why not.
    pub fn update_participant(
        &self,
        room: &str,
        identity: &str,
        update: SelfUpdate,
    ) -> Result<(), AdminError> {
        self.ask(room, Task::Update { identity: identity.to_owned(), update })
    }

    /// Changes what a participant may do. Tracks and subscriptions that it may not have any more end.
    ///
    /// # Errors
    /// Why not.
    pub fn set_grants(&self, room: &str, identity: &str, grants: Grants) -> Result<(), AdminError> {
        self.ask(room, Task::SetGrants { identity: identity.to_owned(), grants })
    }

    /// Sends a participant out of its room (`PARTICIPANT_REMOVED`). Its token still lets it in again.
    ///
    /// # Errors
    /// Why not.
    pub fn remove_participant(&self, room: &str, identity: &str) -> Result<(), AdminError> {
        self.ask(room, Task::Remove { identity: identity.to_owned() })
    }

    fn ask(&self, room: &str, task: Task) -> Result<(), AdminError> {
        let (reply, answer) = sync_channel(1);
        self.control(Control::Admin(Request { room: room.to_owned(), task, reply }));
        answer.recv_timeout(TIMEOUT).unwrap_or(Err(AdminError::NotRunning))
    }
}

/// The thread is busy with something else only for moments.
const TIMEOUT: Duration = Duration::from_secs(5);
