//! What a call fails with; the numbers and texts are LiveKit's.

use livekit_protocol as proto;
use thiserror::Error;

/// Why a call failed: one of ours, or what the handler of the method returned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("RPC failed with {code}: {message}")]
pub struct RpcError {
    /// One of [`RpcErrorCode`], or a number of the application's.
    pub code: u32,
    /// In words; at most 256 bytes travel.
    pub message: String,
    /// More, for the application; at most 15 KiB travel.
    pub data: Option<String>,
}

/// The failures that a handler does not return itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum RpcErrorCode {
    /// The method is not registered there.
    UnsupportedMethod = 1400,
    /// There is no such participant in the room.
    RecipientNotFound = 1401,
    /// The payload is longer than the recipient takes.
    RequestPayloadTooLarge = 1402,
    /// The server is too old.
    UnsupportedServer = 1403,
    /// The request is of another version.
    UnsupportedVersion = 1404,
    /// The handler failed in an unforeseen way: it panicked.
    ApplicationError = 1500,
    /// The recipient did not confirm the request.
    ConnectionTimeout = 1501,
    /// The recipient confirmed the request and did not answer in time.
    ResponseTimeout = 1502,
    /// The recipient left the room.
    RecipientDisconnected = 1503,
    /// The answer is longer than the caller takes.
    ResponsePayloadTooLarge = 1504,
    /// The request could not be sent.
    SendFailed = 1505,
}

impl RpcErrorCode {
    /// In LiveKit's words.
    pub fn message(self) -> &'static str {
        match self {
            Self::UnsupportedMethod => "Method not supported at destination",
            Self::RecipientNotFound => "Recipient not found",
            Self::RequestPayloadTooLarge => "Request payload too large",
            Self::UnsupportedServer => "RPC not supported by server",
            Self::UnsupportedVersion => "Unsupported RPC version",
            Self::ApplicationError => "Application error in method handler",
            Self::ConnectionTimeout => "Connection timeout",
            Self::ResponseTimeout => "Response timeout",
            Self::RecipientDisconnected => "Recipient disconnected",
            Self::ResponsePayloadTooLarge => "Response payload too large",
            Self::SendFailed => "Failed to send",
        }
    }
}

impl RpcError {
    /// An error of the application's.
    pub fn new(code: u32, message: impl Into<String>, data: Option<String>) -> Self {
        Self { code, message: message.into(), data }
    }

    /// One of the known errors.
    pub fn built_in(code: RpcErrorCode, data: Option<String>) -> Self {
        Self { code: code as u32, message: code.message().to_owned(), data }
    }

    pub(super) fn from_wire(error: proto::RpcError) -> Self {
        let data = Some(error.data).filter(|data| !data.is_empty());
        Self { code: error.code, message: error.message, data }
    }

    pub(super) fn into_wire(self) -> proto::RpcError {
        let data = cut(self.data.unwrap_or_default(), MAX_DATA_LEN);
        proto::RpcError { code: self.code, message: cut(self.message, MAX_MESSAGE_LEN), data }
    }
}

/// The beginning of `text`, up to `limit` bytes, at the end of a character.
fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// Bytes of a message that travel.
const MAX_MESSAGE_LEN: usize = 256;

/// Bytes of data that travel.
const MAX_DATA_LEN: usize = 15 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let error = RpcError::new(7, "ä".repeat(200), Some("€".repeat(10_000))).into_wire();
        assert_eq!((error.message.len(), error.data.len()), (256, 15_360));
        let odd = RpcError::new(7, format!("x{}", "ä".repeat(200)), None).into_wire();
        assert_eq!(odd.message.len(), 255);
        assert_eq!(RpcError::from_wire(odd).data, None);
    }
}
