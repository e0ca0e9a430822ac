//! Data-only session descriptions (RFC 8866, RFC 8841, RFC 8839).

use thiserror::Error;

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
    #[error("line {line} of the session description: {reason}")]
    Malformed {
        /// Line number, from 1.
        line: usize,
        /// What was expected.
        reason: &'static str,
    },
    /// More media sections than accepted.
    #[error("more than {0} media sections")]
    TooManySections(usize),
    /// No `m=application … webrtc-datachannel` section, or it is rejected (port 0).
    #[error(
        "no data channel section; expected one m=application section with UDP/DTLS/SCTP webrtc-datachannel"
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
    #[error("fingerprint with hash function {0:?}; only sha-256 is accepted")]
    FingerprintHash(String),
    /// The answer does not answer our offer.
    #[error("the answer does not match the offer: {0}")]
    Mismatch(&'static str),
    /// A description came when none was expected.
    #[error("a session description is not expected now: {0}")]
    WrongState(&'static str),
}
