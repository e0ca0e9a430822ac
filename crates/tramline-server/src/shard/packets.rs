//! The way of a data packet: to everybody whom its room names, each through queues of its own.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use tramline_core::forward::PeerKey;
use tramline_core::packet::DataPacketKind;
use tramline_core::queue::{LiveQueue, QueueConfig};
use tramline_core::room::PacketRefused;
use tramline_core::stats::DropReason;
use tramline_transport::{Channel, Peer, SendError};

use super::Shard;
use super::rooms::RoomKey;

/// Bytes of lossy packets that may wait for one participant.
const LOSSY_BACKLOG: usize = 1 << 20;

/// What waits for one participant. Reliable packets wait from the moment it is in the room, also before its transport is up, so that it misses nothing
/// of what is sent after its join response.
#[derive(Debug)]
pub(super) struct PacketQueues {
    reliable: VecDeque<Bytes>,
    reliable_bytes: usize,
    lossy: LiveQueue<Bytes>,
}

impl Default for PacketQueues {
    fn default() -> Self {
        let lossy = LiveQueue::new(QueueConfig::default().with_max_bytes(LOSSY_BACKLOG));
        Self { reliable: VecDeque::new(), reliable_bytes: 0, lossy }
    }
}

impl PacketQueues {
    /// Queues a packet; `false` when it does not fit any more.
    fn push(&mut self, now: Instant, kind: DataPacketKind, packet: Bytes, backlog: usize) -> bool {
        match kind {
            DataPacketKind::Reliable => {
                if self.reliable_bytes + packet.len() > backlog {
                    return false;
                }
                self.reliable_bytes += packet.len();
                self.reliable.push_back(packet);
                true
            }
            DataPacketKind::Lossy => self.lossy.push_frame(now, [packet]),
        }
    }

    /// Hands at most one packet of each kind to the transport, and returns how many.
    pub(super) fn send_next(&mut self, now: Instant, transport: &mut Peer) -> u64 {
        let mut sent = 0;
        if let Some(packet) = self.reliable.front()
            && transport.send_capacity(Channel::Reliable) > 0
        {
            let taken = transport.send(Channel::Reliable, packet);
            if !matches!(taken, Err(SendError::Full { .. } | SendError::NotOpen(_))) {
                self.reliable_bytes -= packet.len();
                self.reliable.pop_front();
                match taken {
                    Ok(()) => sent += 1,
                    Err(error) => tracing::debug!(%error, "a packet that its receiver does not take"),
                }
            }
        }
        if !self.lossy.is_empty()
            && transport.send_capacity(Channel::Lossy) > 0
            && let Some(packet) = self.lossy.pop(now)
        {
            match transport.send(Channel::Lossy, &packet) {
                Ok(()) => sent += 1,
                Err(error) => tracing::debug!(%error, "lossy packet refused"),
            }
        }
        sent
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.lossy.handle_timeout(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.lossy.poll_timeout()
    }
}

impl Shard {
    /// One packet, to the queues of everybody whom it is for.
    pub(super) fn route_packet(
        &mut self,
        now: Instant,
        sender: PeerKey,
        room: RoomKey,
        kind: DataPacketKind,
        packet: &[u8],
    ) {
        self.stats.data_packets_in += 1;
        // Not through `with`: a packet changes nothing that the room would have to say.
        let routed = self.rooms.room_mut(room).map(|room| room.handle_packet(sender, kind, packet));
        let routed = match routed {
            Some(Ok(routed)) => routed,
            Some(Err(refused)) => {
                tracing::debug!(peer = sender.0, %refused, "data packet");
                let reason = match refused {
                    PacketRefused::NotPermitted => DropReason::NotPermitted,
                    PacketRefused::Repeated => DropReason::Duplicate,
                    _ => DropReason::Malformed,
                };
                return self.stats.data_packets_dropped.add(reason);
            }
            None => return,
        };
        for peer in routed.recipients {
            let Some(entry) = self.peers.at(peer) else { continue };
            if entry.packets.push(now, kind, routed.packet.clone(), self.limits.packet_backlog) {
                self.peers.touch(peer);
            } else {
                self.stats.data_packets_dropped.add(DropReason::QueueFull);
            }
        }
    }
}
