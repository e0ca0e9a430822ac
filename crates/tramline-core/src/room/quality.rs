//! How good the connections of participants are.

use livekit_protocol as proto;
use proto::signal_response::Message as Response;

use super::{Output, Room};
use crate::forward::PeerKey;
use crate::session::ConnectionQuality;

impl Room {
    /// The connection of `peer` is that good now; everybody is told of a change.
    pub fn set_quality(&mut self, peer: PeerKey, quality: ConnectionQuality) {
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        if participant.quality == quality {
            return;
        }
        participant.quality = quality;
        let hidden = participant.grants.hidden;
        let message = Response::ConnectionQuality(self.quality_of(peer));
        let message = std::sync::Arc::new(proto::SignalResponse { message: Some(message) });
        let told = self
            .participants
            .iter()
            .filter(|(other, participant)| participant.has_signal && (!hidden || **other == peer));
        let outputs = told.map(|(other, _)| Output::Signal { peer: *other, message: message.clone() });
        self.output.extend(outputs);
    }

    /// A participant that has just come is told of itself, and of those whose connection is not as it should be: clients expect
    /// the best of the others.
    pub(super) fn tell_qualities(&mut self, peer: PeerKey) {
        let best = ConnectionQuality::Excellent;
        let others = self.participants.iter().filter(|(other, participant)| {
            **other == peer || (participant.quality != best && !participant.grants.hidden)
        });
        let updates = others.flat_map(|(other, _)| self.quality_of(*other).updates).collect();
        self.send(peer, Response::ConnectionQuality(proto::ConnectionQualityUpdate { updates }));
    }

    fn quality_of(&self, peer: PeerKey) -> proto::ConnectionQualityUpdate {
        let info = self.participants.get(&peer).map(|participant| proto::ConnectionQualityInfo {
            participant_sid: participant.sid.as_str().to_owned(),
            quality: participant.quality.to_wire(),
            score: participant.quality.score(),
        });
        proto::ConnectionQualityUpdate { updates: info.into_iter().collect() }
    }
}
