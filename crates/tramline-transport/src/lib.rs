//! Sans-IO WebRTC peer for data channels: SDP, ICE, DTLS, SCTP.
//!
//! [`Peer`] is one WebRTC peer connection that carries LiveKit's three data channels and nothing else. It owns no
//! socket, clock or randomness: datagrams and the time go in, datagrams, events and the next wake-up time come out.
//! It does not know what the bytes on its channels mean.
#![forbid(unsafe_code)]

mod candidate;
mod certificate;
mod channel;
mod channels;
mod dcep;
mod dtls;
mod ice;
mod peer;
mod sctp;
mod sdp;
mod stats;
mod transmit;

pub use candidate::{CandidateError, LocalCandidate};
pub use certificate::{Certificate, CertificateError, Fingerprint};
pub use channel::{Channel, SendError, SendOptions};
pub use peer::{CloseReason, IceFailure, Peer, PeerConfig, PeerEvent};
pub use sdp::SdpError;
pub use stats::PeerStats;
pub use transmit::{Transmit, Transmits};
