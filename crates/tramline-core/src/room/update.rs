//! Telling everybody about everybody, in as few messages as the update interval allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message as Response;

use super::Room;
use super::output::Output;
use super::participant::Participant;
use crate::forward::PeerKey;
use crate::leave::DisconnectReason;

/// One update message is cut when it would become longer, in bytes.
const MAX_UPDATE_LEN: usize = 128 * 1024;

/// How old the room's participant counters may become.
const COUNTERS_INTERVAL: Duration = Duration::from_secs(5);

/// What has changed since the last update.
#[derive(Debug, Default)]
pub(super) struct Updates {
    changed: BTreeMap<PeerKey, Change>,
    departed: Vec<(u64, proto::ParticipantInfo)>,
    /// The last entries of those whom a newcomer of the same identity replaced since the last update. Its own entry
    /// says so; they are told only when it goes before that. All of them: join responses have named each.
    replaced: BTreeMap<PeerKey, Vec<proto::ParticipantInfo>>,
    due: Option<Instant>,
    last: Option<Instant>,
    /// Counts joins and changes, so that a newcomer is not told what its join response said.
    clock: u64,
    joined: BTreeMap<PeerKey, u64>,

    counters_due: Option<Instant>,
    counters_last: Option<Instant>,
    num_participants: u32,
    num_publishers: u32,
}

#[derive(Debug, Clone, Copy)]
struct Change {
    at: u64,
    /// The participant is told too: what it published it knows, what others did to it it does not.
    tell_self: bool,
}

impl Updates {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.due, self.counters_due].into_iter().flatten().min()
    }

    /// Forgets `peer`, and returns the last entries of those whom it replaced, if nobody has been told yet.
    pub(super) fn forget(&mut self, peer: PeerKey) -> Vec<proto::ParticipantInfo> {
        self.changed.remove(&peer);
        self.joined.remove(&peer);
        self.replaced.remove(&peer).unwrap_or_default()
    }

    pub(super) fn num_participants(&self) -> u32 {
        self.num_participants
    }

    pub(super) fn num_publishers(&self) -> u32 {
        self.num_publishers
    }
}

impl Room {
    /// `peer` has come in.
    pub(super) fn joined(&mut self, now: Instant, peer: PeerKey) {
        self.changed(now, peer, false);
        self.updates.joined.insert(peer, self.updates.clock);
        self.counts_changed(now);
    }

    /// What the others must hear when a newcomer that replaces `before` cannot tell them by being there.
    pub(super) fn replaced_infos(&self, before: PeerKey) -> Vec<proto::ParticipantInfo> {
        let mut infos = self.updates.replaced.get(&before).cloned().unwrap_or_default();
        if let Some(participant) = self.participants.get(&before).filter(|before| !before.grants.hidden) {
            infos.push(participant.departed_info(DisconnectReason::DuplicateIdentity));
        }
        infos
    }

    /// `peer` has taken the place of those whose last entries are `infos`.
    pub(super) fn replaced(&mut self, now: Instant, peer: PeerKey, infos: Vec<proto::ParticipantInfo>) {
        if self.participants.get(&peer).is_some_and(|participant| participant.grants.hidden) {
            for info in infos {
                self.departed(now, info);
            }
        } else if !infos.is_empty() {
            self.updates.replaced.insert(peer, infos);
        }
    }

    /// The entry of `peer` is another one now.
    pub(super) fn changed(&mut self, now: Instant, peer: PeerKey, tell_self: bool) {
        self.updates.clock += 1;
        let at = self.updates.clock;
        let change = self.updates.changed.entry(peer).or_insert(Change { at, tell_self });
        change.at = at;
        change.tell_self |= tell_self;
        self.schedule_update(now);
    }

    /// Somebody has gone, and this is its last entry.
    pub(super) fn departed(&mut self, now: Instant, info: proto::ParticipantInfo) {
        self.updates.clock += 1;
        self.updates.departed.push((self.updates.clock, info));
        self.schedule_update(now);
    }

    pub(super) fn counts_changed(&mut self, now: Instant) {
        let earliest = self.updates.counters_last.map_or(now, |last| now.max(last + COUNTERS_INTERVAL));
        self.updates.counters_due.get_or_insert(earliest);
    }

    fn schedule_update(&mut self, now: Instant) {
        let earliest = self.updates.last.map_or(now, |last| now.max(last + self.config.update_interval));
        self.updates.due.get_or_insert(earliest);
    }

    /// Sends what is due: to each participant one update, shared wherever it is the same.
    pub(super) fn flush_updates(&mut self, now: Instant) {
        if self.updates.due.is_some_and(|due| due <= now) {
            self.updates.due = None;
            self.updates.last = Some(now);
            let entries = self.take_entries();
            self.send_entries(&entries);
        }
        if self.updates.counters_due.is_some_and(|due| due <= now) {
            self.updates.counters_due = None;
            self.updates.counters_last = Some(now);
            self.send_counters();
        }
    }

    fn take_entries(&mut self) -> Vec<Entry> {
        let departed = std::mem::take(&mut self.updates.departed).into_iter();
        let departed =
            departed.map(|(at, info)| Entry { at, about: None, tell_self: false, hidden: false, info });
        self.updates.replaced.clear();
        let changed = std::mem::take(&mut self.updates.changed).into_iter();
        let changed = changed.filter_map(|(peer, change)| {
            let participant = self.participants.get(&peer)?;
            let (at, tell_self, hidden) = (change.at, change.tell_self, participant.grants.hidden);
            Some(Entry { at, about: Some(peer), tell_self, hidden, info: participant.info() })
        });
        let mut entries: Vec<Entry> = departed.chain(changed).collect();
        entries.sort_by_key(|entry| entry.at);
        entries
    }

    fn send_entries(&mut self, entries: &[Entry]) {
        // Whoever is not concerned itself and was here before all of it gets the same messages.
        let oldest = entries.first().map_or(0, |entry| entry.at);
        let mut shared: Option<Vec<Arc<proto::SignalResponse>>> = None;
        for (peer, participant) in &self.participants {
            if !participant.has_signal {
                continue;
            }
            let joined = self.updates.joined.get(peer).copied().unwrap_or(0);
            let concerned = entries.iter().any(|entry| entry.about == Some(*peer));
            let messages = if !concerned && joined < oldest {
                shared.get_or_insert_with(|| messages(entries.iter().filter(|entry| !entry.hidden))).clone()
            } else {
                messages(entries.iter().filter(|entry| {
                    if entry.about == Some(*peer) {
                        entry.tell_self
                    } else {
                        !entry.hidden && entry.at > joined
                    }
                }))
            };
            self.output.extend(messages.into_iter().map(|message| Output::Signal { peer: *peer, message }));
        }
    }

    fn send_counters(&mut self) {
        let participants = self.participants.len() as u32;
        let publishers =
            self.participants.values().filter(|participant| !participant.tracks.is_empty()).count() as u32;
        if (participants, publishers) == (self.updates.num_participants, self.updates.num_publishers) {
            return;
        }
        self.updates.num_participants = participants;
        self.updates.num_publishers = publishers;
        self.tell_room();
    }

    /// Sends what is to be known of the room to everybody.
    pub(super) fn tell_room(&mut self) {
        let update = Response::RoomUpdate(proto::RoomUpdate { room: Some(self.room_info()) });
        let message = Arc::new(proto::SignalResponse { message: Some(update) });
        let told = |(peer, participant): (&PeerKey, &Participant)| participant.has_signal.then_some(*peer);
        let outputs = self.participants.iter().filter_map(told);
        self.output.extend(outputs.map(|peer| Output::Signal { peer, message: message.clone() }));
    }
}

/// One participant's entry in the updates of this tick.
#[derive(Debug)]
struct Entry {
    at: u64,
    /// `None` when the participant is gone.
    about: Option<PeerKey>,
    tell_self: bool,
    hidden: bool,
    info: proto::ParticipantInfo,
}

fn messages<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Arc<proto::SignalResponse>> {
    let mut messages = Vec::new();
    let mut participants = Vec::new();
    let mut len = 0;
    let mut finish = |participants: &mut Vec<proto::ParticipantInfo>| {
        if !participants.is_empty() {
            let update = proto::ParticipantUpdate { participants: std::mem::take(participants) };
            messages.push(Arc::new(proto::SignalResponse { message: Some(Response::Update(update)) }));
        }
    };
    for entry in entries {
        let entry_len = entry.info.encoded_len();
        if len + entry_len > MAX_UPDATE_LEN {
            finish(&mut participants);
            len = 0;
        }
        len += entry_len;
        participants.push(entry.info.clone());
    }
    finish(&mut participants);
    messages
}
