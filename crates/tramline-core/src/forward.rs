//! Who gets the packets of a track, and under which handle.

use std::collections::HashMap;

use tramline_wire::TrackHandle;

/// A participant of the server, in the numbering of whoever runs the rooms: unique among all of them, never reused
/// while anything about the participant is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u64);

/// One subscriber of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Who gets the packets.
    pub subscriber: PeerKey,
    /// What stands in them instead of the publisher's handle.
    pub handle: TrackHandle,
}

/// The routes of all tracks, for the packet path: a look-up hashes twelve bytes and allocates nothing.
///
/// A [`Room`](crate::room::Room) keeps its own up to date; several rooms never share one.
#[derive(Debug, Default)]
pub struct ForwardingTable {
    routes: HashMap<(PeerKey, TrackHandle), Vec<Route>>,
}

impl ForwardingTable {
    /// The subscribers of what `publisher` sends with `handle`; `None` when it publishes no such track.
    pub fn routes(&self, publisher: PeerKey, handle: TrackHandle) -> Option<&[Route]> {
        self.routes.get(&(publisher, handle)).map(Vec::as_slice)
    }

    /// The routes of all tracks of `publisher`, in no order.
    #[expect(clippy::disallowed_methods, reason = "the caller is told that there is no order")]
    pub fn routes_of(&self, publisher: PeerKey) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(move |((key, _), _)| *key == publisher).flat_map(|(_, routes)| routes)
    }

    /// How many routes there are, over all tracks.
    #[expect(clippy::disallowed_methods, reason = "a sum is the same in any order")]
    pub fn len(&self) -> usize {
        self.routes.values().map(Vec::len).sum()
    }

    /// Whether nothing is forwarded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn add_track(&mut self, publisher: PeerKey, handle: TrackHandle) {
        self.routes.entry((publisher, handle)).or_default();
    }

    pub(crate) fn remove_track(&mut self, publisher: PeerKey, handle: TrackHandle) {
        self.routes.remove(&(publisher, handle));
    }

    /// A track that is not there is ignored; a second route to one subscriber replaces the first.
    pub(crate) fn add_route(&mut self, publisher: PeerKey, handle: TrackHandle, route: Route) {
        if let Some(routes) = self.routes.get_mut(&(publisher, handle)) {
            match routes.iter_mut().find(|known| known.subscriber == route.subscriber) {
                Some(known) => *known = route,
                None => routes.push(route),
            }
        }
    }

    pub(crate) fn remove_route(&mut self, publisher: PeerKey, handle: TrackHandle, subscriber: PeerKey) {
        if let Some(routes) = self.routes.get_mut(&(publisher, handle)) {
            routes.retain(|route| route.subscriber != subscriber);
        }
    }
}
