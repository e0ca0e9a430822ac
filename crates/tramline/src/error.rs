//! What can go wrong, one small enum per operation.
//!
//! Codes are LiveKit's where LiveKit has one (`proto/data_track.proto`); they cross the FFI boundary as they are.

use std::{io, time::Duration};

pub use tramline_core::{
    data_stream::{StreamError, send::HeaderTooLarge},
    e2ee::{DecryptError, NoKey},
    packet::seal::OpenError as DecryptPacketError,
    schema::SchemaError,
    session::{
        DefineSchemaError, FetchSchemaError, PublishError, PublishWait,
        SubscribeError as DataTrackSubscribeError, UpdateError,
    },
};
pub use tramline_net::{connect::ConnectError as SignalError, runtime::BlockError};

use crate::{DisconnectReason, frame::DataTrackFrame};

/// Why [`Room::connect`](crate::Room::connect) did not join.
///
/// Its text names what was wrong, what was expected and what to do. It never holds the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL cannot be used, or the server cannot be reached; the source names the stage.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// The token has characters that no token has.
    #[error(
        "the token is not a JWT: it has a character that no HTTP header can carry; expected three base64url parts joined by dots"
    )]
    InvalidToken,
    /// The server does not accept the token (HTTP 401 or 403).
    #[error(
        "the server refused the token (HTTP {status}): {reason}; expected a token signed with a key of this server, within its time, \
         that grants roomJoin for a room"
    )]
    Unauthorized {
        /// HTTP status.
        status: u16,
        /// The server's words.
        reason: String,
    },
    /// There is no such room, and the server makes none by itself.
    #[error(
        "the server has no such room and does not create one on joining: {reason}; create the room first"
    )]
    RoomNotFound {
        /// The server's words.
        reason: String,
    },
    /// The server does not know the path that current clients use.
    #[error(
        "nothing answers at `{path}` (HTTP 404): the server is older than this client can use, or the URL points elsewhere"
    )]
    NotSupported {
        /// The path that was asked for.
        path: String,
    },
    /// The server refused for another reason.
    #[error("the server refused to let this participant in (HTTP {status}): {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's words.
        reason: String,
    },
    /// Signalling was up, and ended before the session was.
    #[error("the session ended while joining: {detail} ({reason})")]
    Ended {
        /// The server's reason, or what comes closest to it.
        reason: DisconnectReason,
        /// What happened.
        detail: String,
    },
    /// Signalling is up, and no data connection came about.
    #[error("no data connection to the server: {reason}; check that UDP to the server's media port passes")]
    Transport {
        /// What the transport says.
        reason: String,
    },
    /// The server's session description cannot be used.
    #[error("the server's answer cannot be used: {0}")]
    Protocol(String),
    /// The time allowed went by.
    #[error(
        "not connected within {after:?}: still {stage}; check the network, or allow more time in RoomOptions::connect_timeout"
    )]
    Timeout {
        /// What was being waited for.
        stage: ConnectStage,
        /// The time that was allowed.
        after: Duration,
    },
    /// This machine gave no thread, socket or randomness.
    #[error("this machine cannot open a connection: {0}")]
    Local(#[from] io::Error),
}

impl ConnectError {
    /// Whether the same call may succeed later, without anything changed on this side.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Signal(error) => error.is_retryable(),
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            Self::Ended { reason, .. } => !matches!(
                reason,
                DisconnectReason::DuplicateIdentity
                    | DisconnectReason::ParticipantRemoved
                    | DisconnectReason::RoomDeleted
                    | DisconnectReason::RoomClosed
            ),
            Self::Transport { .. } | Self::Timeout { .. } | Self::Local(_) => true,
            Self::InvalidToken
            | Self::Unauthorized { .. }
            | Self::RoomNotFound { .. }
            | Self::NotSupported { .. }
            | Self::Protocol(_) => false,
        }
    }
}

/// What a connection attempt was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectStage {
    /// The signalling connection.
    #[error("opening the signalling connection")]
    Signalling,
    /// The server's first message.
    #[error("waiting for the server's join response")]
    Join,
    /// ICE, DTLS and SCTP.
    #[error("setting up the data connection over UDP (a firewall may block it)")]
    Transport,
}

/// Why a frame was not taken, with the frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the frame was not taken: {reason}")]
pub struct PushFrameError {
    frame: DataTrackFrame,
    reason: PushFrameErrorReason,
}

impl PushFrameError {
    pub(crate) fn new(frame: DataTrackFrame, reason: PushFrameErrorReason) -> Self {
        Self { frame, reason }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> PushFrameErrorReason {
        self.reason
    }

    /// The frame, for another attempt.
    #[must_use]
    pub fn into_frame(self) -> DataTrackFrame {
        self.frame
    }

    /// LiveKit's number for the reason (`LocalDataTrackTryPushErrorCode`).
    #[must_use]
    pub fn code(&self) -> u32 {
        self.reason.code()
    }

    /// Whether the same push may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.reason.is_retryable()
    }
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushFrameErrorReason {
    /// The track is not published any more, or its room is closed.
    #[error("the track is not published any more")]
    TrackUnpublished,
    /// There is no room in the queue.
    #[error("the queue is full; push later, less, or wait with push()")]
    QueueFull,
    /// No receiver could take it, or it is larger than the whole queue.
    #[error("it has {size} bytes and the limit is {limit}; split it")]
    TooLarge {
        /// Bytes of the payload.
        size: usize,
        /// The most that a payload may have.
        limit: usize,
    },
    /// The track is encrypted and there is no key to encrypt with.
    #[error(
        "the track is encrypted and there is no key to send with; set a shared key, or one for the local participant"
    )]
    NoKey,
}

impl PushFrameErrorReason {
    /// LiveKit's number for it (`LocalDataTrackTryPushErrorCode`); what it has no number for is an internal error there.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::TrackUnpublished => 2,
            Self::QueueFull => 3,
            Self::TooLarge { .. } | Self::NoKey => 4,
        }
    }

    /// Whether the same push may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::QueueFull | Self::NoKey)
    }
}

/// Why a read gave no frame. The end of a stream is no error: it is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No frame came in time; the stream goes on.
    #[error("no frame within {after:?}")]
    Timeout {
        /// The time that was allowed.
        after: Duration,
    },
    /// A blocking read on a thread that drives an async runtime, which it would have frozen.
    #[error("blocking read inside an async runtime; use read().await, or a thread of its own")]
    InsideRuntime,
}

impl From<BlockError> for ReadError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::TimedOut(after) => Self::Timeout { after },
            _ => Self::InsideRuntime,
        }
    }
}

/// Why a read without waiting gave no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryReadError {
    /// No frame is there now.
    #[error("no frame is waiting")]
    Empty,
    /// The stream has ended.
    #[error("the stream has ended")]
    Ended,
}

/// Why a packet was not sent, or is not known to have arrived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishDataError {
    /// It is longer than packets may be.
    #[error(
        "the packet has {size} bytes with everything around the payload, and the limit is {limit}: send long contents with send_bytes or send_text, or in parts"
    )]
    TooLarge {
        /// Its length when encoded.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The server would drop it without a word.
    #[error("the participant may not send data: its token needs canPublishData")]
    NotPermitted,
    /// Too much waits to be sent; only told to those who do not wait themselves.
    #[error(
        "{queued} bytes wait to be sent, and the limit is {limit}: send later, or wait with publish_data"
    )]
    QueueFull {
        /// Bytes that wait.
        queued: usize,
        /// How many may.
        limit: usize,
    },
    /// The room is encrypted and there is no key to encrypt with.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// It was not sent: the session is over.
    #[error("the packet was not sent: the session is over")]
    Disconnected,
    /// The session ended after it was sent and before the server confirmed it.
    #[error("the session ended before the server confirmed the packet: it may have arrived")]
    MayHaveArrived,
    /// This machine failed.
    #[error("the packet could not be made: {0}")]
    Internal(String),
}

impl PublishDataError {
    /// Whether the same call may succeed later in the same session.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::QueueFull { .. } | Self::NoKey(_))
    }
}

/// Why a stream was not sent whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendStreamError {
    /// A packet of it was not sent.
    #[error(transparent)]
    Packet(#[from] PublishDataError),
    /// Topic, attributes and destinations are too long.
    #[error(transparent)]
    Header(#[from] HeaderTooLarge),
    /// The stream was closed before.
    #[error("the stream is closed")]
    Closed,
    /// The file cannot be read.
    #[error("the file {path:?} cannot be read: {error}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Why a stream was not saved as a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveStreamError {
    /// The stream did not come whole; what came is in the file.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The sender's name for it is no plain file name, and would be a file elsewhere.
    #[error("{name:?} is no plain file name: give one yourself")]
    Name {
        /// What it is called.
        name: String,
    },
    /// The file cannot be written.
    #[error("the file {path:?} cannot be written: {error}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_frames_come_back_with_livekits_numbers() {
        let refused = |reason| PushFrameError::new(DataTrackFrame::new("x"), reason);
        assert_eq!(refused(PushFrameErrorReason::TrackUnpublished).code(), 2);
        assert_eq!(refused(PushFrameErrorReason::QueueFull).code(), 3);
        assert!(refused(PushFrameErrorReason::QueueFull).is_retryable());
        let large = refused(PushFrameErrorReason::TooLarge { size: 5, limit: 4 });
        assert_eq!((large.code(), large.is_retryable()), (4, false));
        assert_eq!(large.to_string(), "the frame was not taken: it has 5 bytes and the limit is 4; split it");
        assert_eq!(large.into_frame(), DataTrackFrame::new("x"));
        assert_eq!(PublishError::DuplicateName.code(), 2);
        assert_eq!(DataTrackSubscribeError::Timeout.code(), 3);
    }
}
