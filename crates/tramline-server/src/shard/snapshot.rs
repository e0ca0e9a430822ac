//! The counters of everything, in one place.

use tramline_transport::Peer;

use super::Shard;
use crate::stats::ServerStats;

impl Shard {
    pub(super) fn snapshot(&mut self) -> ServerStats {
        let live: u64 = self.peers.entries().flat_map(|entry| entry.connections.iter()).map(rejected).sum();
        ServerStats {
            rooms: self.rooms.len(),
            participants: self.peers.len(),
            room: self.rooms.counters(),
            queues: self.peers.queue_counters(),
            transport_rejected: self.stats.transport_rejected + live,
            udp: self.sockets.counters(),
            demux: self.demux.counters(),
            ..self.stats
        }
    }
}

/// What a connection did not accept.
pub(super) fn rejected(connection: &Peer) -> u64 {
    let stats = connection.stats();
    stats.malformed_datagrams + stats.rejected_stun + stats.rejected_dtls + stats.rejected_messages
}
