//! Logs as events, for wrappers that ask for them.

use std::{
    fmt::{self, Write as _},
    sync::{
        Mutex, Once, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::{Interest, set_global_default},
};

use crate::{
    client::Client,
    handle::lock,
    proto::{LogBatch, LogRecord, ffi_event},
};

/// Where records go now.
static SINK: Mutex<Option<Weak<Client>>> = Mutex::new(None);
static INSTALLED: Once = Once::new();
/// Records on their way to the callback.
static WAITING: AtomicUsize = AtomicUsize::new(0);
/// More than this are dropped: a slow callback must not fill the memory.
const MOST_WAITING: usize = 256;

/// Sends records to the client from now on, or to nobody.
///
/// Only this library's records pass here: a library brings its own `tracing`.
pub(crate) fn capture(client: Option<Weak<Client>>) {
    if client.is_some() {
        INSTALLED.call_once(|| {
            // It can only fail when there is one already, and nobody else in this library installs one.
            let _ = set_global_default(Forward);
        });
    }
    *lock(&SINK) = client;
}

/// Hands records to the callback, on the thread that answers requests.
struct Forward;

/// What is said more often than once per change of state stays inside.
const MOST: Level = Level::INFO;

impl Subscriber for Forward {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= MOST
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(MOST.into())
    }

    fn event(&self, event: &Event<'_>) {
        let Some(client) = lock(&SINK).as_ref().and_then(Weak::upgrade) else { return };
        if WAITING.fetch_add(1, Ordering::AcqRel) >= MOST_WAITING {
            WAITING.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        let waiting = Waiting;
        let metadata = event.metadata();
        let mut message = Text(String::new());
        event.record(&mut message);
        let record = LogRecord {
            level: level(*metadata.level()),
            target: metadata.target().to_owned(),
            module_path: metadata.module_path().map(str::to_owned),
            file: metadata.file().map(str::to_owned),
            line: metadata.line(),
            message: message.0,
        };
        let later = client.clone();
        client.spawn(async move {
            let _waiting = waiting;
            later.emit(ffi_event::Message::Logs(LogBatch { records: vec![record] }));
        });
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Counts a record until it has been told, or cannot be any more.
struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::AcqRel);
    }
}

fn level(level: Level) -> i32 {
    use crate::proto::LogLevel;
    let level = match level {
        Level::ERROR => LogLevel::LogError,
        Level::WARN => LogLevel::LogWarn,
        Level::INFO => LogLevel::LogInfo,
        Level::DEBUG => LogLevel::LogDebug,
        Level::TRACE => LogLevel::LogTrace,
    };
    level as i32
}

/// The message, then the fields.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" if self.0.is_empty() => write!(self.0, "{value:?}"),
            "message" => {
                self.0 = format!("{value:?} {}", self.0);
                Ok(())
            }
            name => write!(self.0, "{}{name}={value:?}", if self.0.is_empty() { "" } else { " " }),
        };
    }
}
