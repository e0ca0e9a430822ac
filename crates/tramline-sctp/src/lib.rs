//! Sans-IO SCTP for WebRTC data channels.
//!
//! [`Association`] is one association between two peers over DTLS: RFC 9260 with partial reliability (RFC 3758), stream
//! reset (RFC 6525) and checksums left to DTLS (RFC 9653). Packets and the time go in; packets, messages, events and the
//! next wake-up time come out. It owns no socket, clock or randomness.
//!
//! What it does beyond the letter, all of it invisible on the wire: losses are found by time instead of by counting (RFC
//! 8985), the window follows delay instead of loss ([`Congestion`]), streams take turns by bytes, and what is given up
//! is skipped at once but never more often than the path can use.
#![forbid(unsafe_code)]

mod association;
mod config;
mod congestion;
mod cookie;
mod event;
mod receive;
mod reset;
mod rtt;
mod secret;
mod send;
mod serial;
mod stats;
mod wire;

pub use association::Association;
pub use config::{Config, Congestion, Delivery};
pub use event::{Closed, Event, Message, SendError};
pub use stats::Stats;
