//! Publishing and unpublishing of data tracks.

use std::time::Instant;

use livekit_protocol as proto;
use proto::request_response::{Reason, Request};
use proto::signal_response::Message as Response;
use tramline_wire::{TrackHandle, TrackSid};

use super::Room;
use crate::forward::PeerKey;
use crate::schema::{MAX_CUSTOM_ENCODING_LEN, MAX_SCHEMA_NAME_LEN};
use crate::track::MAX_TRACK_NAME_LEN;

impl Room {
    pub(super) fn handle_publish(
        &mut self,
        now: Instant,
        peer: PeerKey,
        request: proto::PublishDataTrackRequest,
    ) {
        let handle = match self.check_publish(peer, &request) {
            Ok(handle) => handle,
            // The client finds its request by the handle in the echo; there is no request id.
            Err((reason, message)) => {
                return self.refuse(peer, 0, reason, message, Some(Request::PublishDataTrack(request)));
            }
        };
        let Some(participant) = self.participants.get_mut(&peer) else { return };
        let sid = TrackSid::from_random((self.random)());
        let info = proto::DataTrackInfo {
            pub_handle: request.pub_handle,
            sid: sid.as_str().to_owned(),
            name: request.name,
            encryption: request.encryption,
            frame_encoding: request.frame_encoding,
            schema: request.schema,
        };
        participant.track_names.insert(info.name.clone());
        participant.tracks.insert(handle, info.clone());
        participant.version += 1;
        self.tracks.insert(sid, (peer, handle));
        self.forwarding.add_track(peer, handle);
        self.changed(now, peer, false);
        self.counts_changed(now);
        self.send(
            peer,
            Response::PublishDataTrackResponse(proto::PublishDataTrackResponse { info: Some(info) }),
        );
    }

    /// The checks of LiveKit's server in its order, and with its words where clients may show them.
    fn check_publish(
        &self,
        peer: PeerKey,
        request: &proto::PublishDataTrackRequest,
    ) -> Result<TrackHandle, (Reason, &'static str)> {
        let Some(participant) = self.participants.get(&peer) else {
            return Err((Reason::NotAllowed, "the participant is gone"));
        };
        if !participant.grants.can_publish_data {
            return Err((Reason::NotAllowed, "does not have permission to publish data"));
        }
        let Ok(handle) = TrackHandle::try_from(request.pub_handle) else {
            return Err((Reason::InvalidHandle, "handle should be > 0 AND < 65536"));
        };
        if request.name.is_empty() || request.name.len() > MAX_TRACK_NAME_LEN {
            return Err((
                Reason::InvalidName,
                "name should not be empty and should not exceed 256 characters",
            ));
        }
        let custom = |name: &str| name.is_empty() || name.len() > MAX_CUSTOM_ENCODING_LEN;
        if custom_frame_encoding(request).is_some_and(custom) {
            return Err((Reason::InvalidRequest, "a custom frame encoding has 1 to 32 bytes"));
        }
        if custom_schema_encoding(request).is_some_and(custom) {
            return Err((Reason::InvalidRequest, "a custom schema encoding has 1 to 32 bytes"));
        }
        // One schema id travels with every update about its publisher.
        if request.schema.as_ref().is_some_and(|schema| schema.name.len() > MAX_SCHEMA_NAME_LEN) {
            return Err((Reason::InvalidRequest, "a schema name has at most 256 bytes"));
        }
        if participant.tracks.contains_key(&handle) {
            return Err((Reason::DuplicateHandle, "a data track with same handle already exists"));
        }
        if participant.track_names.contains(&request.name) {
            return Err((Reason::DuplicateName, "a data track with same name already exists"));
        }
        if participant.tracks.len() >= self.config.max_tracks {
            return Err((Reason::LimitExceeded, "the participant publishes as many data tracks as it may"));
        }
        Ok(handle)
    }

    pub(super) fn handle_unpublish(
        &mut self,
        now: Instant,
        peer: PeerKey,
        request: proto::UnpublishDataTrackRequest,
    ) {
        let handle = TrackHandle::try_from(request.pub_handle).ok();
        match handle.and_then(|handle| self.take_track(now, peer, handle)) {
            Some(info) => {
                self.track_gone(now, peer);
                self.send(
                    peer,
                    Response::UnpublishDataTrackResponse(proto::UnpublishDataTrackResponse {
                        info: Some(info),
                    }),
                );
            }
            None => {
                self.refuse(peer, 0, Reason::NotFound, "", Some(Request::UnpublishDataTrack(request)));
                // Browsers wait for this message alone, without a time-out.
                let info = proto::DataTrackInfo { pub_handle: request.pub_handle, ..Default::default() };
                if handle.is_some() {
                    self.send(
                        peer,
                        Response::UnpublishDataTrackResponse(proto::UnpublishDataTrackResponse {
                            info: Some(info),
                        }),
                    );
                }
            }
        }
    }

    /// Takes all tracks of a publisher, which is told: LiveKit's server leaves it in the dark.
    pub(super) fn unpublish_all(&mut self, now: Instant, peer: PeerKey) {
        let Some(participant) = self.participants.get(&peer) else { return };
        let handles: Vec<TrackHandle> = participant.tracks.keys().copied().collect();
        for handle in handles {
            if let Some(info) = self.take_track(now, peer, handle) {
                let response = proto::UnpublishDataTrackResponse { info: Some(info) };
                self.send(peer, Response::UnpublishDataTrackResponse(response));
            }
        }
        self.track_gone(now, peer);
    }

    /// Takes a track out of all tables; its subscribers are told the new handle map.
    pub(super) fn take_track(
        &mut self,
        now: Instant,
        peer: PeerKey,
        handle: TrackHandle,
    ) -> Option<proto::DataTrackInfo> {
        let participant = self.participants.get_mut(&peer)?;
        let info = participant.tracks.remove(&handle)?;
        participant.track_names.remove(&info.name);
        self.forwarding.remove_track(peer, handle);
        if let Ok(sid) = TrackSid::try_from(info.sid.as_str()) {
            self.tracks.remove(&sid);
            for subscriber in self.subscribers.remove(&sid).unwrap_or_default() {
                self.end_subscription(now, subscriber, &sid);
            }
        }
        Some(info)
    }

    fn track_gone(&mut self, now: Instant, peer: PeerKey) {
        if let Some(participant) = self.participants.get_mut(&peer) {
            participant.version += 1;
        }
        self.changed(now, peer, false);
        self.counts_changed(now);
    }
}

fn custom_frame_encoding(request: &proto::PublishDataTrackRequest) -> Option<&str> {
    match request.frame_encoding.as_ref()?.value.as_ref()? {
        proto::data_track_frame_encoding::Value::Custom(name) => Some(name),
        _ => None,
    }
}

fn custom_schema_encoding(request: &proto::PublishDataTrackRequest) -> Option<&str> {
    match request.schema.as_ref()?.encoding.as_ref()?.value.as_ref()? {
        proto::data_track_schema_encoding::Value::Custom(name) => Some(name),
        _ => None,
    }
}
