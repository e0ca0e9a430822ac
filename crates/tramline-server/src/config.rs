//! What a server is started with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tramline_core::queue::QueueConfig;

use crate::auth::Keys;

/// The HTTP and WebSocket port, as LiveKit's.
pub const DEFAULT_PORT: u16 = 7880;

/// The UDP port, as LiveKit's.
pub const DEFAULT_UDP_PORT: u16 = 7882;

/// How a [`Server`](crate::Server) is started.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The addresses to listen on, for HTTP and for UDP. `0.0.0.0` and `::` mean all of a family.
    pub bind: Vec<IpAddr>,
    /// The TCP port; 0 takes a free one.
    pub port: u16,
    /// The UDP port; 0 takes a free one. `None` tries [`DEFAULT_UDP_PORT`] and takes a free one when that is in use.
    pub udp_port: Option<u16>,
    /// The addresses at which clients reach the UDP port, when they are others than this host's: behind NAT, or when
    /// some of the host's addresses are of no use.
    pub node_ips: Vec<IpAddr>,
    /// The UDP port at which clients reach it, when it is another than the one listened on: behind a NAT or a relay.
    pub node_udp_port: Option<u16>,
    /// Whose tokens are good.
    pub keys: Keys,
    /// What waits for a slow subscriber, per track.
    pub queue: QueueConfig,
    /// Limits.
    pub limits: Limits,
}

/// What a server does not go beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Participants in all rooms.
    pub participants: usize,
    /// Participants in one room, 0 for no limit of its own.
    pub participants_per_room: usize,
    /// Open TCP connections; more wait in the listener's backlog.
    pub connections: usize,
    /// Bytes that may wait for one slow WebSocket.
    pub signal_backlog: usize,
    /// How long one write to a WebSocket may take.
    pub signal_write_timeout: Duration,
    /// Bytes of reliable packets that may wait for one participant; what comes then is lost for it, and counted.
    pub packet_backlog: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            participants: 10_000,
            participants_per_room: 0,
            connections: 20_000,
            signal_backlog: 4 << 20,
            signal_write_timeout: Duration::from_secs(10),
            packet_backlog: 16 << 20,
        }
    }
}

impl ServerConfig {
    /// On this host only, at the usual ports, with the keys given.
    pub fn new(keys: Keys) -> Self {
        Self {
            bind: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            port: DEFAULT_PORT,
            udp_port: None,
            node_ips: Vec::new(),
            node_udp_port: None,
            keys,
            queue: QueueConfig::default(),
            limits: Limits::default(),
        }
    }

    /// Development mode: the keys `devkey`/`secret`, on this host only.
    pub fn dev() -> Self {
        Self::new(Keys::dev())
    }

    /// For tests and embedding: as [`dev`](Self::dev), at ports that are free.
    pub fn ephemeral() -> Self {
        Self { port: 0, udp_port: Some(0), ..Self::dev() }
    }
}
