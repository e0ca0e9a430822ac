//! What wrappers hold: numbers that stand for responses and objects.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tramline::{
    ByteStreamReader, ByteStreamWriter, LocalDataTrack, LocalParticipant, RemoteDataTrack, RemoteParticipant,
    TextStreamReader, TextStreamWriter,
};

use crate::{room::RoomEntry, subscription::StreamEntry};

/// The number of an object or a response. Never 0, never used twice in a process, also not after a dispose: wrappers drop what they held
/// before it whenever they like.
pub(crate) type Handle = u64;

/// What a handle stands for. Dropping it ends it.
#[derive(Clone)]
pub(crate) enum Object {
    Room(Arc<RoomEntry>),
    /// With its room, so that a participant of a room that was left says so; and turns for publishing.
    LocalParticipant(LocalParticipant, Arc<Semaphore>),
    /// Wrappers only drop it.
    RemoteParticipant(#[allow(dead_code, reason = "held for its owner")] RemoteParticipant),
    LocalTrack(LocalDataTrack),
    RemoteTrack(RemoteDataTrack),
    Stream(Arc<StreamEntry>),
    /// What a packet has brought, where the wrapper reads it.
    Buffer(#[allow(dead_code, reason = "held for the wrapper, which has its address")] Bytes),
    TextReader(Reader<TextStreamReader>),
    ByteReader(Reader<ByteStreamReader>),
    TextWriter(TextStreamWriter),
    ByteWriter(ByteStreamWriter),
}

/// A reader until it is read, which takes it.
pub(crate) struct Reader<T>(Arc<Mutex<Option<T>>>);

impl<T> Reader<T> {
    pub(crate) fn new(reader: T) -> Self {
        Self(Arc::new(Mutex::new(Some(reader))))
    }

    fn take(&self) -> Option<T> {
        lock(&self.0).take()
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// All handles of the process. Outlives each client: a response is read after the dispose that it answers.
pub(crate) struct Handles {
    last: AtomicU64,
    objects: Mutex<HashMap<Handle, Object>>,
    responses: Mutex<HashMap<Handle, Vec<u8>>>,
}

/// A response in its place.
pub(crate) struct Reply {
    pub(crate) handle: Handle,
    pub(crate) data: *const u8,
    pub(crate) len: usize,
}

impl Handles {
    pub(crate) fn new() -> Self {
        Self { last: AtomicU64::new(0), objects: Mutex::default(), responses: Mutex::default() }
    }

    /// A number for an object that is stored, or only announced, under it.
    pub(crate) fn reserve(&self) -> Handle {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn insert(&self, object: Object) -> Handle {
        let handle = self.reserve();
        self.insert_at(handle, object);
        handle
    }

    pub(crate) fn insert_at(&self, handle: Handle, object: Object) {
        lock(&self.objects).insert(handle, object);
    }

    pub(crate) fn find(&self, handle: Handle) -> Option<Object> {
        lock(&self.objects).get(&handle).cloned()
    }

    pub(crate) fn room(&self, handle: Handle) -> Option<Arc<RoomEntry>> {
        match self.find(handle) {
            Some(Object::Room(room)) => Some(room),
            _ => None,
        }
    }

    pub(crate) fn rooms(&self) -> Vec<Arc<RoomEntry>> {
        let objects = lock(&self.objects);
        let rooms = objects.values().filter_map(|object| match object {
            Object::Room(room) => Some(Arc::clone(room)),
            _ => None,
        });
        rooms.collect()
    }

    pub(crate) fn local_participant(&self, handle: Handle) -> Option<LocalParticipant> {
        match self.find(handle) {
            Some(Object::LocalParticipant(participant, _)) => Some(participant),
            _ => None,
        }
    }

    /// Turns for publishing: a local participant and as many requests as may be open at once.
    pub(crate) fn publisher(&self, handle: Handle) -> Option<(LocalParticipant, Arc<Semaphore>)> {
        match self.find(handle) {
            Some(Object::LocalParticipant(participant, turns)) => Some((participant, turns)),
            _ => None,
        }
    }

    pub(crate) fn local_track(&self, handle: Handle) -> Option<LocalDataTrack> {
        match self.find(handle) {
            Some(Object::LocalTrack(track)) => Some(track),
            _ => None,
        }
    }

    pub(crate) fn remote_track(&self, handle: Handle) -> Option<RemoteDataTrack> {
        match self.find(handle) {
            Some(Object::RemoteTrack(track)) => Some(track),
            _ => None,
        }
    }

    pub(crate) fn stream(&self, handle: Handle) -> Option<Arc<StreamEntry>> {
        match self.find(handle) {
            Some(Object::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    /// The reader behind a handle, which is gone then.
    pub(crate) fn take_text_reader(&self, handle: Handle) -> Option<TextStreamReader> {
        match self.take(handle, |object| matches!(object, Object::TextReader(_)))? {
            Object::TextReader(reader) => reader.take(),
            _ => None,
        }
    }

    /// The reader behind a handle, which is gone then.
    pub(crate) fn take_byte_reader(&self, handle: Handle) -> Option<ByteStreamReader> {
        match self.take(handle, |object| matches!(object, Object::ByteReader(_)))? {
            Object::ByteReader(reader) => reader.take(),
            _ => None,
        }
    }

    pub(crate) fn text_writer(&self, handle: Handle) -> Option<TextStreamWriter> {
        match self.find(handle) {
            Some(Object::TextWriter(writer)) => Some(writer),
            _ => None,
        }
    }

    /// The writer behind a handle, which is gone then.
    pub(crate) fn take_text_writer(&self, handle: Handle) -> Option<TextStreamWriter> {
        match self.take(handle, |object| matches!(object, Object::TextWriter(_)))? {
            Object::TextWriter(writer) => Some(writer),
            _ => None,
        }
    }

    pub(crate) fn byte_writer(&self, handle: Handle) -> Option<ByteStreamWriter> {
        match self.find(handle) {
            Some(Object::ByteWriter(writer)) => Some(writer),
            _ => None,
        }
    }

    /// The writer behind a handle, which is gone then.
    pub(crate) fn take_byte_writer(&self, handle: Handle) -> Option<ByteStreamWriter> {
        match self.take(handle, |object| matches!(object, Object::ByteWriter(_)))? {
            Object::ByteWriter(writer) => Some(writer),
            _ => None,
        }
    }

    fn take(&self, handle: Handle, fits: impl FnOnce(&Object) -> bool) -> Option<Object> {
        let mut objects = lock(&self.objects);
        objects.get(&handle).is_some_and(fits).then(|| objects.remove(&handle)).flatten()
    }

    /// Keeps a response for the wrapper to read.
    pub(crate) fn reply(&self, response: Vec<u8>) -> Reply {
        let reply = Reply { handle: self.reserve(), data: response.as_ptr(), len: response.len() };
        lock(&self.responses).insert(reply.handle, response);
        reply
    }

    pub(crate) fn remove(&self, handle: Handle) -> bool {
        if lock(&self.responses).remove(&handle).is_some() {
            return true;
        }
        // What an object does at its end, it does outside the lock.
        let object = lock(&self.objects).remove(&handle);
        if let Some(Object::Stream(stream)) = &object {
            stream.close();
        }
        object.is_some()
    }

    /// Lets go of all objects. Responses are read later.
    pub(crate) fn clear_objects(&self) {
        let objects = mem::take(&mut *lock(&self.objects));
        for object in objects.values() {
            if let Object::Stream(stream) = object {
                stream.close();
            }
        }
    }

    /// In a process that was forked off: the objects belong to threads that are not here, so they are left where they are. False when the
    /// fork caught another thread in the middle of a change.
    pub(crate) fn forget_all(&self) -> bool {
        let (Ok(mut objects), Ok(mut responses)) = (self.objects.try_lock(), self.responses.try_lock())
        else {
            return false;
        };
        mem::forget(mem::take(&mut *objects));
        mem::forget(mem::take(&mut *responses));
        true
    }
}

/// A panic elsewhere leaves these maps whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
