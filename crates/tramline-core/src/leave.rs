//! Why a session ended, and what the client should do about it.

use std::fmt;

use livekit_protocol as proto;

/// Why a participant's session ended (LiveKit `DisconnectReason`, with its numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum DisconnectReason {
    /// No reason was given, or one that this version does not know.
    Unknown = 0,
    /// The client left.
    ClientInitiated = 1,
    /// The same identity joined again; the older session ends.
    DuplicateIdentity = 2,
    /// The server goes down.
    ServerShutdown = 3,
    /// The participant was removed through the server API.
    ParticipantRemoved = 4,
    /// The room was deleted through the server API.
    RoomDeleted = 5,
    /// Client and server disagree about the session; only a new join helps.
    StateMismatch = 6,
    /// The join did not complete.
    JoinFailure = 7,
    /// The session moves to another node.
    Migration = 8,
    /// The signalling connection ended before the transport was up.
    SignalClose = 9,
    /// The room was closed.
    RoomClosed = 10,
    /// A called user is not available.
    UserUnavailable = 11,
    /// A called user declined.
    UserRejected = 12,
    /// A telephone trunk failed.
    SipTrunkFailure = 13,
    /// The other side is no longer heard.
    ConnectionTimeout = 14,
    /// A media session failed.
    MediaFailure = 15,
    /// An agent failed.
    AgentError = 16,
}

impl DisconnectReason {
    const ALL: [Self; 17] = [
        Self::Unknown,
        Self::ClientInitiated,
        Self::DuplicateIdentity,
        Self::ServerShutdown,
        Self::ParticipantRemoved,
        Self::RoomDeleted,
        Self::StateMismatch,
        Self::JoinFailure,
        Self::Migration,
        Self::SignalClose,
        Self::RoomClosed,
        Self::UserUnavailable,
        Self::UserRejected,
        Self::SipTrunkFailure,
        Self::ConnectionTimeout,
        Self::MediaFailure,
        Self::AgentError,
    ];

    /// The reason that a message carries; a number that this version does not know is [`Self::Unknown`].
    pub fn from_wire(value: i32) -> Self {
        usize::try_from(value).ok().and_then(|index| Self::ALL.get(index)).copied().unwrap_or(Self::Unknown)
    }

    /// The number that stands for it in messages.
    pub fn to_wire(self) -> i32 {
        self as i32
    }

    /// The reason's name for logs and counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::ClientInitiated => "client_initiated",
            Self::DuplicateIdentity => "duplicate_identity",
            Self::ServerShutdown => "server_shutdown",
            Self::ParticipantRemoved => "participant_removed",
            Self::RoomDeleted => "room_deleted",
            Self::StateMismatch => "state_mismatch",
            Self::JoinFailure => "join_failure",
            Self::Migration => "migration",
            Self::SignalClose => "signal_close",
            Self::RoomClosed => "room_closed",
            Self::UserUnavailable => "user_unavailable",
            Self::UserRejected => "user_rejected",
            Self::SipTrunkFailure => "sip_trunk_failure",
            Self::ConnectionTimeout => "connection_timeout",
            Self::MediaFailure => "media_failure",
            Self::AgentError => "agent_error",
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a client should do when its session ends (LiveKit `LeaveRequest.Action`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaveAction {
    /// Stay away.
    Disconnect,
    /// Open signalling again and keep the session.
    Resume,
    /// Join anew.
    Reconnect,
}

impl LeaveAction {
    /// The action of a leave message. Servers that speak a protocol below 13 set only `can_reconnect`.
    pub(crate) fn of(leave: &proto::LeaveRequest) -> Self {
        use proto::leave_request::Action;
        match Action::try_from(leave.action) {
            Ok(Action::Resume) => Self::Resume,
            Ok(Action::Reconnect) => Self::Reconnect,
            Ok(Action::Disconnect) | Err(_) if leave.can_reconnect => Self::Reconnect,
            Ok(Action::Disconnect) | Err(_) => Self::Disconnect,
        }
    }

    fn to_wire(self) -> proto::leave_request::Action {
        use proto::leave_request::Action;
        match self {
            Self::Disconnect => Action::Disconnect,
            Self::Resume => Action::Resume,
            Self::Reconnect => Action::Reconnect,
        }
    }
}

/// A `leave` message. `can_reconnect` is for clients that know no `action`.
pub(crate) fn leave_message(reason: DisconnectReason, action: LeaveAction) -> proto::LeaveRequest {
    proto::LeaveRequest {
        can_reconnect: action == LeaveAction::Reconnect,
        reason: reason.to_wire(),
        action: action.to_wire() as i32,
        regions: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_protocol_has_its_number() {
        for value in 0..=16 {
            assert!(proto::DisconnectReason::try_from(value).is_ok());
            assert_eq!(DisconnectReason::from_wire(value).to_wire(), value);
        }
        assert_eq!(DisconnectReason::from_wire(17), DisconnectReason::Unknown);
        assert_eq!(DisconnectReason::from_wire(-1), DisconnectReason::Unknown);
    }

    #[test]
    fn an_old_server_that_sets_only_can_reconnect_asks_for_a_new_join() {
        let leave = proto::LeaveRequest { can_reconnect: true, ..Default::default() };
        assert_eq!(LeaveAction::of(&leave), LeaveAction::Reconnect);
        assert_eq!(LeaveAction::of(&proto::LeaveRequest::default()), LeaveAction::Disconnect);
    }
}
