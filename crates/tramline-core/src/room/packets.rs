//! Data packets: who may send them, and to whom they go.

use bytes::Bytes;
use livekit_protocol as proto;
use thiserror::Error;

use super::Room;
use super::participant::Participant;
use crate::forward::PeerKey;
use crate::packet::DataPacketKind;
use crate::packet::raw::{self, Body, Packet, Stamp};

/// A packet to be sent on, on the channel that it came on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutedPacket {
    /// The packet, with the server's word about its sender.
    pub packet: Bytes,
    /// Who gets it: each once, never its sender, perhaps nobody. Also those whose transport is not up yet, so that they miss nothing.
    pub recipients: Vec<PeerKey>,
}

/// Why a packet goes nowhere. Its sender is not told: the protocol has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PacketRefused {
    /// It is no packet.
    #[error("not a data packet")]
    Malformed,
    /// The sender may not send data, or not this.
    #[error("the sender may not send this")]
    NotPermitted,
    /// It was here before.
    #[error("a repeat")]
    Repeated,
}

impl Room {
    /// A packet that `sender` sent on the channel `_reliable` or `_lossy`.
    ///
    /// # Errors
    /// Why it goes nowhere.
    pub fn handle_packet(
        &mut self,
        sender: PeerKey,
        kind: DataPacketKind,
        bytes: &[u8],
    ) -> Result<RoutedPacket, PacketRefused> {
        let packet = Packet::parse(bytes).map_err(|_| PacketRefused::Malformed)?;
        let Some(from) = self.participants.get_mut(&sender) else { return Err(PacketRefused::NotPermitted) };
        if !from.grants.can_publish_data {
            return Err(PacketRefused::NotPermitted);
        }
        let is_agent = from.kind == proto::participant_info::Kind::Agent as i32;
        if packet.body == Body::Transcription && !is_agent {
            return Err(PacketRefused::NotPermitted);
        }
        if kind == DataPacketKind::Reliable && packet.sequence > 0 {
            if packet.sequence <= from.last_reliable {
                return Err(PacketRefused::Repeated);
            }
            from.last_reliable = packet.sequence;
        }
        if !packet.nonce.is_empty() && !remember(&mut self.nonces, packet.nonce) {
            return Err(PacketRefused::Repeated);
        }
        let from = &self.participants[&sender];
        let speaks_for_another = is_agent
            && matches!(packet.body, Body::Speech | Body::Transcription)
            && !packet.identity.is_empty();
        let stamp = match (from.grants.hidden, speaks_for_another) {
            // Of a hidden participant nothing is told, nor do its numbers mean anything without it.
            (true, _) => Stamp { identity: "", sid: "", kind, keep_sequence: false },
            (false, true) => {
                Stamp { identity: packet.identity, sid: from.sid.as_str(), kind, keep_sequence: true }
            }
            (false, false) => {
                Stamp { identity: &from.identity, sid: from.sid.as_str(), kind, keep_sequence: true }
            }
        };
        let stamped = raw::stamp(bytes, &stamp).map_err(|_| PacketRefused::Malformed)?;
        Ok(RoutedPacket { packet: stamped, recipients: self.recipients(sender, &packet) })
    }

    /// The number of the last reliable packet of a participant: what it need not send again after a resume (LiveKit
    /// `ReconnectResponse.last_message_seq`).
    pub fn last_reliable_sequence(&self, peer: PeerKey) -> u32 {
        self.participants.get(&peer).map_or(0, |participant| participant.last_reliable)
    }

    fn recipients(&self, sender: PeerKey, packet: &Packet<'_>) -> Vec<PeerKey> {
        let gets = |peer: PeerKey, participant: &Participant| {
            peer != sender && (packet.body != Body::Metrics || participant.grants.can_subscribe_metrics)
        };
        if packet.destinations.is_empty() && packet.destination_sids.is_empty() {
            let all = self.participants.iter().filter(|(peer, participant)| gets(**peer, participant));
            return all.map(|(peer, _)| *peer).collect();
        }
        let by_identity =
            packet.destinations.iter().filter_map(|identity| self.by_identity.get(*identity).copied());
        let by_sid = packet.destination_sids.iter().flat_map(|sid| {
            let is_it = move |(_, participant): &(&PeerKey, &Participant)| participant.sid.as_str() == *sid;
            self.participants.iter().filter(is_it).map(|(peer, _)| *peer)
        });
        let mut recipients: Vec<PeerKey> = by_identity.chain(by_sid).collect();
        recipients
            .retain(|peer| self.participants.get(peer).is_some_and(|participant| gets(*peer, participant)));
        recipients.sort_unstable();
        recipients.dedup();
        recipients
    }
}

/// Whether `nonce` is new among the last ones; it is remembered then.
fn remember(nonces: &mut std::collections::VecDeque<Box<[u8]>>, nonce: &[u8]) -> bool {
    // Longer ones than LiveKit's are told apart by their beginning.
    let nonce = &nonce[..nonce.len().min(MAX_NONCE_LEN)];
    if nonces.iter().any(|known| **known == *nonce) {
        return false;
    }
    if nonces.len() == NONCES {
        nonces.pop_front();
    }
    nonces.push_back(nonce.into());
    true
}

/// Nonces that are remembered in a room, as in LiveKit's server.
const NONCES: usize = 100;

/// LiveKit's have 16 bytes.
const MAX_NONCE_LEN: usize = 64;
