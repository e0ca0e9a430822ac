//! The counters of everything, in one place.

use tramline_transport::Peer;

use super::Shard;
use crate::stats::ServerStats;

impl Shard {
    pub(super) fn snapshot(&mut self) -> ServerStats {
        let mut transport = self.stats.transport;
        let mut live = 0;
        for connection in self.peers.entries().flat_map(|entry| entry.connections.iter()) {
            transport += connection.stats();
            live += rejected(connection);
        }
        ServerStats {
            rooms: self.rooms.len(),
            participants: self.peers.len(),
            room: self.rooms.counters(),
            queues: self.peers.queue_counters(),
            transport_rejected: self.stats.transport_rejected + live,
            transport,
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
