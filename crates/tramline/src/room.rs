//! The room: joining, who is there, leaving.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;
pub use tramline_core::session::RoomInfo;
use tramline_net::runtime::{BlockError, DriverThread, block_on};
use tramline_wire::RoomSid;

use crate::{
    driver,
    error::ConnectError,
    event::RoomEvents,
    join,
    link::{Link, ToDriver, lock},
    options::RoomOptions,
    participant::{LocalParticipant, ParticipantIdentity, RemoteParticipant, Remotes},
    stats::RoomStats,
    workers::Workers,
};

/// One participant's stay in a room.
///
/// Each room has one thread of its own, `tramline-room`, which does all its work; none of the methods here needs a runtime of
/// the caller's, and the async ones work on any executor. While joining there may be a second, short-lived thread for a name look-up.
///
/// Call [`close`](Self::close) to leave in order. Dropping the room does the same in the background.
pub struct Room {
    roster: Arc<Roster>,
    /// Run the handlers of methods.
    workers: Workers,
    stay: Stay,
    driver: DriverThread,
}

/// Whether a room is usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Joined.
    Connected,
    /// Over; only a new [`Room::connect`] helps.
    Disconnected,
}

impl Room {
    /// Joins the room that `token` names, on the server at `url` (`ws://`, `wss://`, `http://` or `https://`, as for LiveKit).
    ///
    /// Returns once data can be sent and received. Dropping the future gives the attempt up, and leaves what it had joined.
    ///
    /// # Errors
    /// What was wrong, by kind, within [`RoomOptions::connect_timeout`].
    pub async fn connect(
        url: &str,
        token: &str,
        options: RoomOptions,
    ) -> Result<(Self, RoomEvents), ConnectError> {
        let url = join::parse_url(url)?;
        let (link, inbox) = Link::new();
        let (reply, answer) = oneshot::channel();
        let start = driver::Start { url, token: token.to_owned(), options, link: link.clone(), inbox, reply };
        let driver = DriverThread::spawn("tramline-room", move || driver::run(start))?;
        match answer.await {
            Ok(Ok(Joined { roster, workers, events, stay })) => {
                Ok((Self { roster, workers, stay, driver }, events))
            }
            Ok(Err(error)) => Err(error),
            // Only a panic ends the driver without an answer; it has been reported on its thread.
            Err(_) => Err(std::io::Error::other("the room's thread ended unexpectedly").into()),
        }
    }

    /// Leaves: sends what was accepted before, for at most [`RoomOptions::close_timeout`], tells the server, and ends.
    ///
    /// Returns when all that is done. Tracks and streams end; their handles stay valid and say so. A room that has ended already
    /// returns at once. Dropping the future does not call it off.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        self.stay.0.send(ToDriver::Close(Some(reply)));
        let _ = done.await;
    }

    /// As [`close`](Self::close), and returns when the room's thread is gone as well: nothing runs code of this library on the room's
    /// behalf any more, so that it may be unloaded. Handlers of methods that run are waited for. Blocks the calling thread.
    ///
    /// # Errors
    /// The thread drives an async runtime, which this would freeze; the room is left in the background then.
    pub fn end(self) -> Result<(), BlockError> {
        block_on(self.close(), None)?;
        self.driver.join();
        self.workers.join();
        Ok(())
    }

    /// The participant that this session is.
    #[must_use]
    pub fn local_participant(&self) -> LocalParticipant {
        self.roster.local.clone()
    }

    /// The other participants, by identity.
    #[must_use]
    pub fn remote_participants(&self) -> HashMap<ParticipantIdentity, RemoteParticipant> {
        lock(&self.roster.remotes).clone()
    }

    /// The server's id of the room; some servers send it a little later.
    #[must_use]
    pub fn sid(&self) -> Option<RoomSid> {
        lock(&self.roster.room).sid.clone()
    }

    /// The room's name.
    #[must_use]
    pub fn name(&self) -> String {
        lock(&self.roster.room).name.clone()
    }

    /// What the application stored with the room.
    #[must_use]
    pub fn metadata(&self) -> String {
        lock(&self.roster.room).metadata.clone()
    }

    /// How many participants the server counts; some seconds old.
    #[must_use]
    pub fn num_participants(&self) -> u32 {
        lock(&self.roster.room).num_participants
    }

    /// Whether tracks that are published, and packets that are sent, from now on are encrypted; they are unless this says otherwise. Without effect when the room was joined
    /// without [`encryption`](RoomOptions::encryption).
    pub fn set_encrypting(&self, encrypting: bool) {
        self.roster.local.sender().set_encrypting(encrypting);
        self.stay.0.send(ToDriver::SetEncrypting(encrypting));
    }

    /// Everything the server says of the room.
    #[must_use]
    pub fn info(&self) -> RoomInfo {
        lock(&self.roster.room).clone()
    }

    /// Whether the room is usable.
    #[must_use]
    pub fn connection_state(&self) -> ConnectionState {
        if self.roster.is_connected.load(Ordering::Acquire) {
            ConnectionState::Connected
        } else {
            ConnectionState::Disconnected
        }
    }

    /// What the connection has counted; `None` after its end.
    pub async fn stats(&self) -> Option<RoomStats> {
        let (reply, answer) = oneshot::channel();
        self.stay.0.send(ToDriver::Stats(reply));
        answer.await.ok()
    }

    /// CPU time that the room's thread has used, user and system; `None` where the platform does not tell.
    #[must_use]
    pub fn driver_thread_cpu_time(&self) -> Option<Duration> {
        self.driver.cpu_time()
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("name", &self.name())
            .field("local", &self.roster.local)
            .field("state", &self.connection_state())
            .finish_non_exhaustive()
    }
}

/// What the driver answers when it has joined. It leaves when nobody takes this.
pub(crate) struct Joined {
    pub(crate) roster: Arc<Roster>,
    pub(crate) workers: Workers,
    pub(crate) events: RoomEvents,
    pub(crate) stay: Stay,
}

/// The reason for the driver to stay in the room.
pub(crate) struct Stay(pub(crate) Link);

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.send(ToDriver::Close(None));
    }
}

/// What the driver keeps up to date for the room's handle.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) local: LocalParticipant,
    pub(crate) remotes: Remotes,
    pub(crate) room: Mutex<RoomInfo>,
    pub(crate) is_connected: AtomicBool,
}
