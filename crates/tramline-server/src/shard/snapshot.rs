//! The counters of everything, in one place.

use tramline_transport::Peer;

use super::Shard;
use crate::stats::ServerStats;

impl Shard {
    pub(super) fn snapshot(&mut self) -> ServerStats {
        let live: u64 = self.peers.entries().filter_map(|entry| entry.transport.as_ref()).map(rejected).sum();
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

/// What a transport did not accept.
pub(super) fn rejected(transport: &Peer) -> u64 {
    let stats = transport.stats();
    stats.malformed_datagrams + stats.rejected_stun + stats.rejected_dtls + stats.rejected_messages
}
