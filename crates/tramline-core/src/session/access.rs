//! Who may subscribe to the local tracks.

use std::collections::BTreeMap;

use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use tramline_wire::{TrackHandle, TrackSid};

use super::event::{Event, Output};
use super::{Session, State};

/// What one participant may subscribe to (LiveKit `TrackPermission`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackPermission {
    /// Who.
    pub identity: String,
    /// All tracks, also those to come.
    pub all_tracks: bool,
    /// These tracks.
    pub track_sids: Vec<TrackSid>,
    /// The tracks of these names, also when they are published later or again.
    pub track_names: Vec<String>,
}

/// The rule, and what its names stand for.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// `None` as long as everybody may subscribe because nothing else was said.
    rule: Option<Rule>,
    published: BTreeMap<TrackHandle, (String, TrackSid)>,
}

#[derive(Debug)]
struct Rule {
    all_participants: bool,
    permissions: Vec<TrackPermission>,
}

impl Session {
    /// Lets everybody subscribe to the local tracks, or only those in the list to what it says. Replaces what was said before;
    /// subscriptions that are not allowed any more end.
    pub fn set_subscription_permissions(
        &mut self,
        all_participants: bool,
        permissions: Vec<TrackPermission>,
    ) {
        self.access.rule = Some(Rule { all_participants, permissions });
        self.send_subscription_permissions();
    }

    /// Says to the server once more who may subscribe, if that was ever said: after a new join it does not know.
    pub fn send_subscription_permissions(&mut self) {
        if let (Some(request), State::Joined(_)) = (self.access.request(), &self.state) {
            self.request(Request::SubscriptionPermission(request));
        }
    }

    /// Notes what the outputs from `first` on say of local tracks.
    pub(super) fn note_published(&mut self, first: usize) {
        let mut has_named = false;
        for output in self.output.range(first..) {
            match output {
                Output::Event(Event::Published { handle, track }) => {
                    let name = track.name.to_string();
                    has_named |= self.access.names(&name);
                    self.access.published.insert(*handle, (name, track.sid.clone()));
                }
                Output::Event(Event::Unpublished { handle, .. }) => {
                    self.access.published.remove(handle);
                }
                _ => {}
            }
        }
        if has_named {
            self.send_subscription_permissions();
        }
    }
}

impl Access {
    fn names(&self, name: &str) -> bool {
        let permissions = self.rule.iter().flat_map(|rule| &rule.permissions);
        permissions.flat_map(|permission| &permission.track_names).any(|known| known == name)
    }

    fn request(&self) -> Option<proto::SubscriptionPermission> {
        let rule = self.rule.as_ref()?;
        let sids_of = |permission: &TrackPermission| {
            let named = self.published.values().filter(|(name, _)| permission.track_names.contains(name));
            permission
                .track_sids
                .iter()
                .chain(named.map(|(_, sid)| sid))
                .map(|sid| sid.as_str().to_owned())
                .collect()
        };
        let permissions = rule.permissions.iter().map(|permission| proto::TrackPermission {
            participant_sid: String::new(),
            participant_identity: permission.identity.clone(),
            all_tracks: permission.all_tracks,
            track_sids: sids_of(permission),
        });
        Some(proto::SubscriptionPermission {
            all_participants: rule.all_participants,
            track_permissions: permissions.collect(),
        })
    }
}
