//! The library between `initialize` and `dispose`.

use std::{
    process,
    sync::{
        Arc, LazyLock, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use futures_util::future::join_all;
use prost::Message as _;

use crate::{
    call::Calls,
    handle::{Handle, Handles, Reply, lock},
    lane::Lane,
    logs,
    proto::{FfiEvent, ffi_event},
    request,
    room::RoomEntry,
};

/// What events are given to, encoded.
pub(crate) type Callback = Box<dyn Fn(&[u8]) + Send + Sync>;

/// What a wrapper starts the library with.
pub(crate) struct Config {
    pub(crate) callback: Option<Callback>,
    pub(crate) capture_logs: bool,
    /// The wrapper's name: `python`, `cpp`, `node`.
    pub(crate) sdk: String,
    pub(crate) version: String,
}

/// In what wrappers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Habits {
    /// It drops the handles of packets, and reads or drops the readers of streams.
    pub(crate) drops_what_came: bool,
    /// It makes streams of their packets by itself.
    pub(crate) wants_raw_streams: bool,
}

impl Habits {
    fn of(sdk: &str) -> Self {
        match sdk {
            // Copies packets inside the callback, and has readers of its own.
            "cpp" => Self { drops_what_came: false, wants_raw_streams: true },
            "python" | "node" => Self { drops_what_came: true, wants_raw_streams: false },
            _ => Self { drops_what_came: true, wants_raw_streams: true },
        }
    }
}

/// One life of the library.
pub(crate) struct Client {
    callback: Option<Callback>,
    /// Cleared at the beginning of the dispose: nothing is said any more.
    is_open: AtomicBool,
    last_async_id: AtomicU64,
    /// Calls that the wrapper has not answered yet.
    pub(crate) calls: Calls,
    /// What the wrapper does not do with what it is given.
    pub(crate) habits: Habits,
    lane: Mutex<Option<Lane>>,
    listeners: Mutex<Vec<JoinHandle<()>>>,
}

static HANDLES: LazyLock<Handles> = LazyLock::new(Handles::new);
static CURRENT: RwLock<Option<Arc<Client>>> = RwLock::new(None);
/// The process that has initialised; 0 before. A process that was forked off has none of the threads, so its calls do nothing.
static OWNER: AtomicU32 = AtomicU32::new(0);

pub(crate) fn handles() -> &'static Handles {
    &HANDLES
}

pub(crate) fn initialize(config: Config) {
    if !take_over_after_fork() {
        return;
    }
    dispose();
    OWNER.store(process::id(), Ordering::Release);
    let lane = match Lane::start() {
        Ok(lane) => lane,
        Err(error) => {
            tracing::error!(%error, "no thread for the library: every request will fail");
            return;
        }
    };
    let client = Arc::new(Client {
        callback: config.callback,
        is_open: AtomicBool::new(true),
        last_async_id: AtomicU64::new(0),
        calls: Calls::default(),
        habits: Habits::of(&config.sdk),
        lane: Mutex::new(Some(lane)),
        listeners: Mutex::default(),
    });
    logs::capture(config.capture_logs.then(|| Arc::downgrade(&client)));
    tracing::debug!(sdk = config.sdk, version = config.version, "initialised");
    *CURRENT.write().unwrap_or_else(PoisonError::into_inner) = Some(client);
}

/// The current client; none before the first `initialize`, after `dispose`, and in a process that was forked off.
fn current() -> Option<Arc<Client>> {
    if OWNER.load(Ordering::Acquire) != process::id() {
        return None;
    }
    CURRENT.read().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(crate) fn request(bytes: &[u8]) -> Option<Reply> {
    let client = current()?;
    let response = request::handle(&client, bytes)?;
    Some(handles().reply(response))
}

pub(crate) fn drop_handle(handle: Handle) -> bool {
    OWNER.load(Ordering::Acquire) == process::id() && handles().remove(handle)
}

pub(crate) fn dispose() {
    if OWNER.load(Ordering::Acquire) != process::id() {
        return;
    }
    let client = CURRENT.write().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(client) = client {
        client.close();
    }
}

/// Whether this process may initialise: a child of a fork starts afresh, and leaves alone what belongs to its parent.
fn take_over_after_fork() -> bool {
    let owner = OWNER.load(Ordering::Acquire);
    if owner == 0 || owner == process::id() {
        return true;
    }
    let Ok(mut current) = CURRENT.try_write() else { return false };
    if !handles().forget_all() {
        return false;
    }
    std::mem::forget(current.take());
    true
}

impl Client {
    /// The id of an asynchronous request: the wrapper's own, or one that is free.
    pub(crate) fn async_id(&self, requested: Option<u64>) -> u64 {
        match requested {
            Some(id) if id != 0 => id,
            // An absent field reads 0 in wrappers, so that is no id.
            _ => self.last_async_id.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// Carries out a request beyond its response.
    pub(crate) fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        if let Some(lane) = &*lock(&self.lane) {
            lane.spawn(job);
        }
    }

    /// Gives an event to the wrapper, on the calling thread. Never from inside a request.
    pub(crate) fn emit(&self, message: ffi_event::Message) {
        self.emit_encoded(&FfiEvent { message: Some(message) }.encode_to_vec());
    }

    pub(crate) fn emit_encoded(&self, event: &[u8]) {
        if let Some(callback) = &self.callback
            && self.is_open()
        {
            callback(event);
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Remembers the thread that tells what happens in a room, to wait for its end.
    pub(crate) fn add_listener(&self, thread: JoinHandle<()>) {
        let mut listeners = lock(&self.listeners);
        listeners.retain(|thread| !thread.is_finished());
        listeners.push(thread);
    }

    /// Ends everything that could call back, and waits for it.
    fn close(&self) {
        self.is_open.store(false, Ordering::Release);
        self.calls.give_up();
        let rooms = handles().rooms();
        rooms.iter().for_each(|room| room.set_ready());
        // On a thread of our own this gives up at once; the rooms leave in the background then.
        let _ = tramline::block_on(join_all(rooms.iter().map(|room: &Arc<RoomEntry>| room.room().close())));
        let lane = lock(&self.lane).take().map(|lane| {
            lane.stop();
            lane.into_thread()
        });
        let listeners = std::mem::take(&mut *lock(&self.listeners));
        for thread in listeners.into_iter().chain(lane) {
            if thread.thread().id() != thread::current().id() {
                // A panic in it was reported on its thread.
                let _ = thread.join();
            }
        }
        // With what the lane has announced meanwhile.
        handles().clear_objects();
        rooms.into_iter().filter_map(Arc::into_inner).for_each(RoomEntry::end);
        logs::capture(None);
    }
}
