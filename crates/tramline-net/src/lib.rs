//! Sockets, clocks and runtime: the one place below the SDK and the server that knows tokio.
//!
//! | module | what it gives |
//! |---|---|
//! | [`udp`] | sockets that read and write datagrams in batches (GSO, GRO), replies leave from the address that was asked |
//! | [`demux`] | which of many peers on one socket a datagram belongs to |
//! | [`ws`] | the WebSocket client for signalling, with and without TLS |
//! | [`http`] | one plain GET over the same way of connecting |
//! | [`connect`] | URL to byte stream: names, Happy Eyeballs, TCP, TLS; the errors by stage |
//! | [`happy_eyeballs`] | the race between a host's addresses (RFC 8305) |
//! | [`interfaces`] | this host's addresses, as ICE host candidates |
//! | [`runtime`] | named driver threads that take no signals, and blocking calls that refuse to block a runtime |
//! | [`clock`], [`random`] | what the sans-IO crates are handed as arguments |
//!
//! Nothing here knows rooms, tracks or LiveKit's messages.

pub mod clock;
pub mod connect;
pub mod demux;
pub mod happy_eyeballs;
pub mod http;
pub mod interfaces;
pub mod random;
pub mod runtime;
mod tls;
pub mod udp;
pub mod ws;
