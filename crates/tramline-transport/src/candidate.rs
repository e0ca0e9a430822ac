//! ICE candidates as signalling carries them.

use thiserror::Error;

/// One local candidate with what a `TrickleRequest` needs around it.
///
/// LiveKit's `candidateInit` is the JSON object of these three: `candidate`, `sdpMid`, `sdpMLineIndex`. Official
/// clients crash when one of them is missing or null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCandidate {
    /// `candidate:…`, without `a=`.
    pub candidate: String,
    /// Media id of the application section, e.g. `0`.
    pub mid: String,
    /// Index of the application section, from 0.
    pub mline_index: u16,
}

/// Why a peer's candidate was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CandidateError {
    /// Longer than any candidate is.
    #[error("candidate of {0} bytes; at most 1024 are accepted")]
    TooLong(usize),
    /// Not a candidate.
    #[error("not an ICE candidate: {0}")]
    Malformed(String),
    /// The peer sends candidates without end.
    #[error("the peer sent more than {0} candidates")]
    TooMany(usize),
}
