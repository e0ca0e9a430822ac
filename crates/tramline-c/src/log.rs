//! What the library has to say, for a callback of the host's.
//!
//! Without a callback nothing is written anywhere. The sink belongs to this copy of the library: another copy in the same process has its own.

use std::{
    cell::Cell,
    ffi::{c_char, c_void},
    fmt::{self, Write as _},
    ptr,
    sync::{
        Mutex, Once,
        atomic::{AtomicI32, AtomicPtr, Ordering},
    },
};

use tracing_core::{
    Event, Level, LevelFilter, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::Interest,
};

use crate::{
    error::{Failure, guard},
    status::tramline_status,
    wait::lock,
};

/// How much a message matters.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_log_level {
    /// Each packet.
    TRAMLINE_LOG_TRACE = 0,
    /// Each change of state.
    TRAMLINE_LOG_DEBUG = 1,
    /// What a user sees.
    TRAMLINE_LOG_INFO = 2,
    /// Something is not as it should be, and goes on.
    TRAMLINE_LOG_WARN = 3,
    /// Something failed.
    TRAMLINE_LOG_ERROR = 4,
    /// Nothing at all.
    TRAMLINE_LOG_OFF = 6,
}

use tramline_log_level::*;

/// Takes a message: who says it (a module's name) and what, both UTF-8 and NUL-terminated, both gone when it returns. Runs on any thread, also the
/// library's own, but never twice at once. It must not throw, should be quick, and must not block on a thread that uses the library. What
/// calls of this library in it would log is lost.
pub type tramline_log_callback = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        level: tramline_log_level,
        logger: *const c_char,
        message: *const c_char,
    ),
>;

/// Hands messages of at least `level` (one of `tramline_log_level`) to `callback`, for the whole process. A null callback ends that. Libraries below
/// this one are heard from `TRAMLINE_LOG_WARN` on.
///
/// When this returns, a callback that was set before does not run any more and will not again, except that a callback which calls this itself
/// runs to its end. A child of `fork` begins without a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_set_log_callback(
    callback: tramline_log_callback,
    user_data: *mut c_void,
    level: i32,
) -> tramline_status {
    guard(|| {
        if ![0, 1, 2, 3, 4, TRAMLINE_LOG_OFF as i32].contains(&level) {
            return Err(Failure::invalid(format!("level is {level}; expected one of tramline_log_level")));
        }
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            // Fails only when a Rust host that links this crate has installed its own, which gets the messages then.
            let _ = tracing::subscriber::set_global_default(ToCallback);
            // SAFETY: the handler is async-signal-safe: it writes two atomics.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
        let target = callback.map(|callback| Target { callback, user_data });
        let level = if target.is_some() { level } else { TRAMLINE_LOG_OFF as i32 };
        if IS_LOGGING.get() {
            // The callback itself: the sink is locked by this thread.
            NEXT.set(Some(target));
        } else {
            *lock(sink()) = target;
        }
        LEVEL.store(level, Ordering::Release);
        tracing_core::callsite::rebuild_interest_cache();
        Ok(())
    })
}

#[derive(Clone, Copy)]
struct Target {
    callback: unsafe extern "C" fn(*mut c_void, tramline_log_level, *const c_char, *const c_char),
    user_data: *mut c_void,
}

// SAFETY: the caller of `tramline_set_log_callback` agrees that both are used on any thread.
unsafe impl Send for Target {}

type Sink = Mutex<Option<Target>>;

/// The sink of this process. A child of `fork` gets a new one: the parent's may be locked by a thread that the child does not have.
static SINK: AtomicPtr<Sink> = AtomicPtr::new(ptr::null_mut());
static LEVEL: AtomicI32 = AtomicI32::new(TRAMLINE_LOG_OFF as i32);

thread_local! {
    static IS_LOGGING: Cell<bool> = const { Cell::new(false) };
    /// What the callback that runs on this thread has set.
    static NEXT: Cell<Option<Option<Target>>> = const { Cell::new(None) };
}

extern "C" fn in_child() {
    SINK.store(ptr::null_mut(), Ordering::Release);
    LEVEL.store(TRAMLINE_LOG_OFF as i32, Ordering::Release);
}

/// One for each process, never freed: whoever logs may hold it.
fn sink() -> &'static Sink {
    let mut found = SINK.load(Ordering::Acquire);
    if found.is_null() {
        let new = Box::into_raw(Box::new(Mutex::new(None)));
        found = match SINK.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => new,
            Err(other) => {
                // SAFETY: made above, and nobody has seen it.
                drop(unsafe { Box::from_raw(new) });
                other
            }
        };
    }
    // SAFETY: never freed once it is there.
    unsafe { &*found }
}

/// A subscriber of `tracing` that knows events only.
struct ToCallback;

impl Subscriber for ToCallback {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = number(*metadata.level()) as i32;
        // What a library below has to say about its own works is of no use to a host, unless something is wrong.
        let is_ours = metadata.target().starts_with("tramline");
        metadata.is_event()
            && level >= LEVEL.load(Ordering::Relaxed)
            && (is_ours || level >= TRAMLINE_LOG_WARN as i32)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match LEVEL.load(Ordering::Relaxed) {
            0 => LevelFilter::TRACE,
            1 => LevelFilter::DEBUG,
            2 => LevelFilter::INFO,
            3 => LevelFilter::WARN,
            4 => LevelFilter::ERROR,
            _ => LevelFilter::OFF,
        })
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if IS_LOGGING.try_with(|logging| logging.replace(true)).unwrap_or(true) {
            return;
        }
        let _reset = Reset;
        let mut text = Text::default();
        event.record(&mut text);
        let message = terminated(text.message + &text.fields);
        let logger = terminated(event.metadata().target().to_owned());
        let mut target = lock(sink());
        if let Some(Target { callback, user_data }) = *target {
            let level = number(*event.metadata().level());
            // SAFETY: both texts are NUL-terminated and live through the call; the caller vouches for callback and user data.
            unsafe { callback(user_data, level, logger.as_ptr().cast(), message.as_ptr().cast()) };
        }
        if let Some(next) = NEXT.take() {
            *target = next;
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Reset;

impl Drop for Reset {
    fn drop(&mut self) {
        let _ = IS_LOGGING.try_with(|logging| logging.set(false));
    }
}

fn number(level: Level) -> tramline_log_level {
    match level {
        Level::TRACE => TRAMLINE_LOG_TRACE,
        Level::DEBUG => TRAMLINE_LOG_DEBUG,
        Level::INFO => TRAMLINE_LOG_INFO,
        Level::WARN => TRAMLINE_LOG_WARN,
        _ => TRAMLINE_LOG_ERROR,
    }
}

fn terminated(text: String) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    bytes.retain(|byte| *byte != 0);
    bytes.push(0);
    bytes
}

/// An event as one line: the message, then the fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            let _ = write!(self.fields, " {}={value}", field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail; a `Debug` of ours that does loses its own text only.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
