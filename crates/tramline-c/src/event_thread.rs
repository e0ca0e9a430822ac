//! The events of a room: polled, or handed to a callback on a thread of their own.

use std::{
    ffi::c_void,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread::{self, JoinHandle},
};

use futures_core::Stream;
use sdk::RoomEvents;

use crate::{
    error::Failure,
    event::{Event, tramline_event},
    status::tramline_status::*,
    wait::{Bell, lock, wait_for},
};

/// Takes the events of a room. Runs on the thread `tramline-event` of that room, one event after the other. `event` and what it points to are
/// gone when it returns. It may call any function of this library, `tramline_room_disconnect` and `tramline_room_free` of its own room
/// included, and wait as long as it likes: events wait in the meantime. It must not throw.
pub type tramline_event_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, event: *const tramline_event)>;

/// Where the events of a room come out.
pub(crate) struct EventSource {
    bell: Arc<Bell>,
    events: Mutex<RoomEvents>,
    is_closed: AtomicBool,
    thread: Mutex<Option<EventThread>>,
}

struct EventThread {
    is_stopped: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

impl EventSource {
    pub(crate) fn new(events: RoomEvents) -> Self {
        Self {
            bell: Arc::new(Bell::default()),
            events: Mutex::new(events),
            is_closed: AtomicBool::new(false),
            thread: Mutex::new(None),
        }
    }

    /// The next event for whoever polls.
    pub(crate) fn poll(&self, timeout_ms: i64) -> Result<Box<Event>, Failure> {
        if lock(&self.thread).is_some() {
            return Err(Failure::new(
                TRAMLINE_ERR_BUSY,
                "the room's events go to its callback; take that away first: tramline_room_set_event_callback(room, NULL, NULL)",
            ));
        }
        self.next(timeout_ms, &self.is_closed)
    }

    /// `ENDED` behind the last event, `CLOSED` once `is_stopped`.
    fn next(&self, timeout_ms: i64, is_stopped: &AtomicBool) -> Result<Box<Event>, Failure> {
        wait_for(&self.bell, timeout_ms, |cx| {
            loop {
                if is_stopped.load(Ordering::Acquire) {
                    return Poll::Ready(Err(Failure::outcome(TRAMLINE_CLOSED)));
                }
                match self.poll_next(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => return Poll::Ready(Err(Failure::outcome(TRAMLINE_ENDED))),
                    Poll::Ready(Some(event)) => {
                        if let Some(event) = Event::new(event) {
                            return Poll::Ready(Ok(event));
                        }
                    }
                }
            }
        })?
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<sdk::RoomEvent>> {
        Pin::new(&mut *lock(&self.events)).poll_next(cx)
    }

    /// Hands the events to a callback from now on, or to nobody.
    pub(crate) fn set_callback(
        self: &Arc<Self>,
        callback: tramline_event_callback,
        user_data: *mut c_void,
    ) -> Result<(), Failure> {
        self.stop_callback();
        let Some(callback) = callback else { return Ok(()) };
        let call = Call { callback, user_data };
        let is_stopped = Arc::new(AtomicBool::new(false));
        let source = Arc::clone(self);
        let stopped = Arc::clone(&is_stopped);
        let handle = spawn("tramline-event", move || {
            // Ends behind the last event as well.
            while let Ok(event) = source.next(-1, &stopped) {
                call.run(event);
            }
        })
        .map_err(|error| Failure::new(TRAMLINE_ERR_SYSTEM, format!("no thread for the events: {error}")))?;
        let before = lock(&self.thread).replace(EventThread { is_stopped, handle });
        // Another thread may have set one meanwhile; the last one wins.
        if let Some(before) = before {
            self.stop(before);
        }
        Ok(())
    }

    /// When this returns, the callback does not run any more, and will not; unless this is called by the callback itself.
    fn stop_callback(&self) {
        // Taken out first: the callback that is waited for may ask for the same.
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            self.stop(thread);
        }
    }

    fn stop(&self, thread: EventThread) {
        thread.is_stopped.store(true, Ordering::Release);
        self.bell.ring();
        thread.join();
    }

    /// Waits until the callback has had the last event; for a room that has ended.
    pub(crate) fn finish_callback(&self) {
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            thread.join();
        }
    }

    /// Sends everybody away who waits here.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.stop_callback();
        self.bell.ring();
    }
}

impl EventThread {
    fn join(self) {
        if self.handle.thread().id() != thread::current().id() {
            // A panic in it was reported on its thread.
            let _ = self.handle.join();
        }
    }
}

struct Call {
    callback: unsafe extern "C" fn(*mut c_void, *const tramline_event),
    user_data: *mut c_void,
}

// SAFETY: the caller of `tramline_room_set_event_callback` agrees that both are used on the event thread.
unsafe impl Send for Call {}

impl Call {
    fn run(&self, event: Box<Event>) {
        let event = event.into_raw();
        // SAFETY: the event lives until it is freed below, and the caller vouches for callback and user data.
        unsafe {
            (self.callback)(self.user_data, event);
            crate::event::tramline_event_free(event);
        }
    }
}

/// Starts a thread that takes no signals: handlers of the application's must not run on it.
fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    // SAFETY: both masks are valid for the calls, and the mask of this thread is put back.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut all);
        for signal in LEFT_OPEN {
            libc::sigdelset(&raw mut all, signal);
        }
        let blocked = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before) == 0;
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
        if blocked {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        }
        thread
    }
}

/// As for the room's thread: faults of the code that runs must stay visible, and the thread to a profiler.
const LEFT_OPEN: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGPROF];
