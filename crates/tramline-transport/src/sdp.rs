//! Data-only session descriptions (RFC 8866, RFC 8829, RFC 8841, RFC 8839).
//!
//! [`Description::parse`](description::Description::parse) reads what any peer sent, [`write`] makes ours.

use thiserror::Error;

pub(crate) mod description;
pub(crate) mod write;

/// Why a session description was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SdpError {
    /// Longer than any description of a data session.
    #[error("session description of {size} bytes; at most {limit} are accepted")]
    TooLong {
        /// Its length in bytes.
        size: usize,
        /// Most bytes accepted.
        limit: usize,
    },
    /// A line that is not SDP, with its number from 1.
    #[error("line {line} of the session description: expected {expected}")]
    Malformed {
        /// Line number, from 1.
        line: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// More media sections than accepted.
    #[error("more than {0} media sections")]
    TooManySections(usize),
    /// No `m=application … webrtc-datachannel` section, or it is rejected (port 0).
    #[error(
        "no usable data channel section; expected one m=application section with UDP/DTLS/SCTP webrtc-datachannel \
         and a port other than 0"
    )]
    NoDataChannel,
    /// An attribute that the data channel section needs is missing.
    #[error("a={0} is missing from the data channel section and from the session")]
    Missing(&'static str),
    /// An attribute has a value that is not allowed.
    #[error("a={attribute} has an unusable value; expected {expected}")]
    BadValue {
        /// Name of the attribute.
        attribute: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// No fingerprint with an accepted hash.
    #[error("certificate fingerprint with hash function {0:?}; only sha-256 is accepted")]
    FingerprintHash(String),
    /// The description contradicts an earlier one.
    #[error("the session description does not match the session: {0}")]
    Mismatch(&'static str),
    /// A description came when none was expected.
    #[error("a session description is not expected now: {0}")]
    WrongState(&'static str),
}
