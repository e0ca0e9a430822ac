//! The participant: the SDK's handles by the names that the cases use for them.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify};
use tramline::{
    DataTrackFrame, DataTrackStream, DataTrackSubscribeOptions, DisconnectReason, KeyDerivation, KeyOptions,
    KeyProvider, LocalDataTrack, RemoteDataTrack, Room, RoomEvent, RoomEvents, RoomOptions, SelfUpdate,
};

use crate::{Derivation, Encryption};

/// Frames that begin like this only find out whether a subscription is up.
const PROBE: &[u8] = b"probe:";

/// A reader of one subscription; `None` once it is closed.
type Stream = Rc<Mutex<Option<DataTrackStream>>>;

#[derive(Default)]
pub(crate) struct Peer {
    room: OnceCell<Room>,
    keys: OnceCell<KeyProvider>,
    local: RefCell<HashMap<String, LocalDataTrack>>,
    remote: RefCell<HashMap<String, RemoteDataTrack>>,
    streams: RefCell<Vec<Stream>>,
    ended: RefCell<Option<DisconnectReason>>,
    /// Packets that came and were not asked for yet.
    pub(crate) messages: RefCell<VecDeque<Value>>,
    /// Streams that were read whole, or not, and were not asked for yet.
    pub(crate) read_streams: RefCell<VecDeque<Result<Value, String>>>,
    /// After each event of the room.
    pub(crate) changed: Notify,
}

impl Peer {
    pub(crate) async fn connect(
        self: &Rc<Self>,
        url: &str,
        token: &str,
        encryption: Option<Encryption>,
        two_connections: bool,
    ) -> Result<(), String> {
        let mut options = RoomOptions::default();
        options.single_peer_connection = !two_connections;
        if let Some(Encryption { key, derivation }) = encryption {
            let derivation = match derivation {
                Derivation::Pbkdf2 => KeyDerivation::Pbkdf2,
                Derivation::Hkdf => KeyDerivation::Hkdf,
            };
            let keys = KeyProvider::new(KeyOptions::default().with_derivation(derivation));
            keys.set_shared_key(key.as_bytes(), 0).map_err(told)?;
            options.encryption = Some(keys.clone());
            self.keys.set(keys).map_err(|_| "this peer is connected already")?;
        }
        let (room, events) = Room::connect(url, token, options).await.map_err(told)?;
        self.room.set(room).map_err(|_| "this peer is connected already")?;
        tokio::task::spawn_local(Rc::clone(self).follow(events));
        Ok(())
    }

    async fn follow(self: Rc<Self>, mut events: RoomEvents) {
        while let Some(event) = events.recv().await {
            match event {
                RoomEvent::DataTrackPublished(track) => {
                    self.remote.borrow_mut().insert(track.info().sid().to_string(), track);
                }
                RoomEvent::DataTrackUnpublished(track) => {
                    self.remote.borrow_mut().remove(track.info().sid().as_str());
                }
                RoomEvent::Disconnected { reason, .. } => *self.ended.borrow_mut() = Some(reason),
                event => self.note(event),
            }
            self.changed.notify_waiters();
        }
    }

    /// The first value that `find` gives, which is asked again after each event.
    pub(crate) async fn until<T>(&self, find: impl Fn() -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = find() {
                return found;
            }
            changed.await;
        }
    }

    pub(crate) fn room(&self) -> Result<&Room, String> {
        self.room.get().ok_or_else(|| "this peer is not connected".to_owned())
    }

    pub(crate) async fn publish(&self, name: &str) -> Result<String, String> {
        let track = self.room()?.local_participant().publish_data_track(name).await.map_err(told)?;
        let sid = track.info().sid().to_string();
        self.local.borrow_mut().insert(sid.clone(), track);
        Ok(sid)
    }

    pub(crate) fn push(
        &self,
        sid: &str,
        payload: &str,
        user_timestamp: Option<String>,
    ) -> Result<(), String> {
        let mut frame = DataTrackFrame::from(STANDARD.decode(payload).map_err(told)?);
        if let Some(timestamp) = user_timestamp {
            frame = frame.with_user_timestamp(timestamp.parse().map_err(told)?);
        }
        self.local_track(sid)?.try_push(frame).map_err(told)
    }

    pub(crate) fn unpublish(&self, sid: &str) -> Result<(), String> {
        self.local_track(sid)?.unpublish();
        Ok(())
    }

    fn local_track(&self, sid: &str) -> Result<LocalDataTrack, String> {
        self.local.borrow().get(sid).cloned().ok_or_else(|| format!("{sid} was not published by this peer"))
    }

    pub(crate) async fn track(&self, publisher: &str, name: &str) -> String {
        self.until(|| {
            let remote = self.remote.borrow();
            let fits = |track: &&RemoteDataTrack| {
                *track.publisher_identity() == *publisher && track.info().name() == name
            };
            remote.values().find(fits).map(|track| track.info().sid().to_string())
        })
        .await
    }

    pub(crate) async fn unpublished(&self, sid: &str) {
        self.until(|| (!self.remote.borrow().contains_key(sid)).then_some(())).await;
    }

    pub(crate) async fn subscribe(&self, sid: &str, buffer_size: Option<usize>) -> Result<usize, String> {
        let track =
            self.remote.borrow().get(sid).cloned().ok_or_else(|| format!("{sid} is not published"))?;
        let mut options = DataTrackSubscribeOptions::new();
        if let Some(frames) = buffer_size {
            options = options.with_buffer_size(frames);
        }
        let stream = track.subscribe_with_options(options).await.map_err(told)?;
        let mut streams = self.streams.borrow_mut();
        streams.push(Rc::new(Mutex::new(Some(stream))));
        Ok(streams.len() - 1)
    }

    pub(crate) async fn read(&self, stream: usize) -> Result<Value, String> {
        let stream = self.stream(stream)?;
        let mut stream = stream.lock().await;
        let stream = stream.as_mut().ok_or("the stream is closed")?;
        Ok(stream.read().await.map_or(Value::Null, |frame| described(&frame)))
    }

    pub(crate) async fn close_stream(&self, stream: usize) -> Result<(), String> {
        self.stream(stream)?.lock().await.take();
        Ok(())
    }

    fn stream(&self, number: usize) -> Result<Stream, String> {
        self.streams.borrow().get(number).cloned().ok_or_else(|| format!("there is no stream {number}"))
    }

    pub(crate) async fn participant(&self, identity: &str, expected: Option<&Value>) -> Value {
        self.until(|| {
            let participants = self.room.get()?.remote_participants();
            let found = participants.get(identity)?;
            let found = json!({
                "name": found.name(),
                "metadata": found.metadata(),
                "attributes": found.attributes(),
            });
            expected.is_none_or(|expected| *expected == found).then_some(found)
        })
        .await
    }

    pub(crate) async fn update(
        &self,
        name: String,
        metadata: String,
        attributes: BTreeMap<String, String>,
    ) -> Result<(), String> {
        let update = SelfUpdate { name: Some(name), metadata: Some(metadata), attributes };
        self.room()?.local_participant().update(update).await.map_err(told)
    }

    pub(crate) fn set_key(&self, key: &str) -> Result<(), String> {
        let keys = self.keys.get().ok_or("this peer has joined without encryption")?;
        keys.set_shared_key(key.as_bytes(), 0).map(|_| ()).map_err(told)
    }

    pub(crate) async fn departed(&self, identity: &str) {
        self.until(|| (!self.room.get()?.remote_participants().contains_key(identity)).then_some(())).await;
    }

    pub(crate) async fn disconnected(&self) -> String {
        self.until(|| *self.ended.borrow()).await.as_str().to_uppercase()
    }

    pub(crate) async fn close(&self) -> Result<(), String> {
        if let Some(room) = self.room.get() {
            room.close().await;
        }
        Ok(())
    }
}

fn described(frame: &DataTrackFrame) -> Value {
    let payload = frame.payload();
    json!({
        "size": payload.len(),
        "sha256": sha256(payload),
        "user_timestamp": frame.user_timestamp().map(|timestamp| timestamp.to_string()),
        "is_probe": payload.starts_with(PROBE),
    })
}

/// In hexadecimal.
pub(crate) fn sha256(content: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, content);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error with its causes, as a user would print it.
pub(crate) fn told(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
