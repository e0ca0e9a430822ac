//! What an association reports.

use bytes::Bytes;
use thiserror::Error;

/// What happened, from [`Association::poll_event`](crate::Association::poll_event).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Messages can be sent. Comes once, or again after [`Restarted`](Self::Restarted).
    Connected,
    /// The stream has a message to fetch where it had none.
    Readable(u16),
    /// The peer ended its direction of the stream and may begin anew (RFC 6525).
    IncomingReset(u16),
    /// Our direction of the stream was ended, as [`reset_stream`](crate::Association::reset_stream) asked.
    OutgoingReset(u16),
    /// All of the message with this [`receipt`](crate::Delivery::receipt) has arrived at the peer.
    Acknowledged(u64),
    /// The peer began anew; what was queued, in flight or not fetched is gone, and so is every stream's state.
    Restarted,
    /// The association is over; nothing follows.
    Closed(Closed),
}

/// Why an association is over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Closed {
    /// Both sides had said all and agreed to end.
    #[error("shut down")]
    Shutdown,
    /// [`Association::abort`](crate::Association::abort) was called.
    #[error("aborted locally")]
    Local,
    /// The peer aborted; its first cause, in words.
    #[error("aborted by the peer: {0}")]
    Remote(&'static str),
    /// The peer broke the protocol, and was told so.
    #[error("protocol violation of the peer: {0}")]
    Violation(&'static str),
    /// Nothing was answered.
    #[error("no answer after {0} attempts")]
    TimedOut(u32),
}

/// A whole message, from [`Association::recv`](crate::Association::recv).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Payload protocol identifier, opaque to SCTP (RFC 8831 section 8 for data channels).
    pub ppid: u32,
    /// What was sent.
    pub payload: Bytes,
}

/// Why [`Association::send`](crate::Association::send) took nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The association is not up, or not any more.
    #[error("the association is not established; wait for Event::Connected")]
    NotConnected,
    /// SCTP cannot carry it (RFC 9260 section 3.3.1).
    #[error("an empty message cannot be sent; data channels send one byte with its own payload protocol id")]
    Empty,
    /// The peer takes fewer streams.
    #[error("stream {stream} does not exist: the peer agreed to {limit} streams")]
    NoSuchStream {
        /// The stream that was asked for.
        stream: u16,
        /// Streams that were agreed.
        limit: u16,
    },
    /// The stream is being reset; it can be used again after [`Event::OutgoingReset`].
    #[error("stream {0} is being reset")]
    Resetting(u16),
}
