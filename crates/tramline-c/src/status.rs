//! What a call came to: the numbers that cross the boundary.

use std::ffi::c_char;

use sdk::{
    ConnectError, DataTrackSubscribeError, PublishError, PushFrameErrorReason, SignalError, UpdateError,
};

use crate::error::Failure;

/// What a call came to. Numbers are never reused.
///
/// From 100 on they have a meaning of LiveKit's as well: 100 + `PublishDataTrackErrorCode`, 200 + `LocalDataTrackTryPushErrorCode`, 300 +
/// `SubscribeDataTrackErrorCode`; see `tramline_status_livekit_code`.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_status {
    /// Done.
    TRAMLINE_OK = 0,

    // Outcomes that are no errors; they leave the last error alone.
    /// The time allowed went by. Nothing is lost: the same call may be made again.
    TRAMLINE_TIMED_OUT = 1,
    /// Nothing is there now.
    TRAMLINE_EMPTY = 2,
    /// The stream, or the room, has ended and everything before has been read.
    TRAMLINE_ENDED = 3,
    /// This side has closed it.
    TRAMLINE_CLOSED = 4,
    /// No frame came for as long as `deadline_ms` in the options of the stream says; told once for each silence.
    TRAMLINE_DEADLINE_MISSED = 5,

    /// A pointer that must not be null is.
    TRAMLINE_ERR_NULL = 10,
    /// An argument, or a field of a struct, is out of its range.
    TRAMLINE_ERR_INVALID_ARGUMENT = 11,
    /// A text is not UTF-8.
    TRAMLINE_ERR_INVALID_UTF8 = 12,
    /// `struct_size` was not set, or the struct uses what only a newer library knows.
    TRAMLINE_ERR_STRUCT_SIZE = 13,
    /// The library has a bug and panicked; the call had no further effect. The handle may be freed.
    TRAMLINE_ERR_PANIC = 14,
    /// The handle belongs to the process that this one was forked from.
    TRAMLINE_ERR_FORKED = 15,
    /// The call would block a thread on which the library itself, or an async Rust runtime, runs.
    TRAMLINE_ERR_WOULD_BLOCK = 16,
    /// There is no such participant, track or element.
    TRAMLINE_ERR_NOT_FOUND = 17,
    /// Events go to a callback, so that they cannot be polled.
    TRAMLINE_ERR_BUSY = 18,
    /// The session has ended.
    TRAMLINE_ERR_DISCONNECTED = 19,
    /// The operating system gave no thread or no memory.
    TRAMLINE_ERR_SYSTEM = 20,

    /// The server refused for a reason that has no number.
    TRAMLINE_ERR_PUBLISH_UNKNOWN = 100,
    /// The server did not like the track's handle.
    TRAMLINE_ERR_PUBLISH_INVALID_HANDLE = 101,
    /// This participant already publishes a track of that name.
    TRAMLINE_ERR_PUBLISH_DUPLICATE_NAME = 102,
    /// The server did not answer in time.
    TRAMLINE_ERR_PUBLISH_TIMEOUT = 103,
    /// The session has ended.
    TRAMLINE_ERR_PUBLISH_DISCONNECTED = 104,
    /// The token does not allow it.
    TRAMLINE_ERR_PUBLISH_NOT_ALLOWED = 105,
    /// A name has 1 to 256 bytes.
    TRAMLINE_ERR_PUBLISH_INVALID_NAME = 106,
    /// No more tracks in this session.
    TRAMLINE_ERR_PUBLISH_LIMIT_REACHED = 107,
    /// The server's answer makes no sense.
    TRAMLINE_ERR_PUBLISH_PROTOCOL = 108,
    /// The server refused without a reason of its own.
    TRAMLINE_ERR_PUBLISH_INTERNAL = 109,
    /// The server does not accept the frame encoding or the schema.
    TRAMLINE_ERR_PUBLISH_INVALID_SCHEMA = 110,

    /// The frame was not taken, for a reason that has no number.
    TRAMLINE_ERR_PUSH_UNKNOWN = 200,
    /// LiveKit's number for a bad handle; here that is `TRAMLINE_ERR_NULL`.
    TRAMLINE_ERR_PUSH_INVALID_HANDLE = 201,
    /// The track is not published any more, or its room is closed.
    TRAMLINE_ERR_PUSH_UNPUBLISHED = 202,
    /// There is no room in the queue; only for tracks that refuse instead of dropping their oldest frames.
    TRAMLINE_ERR_PUSH_QUEUE_FULL = 203,
    /// The frame was not taken, through a fault of this side.
    TRAMLINE_ERR_PUSH_INTERNAL = 204,
    /// The frame is larger than any receiver takes, or than the whole queue. LiveKit's number for it is 4, internal.
    TRAMLINE_ERR_PUSH_TOO_LARGE = 250,
    /// The track is encrypted and there is no key to encrypt with. LiveKit's number for it is 4, internal.
    TRAMLINE_ERR_PUSH_NO_KEY = 251,

    /// The subscription failed for a reason that has no number.
    TRAMLINE_ERR_SUBSCRIBE_UNKNOWN = 300,
    /// LiveKit's number for a bad handle; here that is `TRAMLINE_ERR_NULL`.
    TRAMLINE_ERR_SUBSCRIBE_INVALID_HANDLE = 301,
    /// The track is not published any more.
    TRAMLINE_ERR_SUBSCRIBE_UNPUBLISHED = 302,
    /// The server did not start the subscription in time; it gives no reason, and the usual one is a token without `canSubscribe`.
    TRAMLINE_ERR_SUBSCRIBE_TIMEOUT = 303,
    /// The session has ended.
    TRAMLINE_ERR_SUBSCRIBE_DISCONNECTED = 304,
    /// The server's answer makes no sense.
    TRAMLINE_ERR_SUBSCRIBE_PROTOCOL = 305,
    /// The subscription failed through a fault of this side.
    TRAMLINE_ERR_SUBSCRIBE_INTERNAL = 306,

    /// The room was not joined, for a reason that this version has no number for.
    TRAMLINE_ERR_CONNECT_UNKNOWN = 400,
    /// The URL cannot be used; expected ws://, wss://, http:// or https:// and a host.
    TRAMLINE_ERR_CONNECT_URL = 401,
    /// The server cannot be reached: no address, no TCP connection, or it broke.
    TRAMLINE_ERR_CONNECT_UNREACHABLE = 402,
    /// The TLS handshake failed.
    TRAMLINE_ERR_CONNECT_TLS = 403,
    /// The token is no JWT.
    TRAMLINE_ERR_CONNECT_INVALID_TOKEN = 404,
    /// The server does not accept the token.
    TRAMLINE_ERR_CONNECT_UNAUTHORIZED = 405,
    /// There is no such room, and the server makes none by itself.
    TRAMLINE_ERR_CONNECT_ROOM_NOT_FOUND = 406,
    /// The server is older than this client can use, or the URL points elsewhere.
    TRAMLINE_ERR_CONNECT_NOT_SUPPORTED = 407,
    /// The server refused for another reason.
    TRAMLINE_ERR_CONNECT_REFUSED = 408,
    /// The session ended while joining.
    TRAMLINE_ERR_CONNECT_ENDED = 409,
    /// Signalling is up, and no data connection came about: check that UDP passes.
    TRAMLINE_ERR_CONNECT_TRANSPORT = 410,
    /// What answered does not speak the protocol.
    TRAMLINE_ERR_CONNECT_PROTOCOL = 411,
    /// Not connected within the time allowed.
    TRAMLINE_ERR_CONNECT_TIMEOUT = 412,
    /// This machine gave no thread, socket or randomness.
    TRAMLINE_ERR_CONNECT_LOCAL = 413,

    /// The name or the definition of the schema is empty or too long.
    TRAMLINE_ERR_SCHEMA_INVALID = 500,
    /// The participant is not there, or has not stored this schema.
    TRAMLINE_ERR_SCHEMA_NOT_FOUND = 501,
    /// The server stores no schemas; tracks that name one work all the same.
    TRAMLINE_ERR_SCHEMA_NOT_AVAILABLE = 502,
    /// The schemas of this participant are longer than the server takes.
    TRAMLINE_ERR_SCHEMA_LIMIT_REACHED = 503,
    /// The server refused for another reason.
    TRAMLINE_ERR_SCHEMA_REFUSED = 504,
    /// The server did not answer in time.
    TRAMLINE_ERR_SCHEMA_TIMEOUT = 505,
    /// The session has ended.
    TRAMLINE_ERR_SCHEMA_DISCONNECTED = 506,
    /// What the server has stored is no text.
    TRAMLINE_ERR_SCHEMA_MALFORMED = 507,

    /// A value is too long, or empty: servers take an empty one for no change.
    TRAMLINE_ERR_UPDATE_INVALID = 600,
    /// The token does not allow it: it needs `canUpdateOwnMetadata`.
    TRAMLINE_ERR_UPDATE_NOT_ALLOWED = 601,
    /// Together with what was there it is longer than the server takes.
    TRAMLINE_ERR_UPDATE_LIMIT_REACHED = 602,
    /// The server refused for another reason.
    TRAMLINE_ERR_UPDATE_REFUSED = 603,
    /// The server did not answer in time.
    TRAMLINE_ERR_UPDATE_TIMEOUT = 604,
    /// The session has ended.
    TRAMLINE_ERR_UPDATE_DISCONNECTED = 605,

    /// The packet is longer than packets may be: send long contents with `tramline_room_send_bytes`, or in parts.
    TRAMLINE_ERR_DATA_TOO_LARGE = 700,
    /// The token does not allow it: it needs `canPublishData`.
    TRAMLINE_ERR_DATA_NOT_ALLOWED = 701,
    /// Too much waits to be sent: send later, or wait with `tramline_room_publish_data`.
    TRAMLINE_ERR_DATA_QUEUE_FULL = 702,
    /// The room is encrypted and there is no key to encrypt with.
    TRAMLINE_ERR_DATA_NO_KEY = 703,
    /// It was not sent: the session has ended.
    TRAMLINE_ERR_DATA_DISCONNECTED = 704,
    /// The session ended after it was sent, and before it was known to have arrived.
    TRAMLINE_ERR_DATA_MAY_HAVE_ARRIVED = 705,
    /// It was not sent, through a fault of this side.
    TRAMLINE_ERR_DATA_INTERNAL = 706,

    /// The content is closed: nothing can be written any more.
    TRAMLINE_ERR_CONTENT_CLOSED = 720,
    /// Topic, attributes and destinations are too long together.
    TRAMLINE_ERR_CONTENT_HEADER_TOO_LARGE = 721,
    /// The file cannot be read or written, or its name is no plain file name.
    TRAMLINE_ERR_CONTENT_FILE = 722,
    /// The sender gave it up, and said why.
    TRAMLINE_ERR_CONTENT_ABORTED = 730,
    /// The sender has left, or the session has ended, before all of it was there.
    TRAMLINE_ERR_CONTENT_SENDER_GONE = 731,
    /// A part is missing.
    TRAMLINE_ERR_CONTENT_INCOMPLETE = 732,
    /// It is longer than it announced, or than is accepted.
    TRAMLINE_ERR_CONTENT_TOO_LONG = 733,
    /// It was not read quickly enough, and too much was waiting.
    TRAMLINE_ERR_CONTENT_UNREAD = 734,
    /// It is damaged, or no text, or only some of it is encrypted.
    TRAMLINE_ERR_CONTENT_MALFORMED = 735,

    /// The call failed, at the other side or on the way; the error says with which number.
    TRAMLINE_ERR_RPC = 800,
}

use tramline_status::*;

/// The name of a status, as in this header. Static, NUL-terminated; "unknown" for a number that is none.
#[unsafe(no_mangle)]
pub extern "C" fn tramline_status_name(status: i32) -> *const c_char {
    let name = NAMES.iter().find(|(known, _)| *known as i32 == status).map_or("unknown\0", |(_, name)| name);
    name.as_ptr().cast()
}

/// LiveKit's number for a status of publishing, pushing or subscribing (`PublishDataTrackErrorCode` and so on); 0, which is UNKNOWN in each of
/// them, for any other.
#[unsafe(no_mangle)]
pub extern "C" fn tramline_status_livekit_code(status: i32) -> u32 {
    match status {
        250..=251 => 4,
        100..=110 | 200..=204 | 300..=306 => u32::try_from(status % 100).unwrap_or(0),
        _ => 0,
    }
}

macro_rules! names {
    ($($name:ident)*) => {
        &[$(($name, concat!(stringify!($name), "\0"))),*]
    };
}

const NAMES: &[(tramline_status, &str)] = names! {
    TRAMLINE_OK TRAMLINE_TIMED_OUT TRAMLINE_EMPTY TRAMLINE_ENDED TRAMLINE_CLOSED TRAMLINE_DEADLINE_MISSED
    TRAMLINE_ERR_NULL TRAMLINE_ERR_INVALID_ARGUMENT TRAMLINE_ERR_INVALID_UTF8 TRAMLINE_ERR_STRUCT_SIZE TRAMLINE_ERR_PANIC
    TRAMLINE_ERR_FORKED TRAMLINE_ERR_WOULD_BLOCK TRAMLINE_ERR_NOT_FOUND TRAMLINE_ERR_BUSY TRAMLINE_ERR_DISCONNECTED TRAMLINE_ERR_SYSTEM
    TRAMLINE_ERR_PUBLISH_UNKNOWN TRAMLINE_ERR_PUBLISH_INVALID_HANDLE TRAMLINE_ERR_PUBLISH_DUPLICATE_NAME TRAMLINE_ERR_PUBLISH_TIMEOUT
    TRAMLINE_ERR_PUBLISH_DISCONNECTED TRAMLINE_ERR_PUBLISH_NOT_ALLOWED TRAMLINE_ERR_PUBLISH_INVALID_NAME
    TRAMLINE_ERR_PUBLISH_LIMIT_REACHED TRAMLINE_ERR_PUBLISH_PROTOCOL TRAMLINE_ERR_PUBLISH_INTERNAL TRAMLINE_ERR_PUBLISH_INVALID_SCHEMA
    TRAMLINE_ERR_PUSH_UNKNOWN TRAMLINE_ERR_PUSH_INVALID_HANDLE TRAMLINE_ERR_PUSH_UNPUBLISHED TRAMLINE_ERR_PUSH_QUEUE_FULL
    TRAMLINE_ERR_PUSH_INTERNAL TRAMLINE_ERR_PUSH_TOO_LARGE TRAMLINE_ERR_PUSH_NO_KEY
    TRAMLINE_ERR_SUBSCRIBE_UNKNOWN TRAMLINE_ERR_SUBSCRIBE_INVALID_HANDLE TRAMLINE_ERR_SUBSCRIBE_UNPUBLISHED
    TRAMLINE_ERR_SUBSCRIBE_TIMEOUT TRAMLINE_ERR_SUBSCRIBE_DISCONNECTED TRAMLINE_ERR_SUBSCRIBE_PROTOCOL TRAMLINE_ERR_SUBSCRIBE_INTERNAL
    TRAMLINE_ERR_CONNECT_UNKNOWN TRAMLINE_ERR_CONNECT_URL TRAMLINE_ERR_CONNECT_UNREACHABLE TRAMLINE_ERR_CONNECT_TLS
    TRAMLINE_ERR_CONNECT_INVALID_TOKEN TRAMLINE_ERR_CONNECT_UNAUTHORIZED TRAMLINE_ERR_CONNECT_ROOM_NOT_FOUND
    TRAMLINE_ERR_CONNECT_NOT_SUPPORTED TRAMLINE_ERR_CONNECT_REFUSED TRAMLINE_ERR_CONNECT_ENDED TRAMLINE_ERR_CONNECT_TRANSPORT
    TRAMLINE_ERR_CONNECT_PROTOCOL TRAMLINE_ERR_CONNECT_TIMEOUT TRAMLINE_ERR_CONNECT_LOCAL
    TRAMLINE_ERR_SCHEMA_INVALID TRAMLINE_ERR_SCHEMA_NOT_FOUND TRAMLINE_ERR_SCHEMA_NOT_AVAILABLE TRAMLINE_ERR_SCHEMA_LIMIT_REACHED
    TRAMLINE_ERR_SCHEMA_REFUSED TRAMLINE_ERR_SCHEMA_TIMEOUT TRAMLINE_ERR_SCHEMA_DISCONNECTED TRAMLINE_ERR_SCHEMA_MALFORMED
    TRAMLINE_ERR_UPDATE_INVALID TRAMLINE_ERR_UPDATE_NOT_ALLOWED TRAMLINE_ERR_UPDATE_LIMIT_REACHED TRAMLINE_ERR_UPDATE_REFUSED
    TRAMLINE_ERR_UPDATE_TIMEOUT TRAMLINE_ERR_UPDATE_DISCONNECTED
    TRAMLINE_ERR_DATA_TOO_LARGE TRAMLINE_ERR_DATA_NOT_ALLOWED TRAMLINE_ERR_DATA_QUEUE_FULL TRAMLINE_ERR_DATA_NO_KEY
    TRAMLINE_ERR_DATA_DISCONNECTED TRAMLINE_ERR_DATA_MAY_HAVE_ARRIVED TRAMLINE_ERR_DATA_INTERNAL
    TRAMLINE_ERR_CONTENT_CLOSED TRAMLINE_ERR_CONTENT_HEADER_TOO_LARGE TRAMLINE_ERR_CONTENT_FILE TRAMLINE_ERR_CONTENT_ABORTED
    TRAMLINE_ERR_CONTENT_SENDER_GONE TRAMLINE_ERR_CONTENT_INCOMPLETE TRAMLINE_ERR_CONTENT_TOO_LONG TRAMLINE_ERR_CONTENT_UNREAD
    TRAMLINE_ERR_CONTENT_MALFORMED TRAMLINE_ERR_RPC
};

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let status = match &error {
            ConnectError::Signal(error) => match error {
                SignalError::Url { .. } => TRAMLINE_ERR_CONNECT_URL,
                SignalError::Dns { .. } | SignalError::Tcp { .. } | SignalError::Broken { .. } => {
                    TRAMLINE_ERR_CONNECT_UNREACHABLE
                }
                SignalError::Tls { .. } => TRAMLINE_ERR_CONNECT_TLS,
                SignalError::Http { .. } => TRAMLINE_ERR_CONNECT_REFUSED,
                SignalError::Protocol { .. } => TRAMLINE_ERR_CONNECT_PROTOCOL,
                SignalError::Timeout { .. } => TRAMLINE_ERR_CONNECT_TIMEOUT,
                _ => TRAMLINE_ERR_CONNECT_UNKNOWN,
            },
            ConnectError::InvalidToken => TRAMLINE_ERR_CONNECT_INVALID_TOKEN,
            ConnectError::Unauthorized { .. } => TRAMLINE_ERR_CONNECT_UNAUTHORIZED,
            ConnectError::RoomNotFound { .. } => TRAMLINE_ERR_CONNECT_ROOM_NOT_FOUND,
            ConnectError::NotSupported { .. } => TRAMLINE_ERR_CONNECT_NOT_SUPPORTED,
            ConnectError::Refused { .. } => TRAMLINE_ERR_CONNECT_REFUSED,
            ConnectError::Ended { .. } => TRAMLINE_ERR_CONNECT_ENDED,
            ConnectError::Transport { .. } => TRAMLINE_ERR_CONNECT_TRANSPORT,
            ConnectError::Protocol(_) => TRAMLINE_ERR_CONNECT_PROTOCOL,
            ConnectError::Timeout { .. } => TRAMLINE_ERR_CONNECT_TIMEOUT,
            ConnectError::Local(_) => TRAMLINE_ERR_CONNECT_LOCAL,
            _ => TRAMLINE_ERR_CONNECT_UNKNOWN,
        };
        Self::new(status, error.to_string())
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let status = match error.code() {
            1 => TRAMLINE_ERR_PUBLISH_INVALID_HANDLE,
            2 => TRAMLINE_ERR_PUBLISH_DUPLICATE_NAME,
            3 => TRAMLINE_ERR_PUBLISH_TIMEOUT,
            4 => TRAMLINE_ERR_PUBLISH_DISCONNECTED,
            5 => TRAMLINE_ERR_PUBLISH_NOT_ALLOWED,
            6 => TRAMLINE_ERR_PUBLISH_INVALID_NAME,
            7 => TRAMLINE_ERR_PUBLISH_LIMIT_REACHED,
            8 => TRAMLINE_ERR_PUBLISH_PROTOCOL,
            9 => TRAMLINE_ERR_PUBLISH_INTERNAL,
            10 => TRAMLINE_ERR_PUBLISH_INVALID_SCHEMA,
            _ => TRAMLINE_ERR_PUBLISH_UNKNOWN,
        };
        Self::new(status, error.to_string())
    }
}

impl From<PushFrameErrorReason> for Failure {
    fn from(reason: PushFrameErrorReason) -> Self {
        let status = match reason {
            PushFrameErrorReason::TrackUnpublished => TRAMLINE_ERR_PUSH_UNPUBLISHED,
            PushFrameErrorReason::QueueFull => TRAMLINE_ERR_PUSH_QUEUE_FULL,
            PushFrameErrorReason::TooLarge { .. } => TRAMLINE_ERR_PUSH_TOO_LARGE,
            PushFrameErrorReason::NoKey => TRAMLINE_ERR_PUSH_NO_KEY,
            _ => TRAMLINE_ERR_PUSH_INTERNAL,
        };
        Self::new(status, format!("the frame was not taken: {reason}"))
    }
}

impl From<UpdateError> for Failure {
    fn from(error: UpdateError) -> Self {
        let status = match &error {
            UpdateError::CannotClear { .. } | UpdateError::TooLong { .. } => TRAMLINE_ERR_UPDATE_INVALID,
            UpdateError::NotAllowed => TRAMLINE_ERR_UPDATE_NOT_ALLOWED,
            UpdateError::LimitExceeded(_) => TRAMLINE_ERR_UPDATE_LIMIT_REACHED,
            UpdateError::Timeout => TRAMLINE_ERR_UPDATE_TIMEOUT,
            UpdateError::Disconnected => TRAMLINE_ERR_UPDATE_DISCONNECTED,
            _ => TRAMLINE_ERR_UPDATE_REFUSED,
        };
        Self::new(status, error.to_string())
    }
}

impl From<DataTrackSubscribeError> for Failure {
    fn from(error: DataTrackSubscribeError) -> Self {
        let status = match error.code() {
            2 => TRAMLINE_ERR_SUBSCRIBE_UNPUBLISHED,
            3 => TRAMLINE_ERR_SUBSCRIBE_TIMEOUT,
            4 => TRAMLINE_ERR_SUBSCRIBE_DISCONNECTED,
            5 => TRAMLINE_ERR_SUBSCRIBE_PROTOCOL,
            6 => TRAMLINE_ERR_SUBSCRIBE_INTERNAL,
            _ => TRAMLINE_ERR_SUBSCRIBE_UNKNOWN,
        };
        Self::new(status, error.to_string())
    }
}
