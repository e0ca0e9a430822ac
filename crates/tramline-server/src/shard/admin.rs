//! Tasks of the server's owner, done.

use std::time::Instant;

use tramline_core::leave::{DisconnectReason, LeaveAction};

use super::Shard;
use crate::admin::{AdminError, Request, Task};

impl Shard {
    pub(super) fn handle_admin(&mut self, now: Instant, request: Request) {
        let Request { room, task, reply } = request;
        let done = self.administrate(now, &room, task);
        // Nobody waits any more if this fails.
        let _ = reply.try_send(done);
    }

    fn administrate(&mut self, now: Instant, name: &str, task: Task) -> Result<(), AdminError> {
        let no_room = || AdminError::NoRoom { room: name.to_owned() };
        let nobody = |identity: &str| AdminError::NoParticipant {
            room: name.to_owned(),
            identity: identity.to_owned(),
        };
        let key = self.rooms.find(name).ok_or_else(no_room)?;
        let done = self.rooms.with(key, |room| {
            let find = |room: &tramline_core::room::Room, identity: &str| {
                room.participant(identity).ok_or_else(|| nobody(identity))
            };
            match task {
                Task::SetRoomMetadata(metadata) => room.set_metadata(metadata)?,
                Task::DeleteRoom => {
                    room.close(now, DisconnectReason::RoomDeleted, LeaveAction::Disconnect);
                }
                Task::Update { identity, update } => {
                    let peer = find(room, &identity)?;
                    room.update_participant(now, peer, update)?;
                }
                Task::SetGrants { identity, grants } => {
                    let peer = find(room, &identity)?;
                    room.set_grants(now, peer, grants);
                }
                Task::Remove { identity } => {
                    let peer = find(room, &identity)?;
                    let (reason, action) = (DisconnectReason::ParticipantRemoved, LeaveAction::Disconnect);
                    room.disconnect(now, peer, reason, action);
                }
            }
            Ok(())
        });
        done.unwrap_or_else(|| Err(no_room()))
    }
}
