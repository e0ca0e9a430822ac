//! Local tracks: from the request to publish to the packets in the transport.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tramline_core::{
    e2ee::{Encryptor, KeyProvider},
    outbox::{Outbox, SlotKey},
    session::{PublishError, Session, UnpublishCause},
    track::{self, TrackInfo, TrackOptions},
};
use tramline_net::{clock::MediaClock, random};
use tramline_transport::Channel;
use tramline_wire::TrackHandle;

use super::connections::Connections;
use crate::{
    link::Link,
    local_track::{LocalDataTrack, LocalTrack, PacketSize, SharedQueue},
    options::DataTrackOptions,
    track_info::DataTrackInfo,
};

type Reply = oneshot::Sender<Result<LocalDataTrack, PublishError>>;

/// The tracks of the local participant and what waits in their queues.
pub(super) struct Publications {
    requested: HashMap<TrackHandle, Requested>,
    published: HashMap<TrackHandle, Published>,
    outbox: Outbox<SharedQueue>,
    /// Tracks that end once they are flushed.
    ending: Vec<Ending>,
    is_accepting: bool,
    encryption: Option<Encryption>,
    packet_size: PacketSize,
    clock: MediaClock,
    link: Link,
}

/// What tracks are encrypted with.
struct Encryption {
    keys: KeyProvider,
    /// One for all tracks, so that no IV comes twice; there is none before the first track needs it.
    encryptor: Option<Arc<Encryptor>>,
    /// For tracks to come.
    is_on: bool,
}

struct Requested {
    options: DataTrackOptions,
    /// What the track was asked for with. The server's word does not count: it must not be able to have a track sent in clear.
    encryptor: Option<Arc<Encryptor>>,
    reply: Reply,
}

struct Published {
    track: Arc<LocalTrack>,
    key: SlotKey,
}

struct Ending {
    handle: TrackHandle,
    deadline: Instant,
}

impl Publications {
    pub(super) fn new(link: Link, started: Instant, keys: Option<KeyProvider>) -> Self {
        Self {
            requested: HashMap::new(),
            published: HashMap::new(),
            outbox: Outbox::new(),
            ending: Vec::new(),
            is_accepting: true,
            encryption: keys.map(|keys| Encryption { keys, encryptor: None, is_on: true }),
            packet_size: PacketSize::new(),
            clock: MediaClock::new(started),
            link,
        }
    }

    pub(super) fn publish(
        &mut self,
        now: Instant,
        session: &mut Session,
        options: DataTrackOptions,
        reply: Reply,
    ) {
        if !self.is_accepting {
            let _ = reply.send(Err(PublishError::Disconnected));
            return;
        }
        self.end_named(now, session, &options.name);
        let mut track = TrackOptions::named(options.name.as_str());
        track.frame_encoding.clone_from(&options.frame_encoding);
        track.schema.clone_from(&options.schema);
        let asked = self.encryptor(session).and_then(|encryptor| {
            if encryptor.is_some() {
                track.encryption = track::Encryption::Gcm;
            }
            Ok((session.publish(now, track)?, encryptor))
        });
        match asked {
            Ok((handle, encryptor)) => {
                self.requested.insert(handle, Requested { options, encryptor, reply });
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    /// What a new track is encrypted with, if it is.
    fn encryptor(&mut self, session: &Session) -> Result<Option<Arc<Encryptor>>, PublishError> {
        let Some(encryption) = self.encryption.as_mut().filter(|encryption| encryption.is_on) else {
            return Ok(None);
        };
        if encryption.encryptor.is_none() {
            let local = session.local().ok_or(PublishError::Disconnected)?;
            let first_iv = random::bytes().map_err(|error| PublishError::Internal(error.to_string()))?;
            let encryptor = Encryptor::new(encryption.keys.clone(), Arc::clone(&local.identity), first_iv);
            encryption.encryptor = Some(Arc::new(encryptor));
        }
        Ok(encryption.encryptor.clone())
    }

    /// Whether tracks to come are encrypted; without keys none are.
    pub(super) fn set_encrypting(&mut self, is_on: bool) {
        if let Some(encryption) = &mut self.encryption {
            encryption.is_on = is_on;
        }
    }

    pub(super) fn handle_published(&mut self, handle: TrackHandle, info: Arc<TrackInfo>) {
        let Some(Requested { options, encryptor, reply }) = self.requested.remove(&handle) else { return };
        // Predictable timestamps are no risk here, only repeated ones after a restart are a nuisance: the clock is good enough.
        let base =
            random::bytes().map_or_else(|_| tramline_net::clock::unix_millis() as u32, u32::from_ne_bytes);
        let info = DataTrackInfo(info);
        let size = self.packet_size.clone();
        let track = Arc::new(LocalTrack::new(info, handle, &options, encryptor, self.clock, base, size));
        let key = self.outbox.add_with(SharedQueue(Arc::clone(&track)), options.priority);
        if !self.is_accepting {
            track.stop_accepting();
        }
        self.published.insert(handle, Published { track: Arc::clone(&track), key });
        // When nobody waits for the handle any more, dropping it unpublishes.
        let _ = reply.send(Ok(LocalDataTrack::new(track, self.link.clone())));
    }

    pub(super) fn handle_failed(&mut self, handle: TrackHandle, error: PublishError) {
        if let Some(Requested { reply, .. }) = self.requested.remove(&handle) {
            let _ = reply.send(Err(error));
        }
    }

    /// A track's handles have queued something.
    pub(super) fn handle_ready(&mut self, handle: TrackHandle) {
        if let Some(published) = self.published.get(&handle) {
            // Before looking at the queue: a push that comes later signals again.
            published.track.acknowledge_signal();
            self.outbox.mark_ready(published.key);
        }
    }

    /// The application ends a track: what was accepted goes first.
    pub(super) fn unpublish(&mut self, now: Instant, handle: TrackHandle) {
        if let Some(published) = self.published.get(&handle) {
            self.outbox.mark_ready(published.key);
            self.ending.push(Ending { handle, deadline: now + FLUSH_TIMEOUT });
        }
    }

    /// Ends the flushing of a track whose name is wanted again: the server would refuse the new one as a duplicate.
    fn end_named(&mut self, now: Instant, session: &mut Session, name: &str) {
        let published = &self.published;
        self.ending.retain(|ending| {
            let has_name =
                published.get(&ending.handle).is_some_and(|published| published.track.info.name() == name);
            if has_name {
                session.unpublish(now, ending.handle);
            }
            !has_name
        });
    }

    /// Tells the server of ended tracks whose packets have arrived, or had their time to.
    pub(super) fn end_flushed(
        &mut self,
        now: Instant,
        session: &mut Session,
        connections: &Connections,
    ) -> bool {
        if self.ending.is_empty() {
            return false;
        }
        let is_delivered = connections.buffered_amount(Channel::DataTrack) == 0;
        let before = self.ending.len();
        self.ending.retain(|ending| {
            let is_queued = self
                .published
                .get(&ending.handle)
                .and_then(|published| self.outbox.queue_mut(published.key))
                .is_some_and(SharedQueue::has_frames);
            let is_over = now >= ending.deadline || (is_delivered && !is_queued);
            if is_over {
                session.unpublish(now, ending.handle);
            }
            !is_over
        });
        before != self.ending.len()
    }

    /// A track is over; what it was, when the server ended it.
    pub(super) fn handle_unpublished(
        &mut self,
        handle: TrackHandle,
        cause: UnpublishCause,
    ) -> Option<DataTrackInfo> {
        self.ending.retain(|ending| ending.handle != handle);
        let published = self.published.remove(&handle)?;
        self.outbox.remove(published.key);
        let was_accepting = published.track.stop_accepting();
        (cause == UnpublishCause::Server && was_accepting && self.is_accepting)
            .then(|| published.track.info.clone())
    }

    /// Takes notice of what the link is like now.
    pub(super) fn handle_rate(&self, rate: Option<u64>) {
        if let Some(rate) = rate {
            self.packet_size.set_rate(rate);
        }
    }

    /// Hands at most one packet to the transport; `false` when there is none, or no room for it.
    pub(super) fn feed_next(&mut self, now: Instant, connections: &mut Connections) -> bool {
        if self.outbox.is_empty() || connections.send_capacity(Channel::DataTrack) == 0 {
            return false;
        }
        let Some((key, packet)) = self.outbox.next(now) else { return false };
        let Some(queue) = self.outbox.queue_mut(key) else { return true };
        let options = queue.0.send_options(now, &packet, connections.suggested_copies());
        match connections.send_with(Channel::DataTrack, &packet, &options) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "the transport did not take a packet");
                false
            }
        }
    }

    /// No pushes any more, on any track.
    pub(super) fn stop_accepting(&mut self) {
        self.is_accepting = false;
        for published in self.published.values() {
            published.track.stop_accepting();
            // A push may have been accepted whose signal is still on its way.
            self.outbox.mark_ready(published.key);
        }
    }

    /// Whether nothing waits, here or in the transport.
    pub(super) fn is_flushed(&self, connections: &Connections) -> bool {
        self.outbox.is_empty() && connections.buffered_amount(Channel::DataTrack) == 0
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.outbox.handle_timeout(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.ending.iter().map(|ending| ending.deadline).chain(self.outbox.poll_timeout()).min()
    }

    pub(super) fn end_all(&mut self) {
        for (_, published) in self.published.drain() {
            published.track.stop_accepting();
            self.outbox.remove(published.key);
        }
        for (_, Requested { reply, .. }) in self.requested.drain() {
            let _ = reply.send(Err(PublishError::Disconnected));
        }
    }
}

impl Drop for Publications {
    /// Nobody waits for ever for a driver that has panicked.
    fn drop(&mut self) {
        self.end_all();
    }
}

/// How long the last frames of a track may take before the server is told of its end: they and the message travel on
/// different ways, and frames that come after it are lost.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);
