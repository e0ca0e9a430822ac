//! Who is in the room: snapshots in, differences out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use livekit_protocol as proto;
use tramline_wire::{ParticipantSid, TrackSid};

use super::event::{Event, Output};
use super::{SessionConfig, SessionCounters};
use crate::leave::DisconnectReason;
use crate::track::TrackInfo;

/// A participant, as its last update described it (LiveKit `ParticipantInfo`).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Participant {
    /// The server's id of this stay; a new one after each join.
    pub sid: ParticipantSid,
    /// Who it is, unique in the room.
    pub identity: Arc<str>,
    /// A name for display.
    pub name: String,
    /// What the application stored with it.
    pub metadata: String,
    /// Keys and values that the application stored with it.
    pub attributes: BTreeMap<String, String>,
    /// What it is.
    pub kind: ParticipantKind,
    /// Whether its transport is up.
    pub is_active: bool,
    /// What it may do.
    pub permissions: Permissions,
    /// The generation of client-to-client protocols that it speaks (RPC, streams).
    pub client_protocol: i32,
    /// What its client can do (LiveKit `ClientInfo.Capability`).
    pub capabilities: Vec<i32>,
    /// When it joined, in milliseconds since 1970 by the server's clock.
    pub joined_at_ms: i64,
}

/// What a participant is (LiveKit `ParticipantInfo.Kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ParticipantKind {
    /// An ordinary client.
    #[default]
    Standard,
    /// Brings streams in.
    Ingress,
    /// Records or streams out.
    Egress,
    /// A telephone.
    Sip,
    /// An agent.
    Agent,
    /// Anything else.
    Other,
}

/// What a participant may do (LiveKit `ParticipantPermission`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Permissions {
    /// Receive the tracks of others.
    pub can_subscribe: bool,
    /// Publish media.
    pub can_publish: bool,
    /// Publish data tracks and send data packets.
    pub can_publish_data: bool,
    /// Change its own name, metadata and attributes.
    pub can_update_own_metadata: bool,
    /// Others do not see it.
    pub hidden: bool,
}

impl Participant {
    pub(super) fn from_wire(info: proto::ParticipantInfo) -> Result<Self, Malformed> {
        if info.identity.is_empty() {
            return Err(Malformed);
        }
        use proto::participant_info::{Kind, State};
        let permission = info.permission.unwrap_or_default();
        Ok(Self {
            sid: ParticipantSid::try_from(info.sid).map_err(|_| Malformed)?,
            identity: info.identity.into(),
            name: info.name,
            metadata: info.metadata,
            attributes: info.attributes.into_iter().collect(),
            kind: match Kind::try_from(info.kind) {
                Ok(Kind::Standard) => ParticipantKind::Standard,
                Ok(Kind::Ingress) => ParticipantKind::Ingress,
                Ok(Kind::Egress) => ParticipantKind::Egress,
                Ok(Kind::Sip) => ParticipantKind::Sip,
                Ok(Kind::Agent) => ParticipantKind::Agent,
                Ok(_) | Err(_) => ParticipantKind::Other,
            },
            is_active: info.state == State::Active as i32,
            permissions: Permissions {
                can_subscribe: permission.can_subscribe,
                can_publish: permission.can_publish,
                can_publish_data: permission.can_publish_data,
                can_update_own_metadata: permission.can_update_metadata,
                hidden: permission.hidden,
            },
            client_protocol: info.client_protocol,
            capabilities: info.capabilities,
            joined_at_ms: if info.joined_at_ms != 0 {
                info.joined_at_ms
            } else {
                info.joined_at.saturating_mul(1000)
            },
        })
    }
}

/// A participant entry without an identity or with a SID that is not one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The local participant, the remote ones and their tracks.
#[derive(Debug, Default)]
pub(super) struct Participants {
    local: Option<Arc<Participant>>,
    remote: BTreeMap<Arc<str>, Remote>,
    /// Which remote participant publishes a track.
    publishers: BTreeMap<TrackSid, Arc<str>>,
}

#[derive(Debug)]
struct Remote {
    participant: Arc<Participant>,
    version: u32,
    tracks: BTreeMap<TrackSid, Arc<TrackInfo>>,
}

impl Participants {
    pub(super) fn local(&self) -> Option<&Arc<Participant>> {
        self.local.as_ref()
    }

    pub(super) fn set_local(&mut self, local: Participant) -> Arc<Participant> {
        self.local.insert(Arc::new(local)).clone()
    }

    pub(super) fn participant(&self, identity: &str) -> Option<&Arc<Participant>> {
        self.remote.get(identity).map(|remote| &remote.participant)
    }

    pub(super) fn by_sid(&self, sid: &str) -> Option<&Arc<Participant>> {
        let remote = self.remote.values().map(|remote| &remote.participant);
        self.local.iter().chain(remote).find(|participant| participant.sid.as_str() == sid)
    }

    /// Everybody else is gone.
    pub(super) fn clear_remote(&mut self, output: &mut VecDeque<Output>) {
        let identities: Vec<Arc<str>> = self.remote.keys().cloned().collect();
        for identity in identities {
            self.remove(&identity, DisconnectReason::Migration, output);
        }
    }

    pub(super) fn iter(
        &self,
    ) -> impl Iterator<Item = (&Arc<Participant>, impl Iterator<Item = &Arc<TrackInfo>>)> {
        self.remote.values().map(|remote| (&remote.participant, remote.tracks.values()))
    }

    pub(super) fn track(&self, sid: &TrackSid) -> Option<(&Arc<Participant>, &Arc<TrackInfo>)> {
        let remote = self.remote.get(self.publishers.get(sid)?)?;
        Some((&remote.participant, remote.tracks.get(sid)?))
    }

    /// Takes the participants of the join response; they cause no events of their own.
    pub(super) fn fill(
        &mut self,
        infos: Vec<proto::ParticipantInfo>,
        config: &SessionConfig,
        counters: &mut SessionCounters,
    ) -> Vec<(Arc<Participant>, Vec<Arc<TrackInfo>>)> {
        let mut unreported = VecDeque::new();
        for info in infos {
            self.handle_info(info, config, counters, &mut unreported);
        }
        self.remote.values().map(|r| (r.participant.clone(), r.tracks.values().cloned().collect())).collect()
    }

    /// Compares one complete entry with what is known and reports the difference.
    pub(super) fn handle_info(
        &mut self,
        mut info: proto::ParticipantInfo,
        config: &SessionConfig,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        let gone = info.state == proto::participant_info::State::Disconnected as i32;
        let reason = DisconnectReason::from_wire(info.disconnect_reason);
        let version = info.version;
        let tracks = std::mem::take(&mut info.data_tracks);
        let Ok(participant) = Participant::from_wire(info) else {
            counters.malformed += 1;
            return;
        };
        if self.local.as_ref().is_some_and(|local| local.identity == participant.identity) {
            return self.handle_local(participant, gone, counters, output);
        }
        let known =
            self.remote.get(&participant.identity).map(|remote| (&remote.participant.sid, remote.version));
        match known {
            // The end of a stay that a newer one has replaced already, or of one that was never seen.
            Some((sid, _)) if gone && *sid != participant.sid => counters.outdated += 1,
            None if gone => counters.outdated += 1,
            Some(_) if gone => self.remove(&participant.identity, reason, output),
            // An equal version is news: servers send a new track under the version of the update before.
            Some((sid, known)) if *sid == participant.sid && version < known => counters.outdated += 1,
            Some((sid, _)) if *sid == participant.sid => {
                self.change(participant, version, tracks, config, counters, output)
            }
            Some(_) => {
                let identity = participant.identity.clone();
                self.remove(&identity, DisconnectReason::DuplicateIdentity, output);
                self.add(participant, version, tracks, config, counters, output);
            }
            None if self.remote.len() >= config.max_participants => counters.over_limit += 1,
            None => self.add(participant, version, tracks, config, counters, output),
        }
    }

    fn handle_local(
        &mut self,
        participant: Participant,
        gone: bool,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        let Some(local) = &mut self.local else { return };
        // The end is told by `leave`, and an entry with another SID is about an earlier stay.
        if gone || local.sid != participant.sid {
            counters.outdated += 1;
        } else if **local != participant {
            let before = std::mem::replace(local, Arc::new(participant));
            let after = local.clone();
            output.push_back(Output::Event(Event::ParticipantChanged { before, after }));
        }
    }

    fn add(
        &mut self,
        participant: Participant,
        version: u32,
        tracks: Vec<proto::DataTrackInfo>,
        config: &SessionConfig,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        let participant = Arc::new(participant);
        let identity = participant.identity.clone();
        output.push_back(Output::Event(Event::ParticipantJoined(participant.clone())));
        self.remote.insert(identity.clone(), Remote { participant, version, tracks: BTreeMap::new() });
        self.compare_tracks(&identity, tracks, config, counters, output);
    }

    fn change(
        &mut self,
        participant: Participant,
        version: u32,
        tracks: Vec<proto::DataTrackInfo>,
        config: &SessionConfig,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        let identity = participant.identity.clone();
        let Some(remote) = self.remote.get_mut(&identity) else { return };
        remote.version = version;
        if *remote.participant != participant {
            let before = std::mem::replace(&mut remote.participant, Arc::new(participant));
            let after = remote.participant.clone();
            output.push_back(Output::Event(Event::ParticipantChanged { before, after }));
        }
        self.compare_tracks(&identity, tracks, config, counters, output);
    }

    fn remove(&mut self, identity: &Arc<str>, reason: DisconnectReason, output: &mut VecDeque<Output>) {
        let Some(remote) = self.remote.remove(identity) else { return };
        for track in remote.tracks.into_values() {
            self.publishers.remove(&track.sid);
            let publisher = remote.participant.clone();
            output.push_back(Output::Event(Event::TrackUnpublished { publisher, track }));
        }
        output.push_back(Output::Event(Event::ParticipantLeft { participant: remote.participant, reason }));
    }

    /// The list is complete: what is missing from it has been unpublished.
    fn compare_tracks(
        &mut self,
        identity: &Arc<str>,
        list: Vec<proto::DataTrackInfo>,
        config: &SessionConfig,
        counters: &mut SessionCounters,
        output: &mut VecDeque<Output>,
    ) {
        let Some(remote) = self.remote.get_mut(identity) else { return };
        let mut missing = std::mem::take(&mut remote.tracks);
        let mut added = Vec::new();
        for info in list {
            let Ok(track) = TrackInfo::try_from(info) else {
                counters.malformed += 1;
                continue;
            };
            if let Some(known) = missing.remove(&track.sid) {
                remote.tracks.insert(track.sid, known);
            } else if self.publishers.contains_key(&track.sid) || remote.tracks.contains_key(&track.sid) {
                // One SID cannot stand for two tracks.
                counters.malformed += 1;
            } else if self.publishers.len() >= config.max_tracks {
                counters.over_limit += 1;
            } else {
                let track = Arc::new(track);
                self.publishers.insert(track.sid.clone(), identity.clone());
                remote.tracks.insert(track.sid.clone(), track.clone());
                added.push(track);
            }
        }
        let publisher = &remote.participant;
        for track in missing.into_values() {
            self.publishers.remove(&track.sid);
            output.push_back(Output::Event(Event::TrackUnpublished { publisher: publisher.clone(), track }));
        }
        for track in added {
            output.push_back(Output::Event(Event::TrackPublished { publisher: publisher.clone(), track }));
        }
    }
}
