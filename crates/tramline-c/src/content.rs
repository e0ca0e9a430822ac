//! Contents of any length that somebody sends: LiveKit's text and byte streams, read.

use std::{
    ffi::c_char,
    mem::size_of,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use futures_core::Stream as _;
use sdk::{
    ByteStreamInfo, ByteStreamReader, SaveStreamError, StreamError, TextStreamInfo, TextStreamReader,
    block_on,
};

use crate::{
    error::{Failure, guard},
    handle::{self, Out, Owned, handle},
    list::tramline_attributes,
    status::tramline_status::{self, *},
    structs::{self, Extensible},
    text::{self, tramline_bytes, tramline_str, tramline_string},
    wait::{Bell, lock, wait_for},
};

/// Reads a text, or bytes, that somebody sends. All its functions may be called on any thread, at the same time: each part goes to one of the
/// readers, and a close wakes them all.
pub struct tramline_content_reader(Owned<Content>);
handle!(tramline_content_reader holds Content);

/// What a content says of itself. The texts live as long as the handle that was asked.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_content_info {
    /// `sizeof(tramline_content_info)`.
    pub struct_size: usize,
    /// Its id, unique among those of its sender.
    pub id: tramline_str,
    /// What it is about.
    pub topic: tramline_str,
    /// What is in it.
    pub mime_type: tramline_str,
    /// Of bytes: the name of the file; empty for none.
    pub name: tramline_str,
    /// Of a text: the one that it answers; empty for none.
    pub reply_to_id: tramline_str,
    /// Of a text: byte contents that belong to it.
    pub attachments: *const tramline_str,
    /// How many.
    pub attachment_count: usize,
    /// When it began, in milliseconds since 1970 by the sender's clock.
    pub timestamp_ms: i64,
    /// Its bytes, or `UINT64_MAX` when that was not known from the start.
    pub total_length: u64,
    /// Of a text: LiveKit's number for what it does: 0 create, 1 update, 2 delete, 3 reaction.
    pub operation: i32,
    /// Of a text: counts its edits.
    pub version: i32,
    /// Whether it is a text: 0 or 1.
    pub is_text: u8,
    /// Whether it travels encrypted: 0 or 1.
    pub is_encrypted: u8,
    /// Of a text: whether an agent made it of what somebody said: 0 or 1.
    pub is_generated: u8,
}

// SAFETY: integers and pointers, `struct_size` first.
unsafe impl Extensible for tramline_content_info {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            id: tramline_str::EMPTY,
            topic: tramline_str::EMPTY,
            mime_type: tramline_str::EMPTY,
            name: tramline_str::EMPTY,
            reply_to_id: tramline_str::EMPTY,
            attachments: std::ptr::null(),
            attachment_count: 0,
            timestamp_ms: 0,
            total_length: u64::MAX,
            operation: 0,
            version: 0,
            is_text: 0,
            is_encrypted: 0,
            is_generated: 0,
        }
    }
}

/// The info of either kind, with the texts that a view of it points to.
pub(crate) struct Described {
    kind: Kind,
    reply_to_id: String,
    _attachments: Vec<String>,
    attachment_views: Vec<tramline_str>,
}

enum Kind {
    Text(TextStreamInfo),
    Bytes(ByteStreamInfo),
}

// SAFETY: the views point to texts of this very value, which nobody changes.
unsafe impl Send for Described {}
// SAFETY: the same.
unsafe impl Sync for Described {}

impl From<TextStreamInfo> for Described {
    fn from(info: TextStreamInfo) -> Self {
        let attachments = info.attached_stream_ids();
        // What the texts hold stays where it is when they move.
        let attachment_views = attachments.iter().map(|id| tramline_str::of(id)).collect();
        let reply_to_id = info.reply_to_stream_id().unwrap_or_default();
        Self { kind: Kind::Text(info), reply_to_id, _attachments: attachments, attachment_views }
    }
}

impl From<ByteStreamInfo> for Described {
    fn from(info: ByteStreamInfo) -> Self {
        let (reply_to_id, attachments) = (String::new(), Vec::new());
        Self { kind: Kind::Bytes(info), reply_to_id, _attachments: attachments, attachment_views: Vec::new() }
    }
}

macro_rules! either {
    ($this:expr, $info:ident => $value:expr) => {
        match &$this.kind {
            Kind::Text($info) => $value,
            Kind::Bytes($info) => $value,
        }
    };
}

impl Described {
    pub(crate) fn id(&self) -> &str {
        either!(self, info => info.id())
    }

    fn attributes(&self) -> tramline_attributes {
        tramline_attributes::new(either!(self, info => info.attributes()))
    }

    /// # Safety
    /// The rules on structs and results.
    pub(crate) unsafe fn write(&self, info: *mut tramline_content_info) -> Result<(), Failure> {
        let mut view = tramline_content_info {
            id: tramline_str::of(self.id()),
            topic: tramline_str::of(either!(self, info => info.topic())),
            mime_type: tramline_str::of(either!(self, info => info.mime_type())),
            reply_to_id: tramline_str::of(&self.reply_to_id),
            timestamp_ms: either!(self, info => info.timestamp_ms()),
            total_length: either!(self, info => info.total_length()).unwrap_or(u64::MAX),
            is_encrypted: either!(self, info => info.is_encrypted()).into(),
            ..tramline_content_info::defaults()
        };
        match &self.kind {
            Kind::Text(text) => {
                view.is_text = 1;
                view.operation = text.operation() as i32;
                view.version = text.version();
                view.is_generated = text.generated().into();
            }
            Kind::Bytes(bytes) => view.name = tramline_str::of(bytes.name()),
        }
        if !self.attachment_views.is_empty() {
            view.attachments = self.attachment_views.as_ptr();
            view.attachment_count = self.attachment_views.len();
        }
        // SAFETY: the same rules.
        unsafe { structs::write(info, &view, "info") }
    }
}

/// What the readers of a content share.
pub(crate) struct Content {
    info: Described,
    bell: Arc<Bell>,
    state: Mutex<State>,
}

enum State {
    /// With what a call for all of it has read before its time was over.
    Live(Reader, Vec<u8>),
    Over(Over),
}

enum Reader {
    Text(TextStreamReader),
    Bytes(ByteStreamReader),
}

#[derive(Debug, Clone)]
enum Over {
    Ended,
    Failed(StreamError),
    Closed,
}

impl From<&Over> for Failure {
    fn from(over: &Over) -> Self {
        match over {
            Over::Ended => Self::outcome(TRAMLINE_ENDED),
            Over::Failed(error) => error.clone().into(),
            Over::Closed => Self::outcome(TRAMLINE_CLOSED),
        }
    }
}

impl Reader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, StreamError>>> {
        match self {
            Self::Text(reader) => {
                Pin::new(reader).poll_next(cx).map(|part| part.map(|part| part.map(String::into_bytes)))
            }
            Self::Bytes(reader) => {
                Pin::new(reader).poll_next(cx).map(|part| part.map(|part| part.map(Into::into)))
            }
        }
    }
}

impl Content {
    pub(crate) fn text(reader: TextStreamReader) -> Self {
        Self::new(reader.info().clone().into(), Reader::Text(reader))
    }

    pub(crate) fn bytes(reader: ByteStreamReader) -> Self {
        Self::new(reader.info().clone().into(), Reader::Bytes(reader))
    }

    fn new(info: Described, reader: Reader) -> Self {
        Self { info, bell: Arc::default(), state: Mutex::new(State::Live(reader, Vec::new())) }
    }

    /// The next part, and what was collected before it; what has ended stays so.
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, Failure>> {
        let mut state = lock(&self.state);
        let over = match &mut *state {
            State::Over(over) => return Poll::Ready(Err((&*over).into())),
            State::Live(_, collected) if !collected.is_empty() => {
                return Poll::Ready(Ok(std::mem::take(collected)));
            }
            State::Live(reader, _) => match ready!(reader.poll_next(cx)) {
                Some(Ok(part)) => return Poll::Ready(Ok(part)),
                Some(Err(error)) => Over::Failed(error),
                None => Over::Ended,
            },
        };
        let failure = (&over).into();
        *state = State::Over(over);
        Poll::Ready(Err(failure))
    }

    fn poll_all(&self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, Failure>> {
        let mut state = lock(&self.state);
        loop {
            let (collected, over) = match &mut *state {
                State::Over(over) => return Poll::Ready(Err((&*over).into())),
                State::Live(reader, collected) => match ready!(reader.poll_next(cx)) {
                    Some(Ok(part)) => {
                        collected.extend_from_slice(&part);
                        continue;
                    }
                    Some(Err(error)) => (Err((&Over::Failed(error.clone())).into()), Over::Failed(error)),
                    None => (Ok(std::mem::take(collected)), Over::Ended),
                },
            };
            *state = State::Over(over);
            return Poll::Ready(collected);
        }
    }

    /// What was live until now; the first end is the one that is told.
    fn end(&self) -> Option<Reader> {
        let before = {
            let mut state = lock(&self.state);
            match &*state {
                State::Over(_) => return None,
                State::Live(..) => std::mem::replace(&mut *state, State::Over(Over::Closed)),
            }
        };
        self.bell.ring();
        match before {
            State::Live(reader, _) => Some(reader),
            State::Over(_) => None,
        }
    }
}

/// What the content says of itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_reader_info(
    reader: *const tramline_content_reader,
    info: *mut tramline_content_info,
) -> tramline_status {
    // SAFETY: the rules on handles, structs and results.
    guard(|| unsafe { handle::value(reader, "reader")?.info.write(info) })
}

/// Its attributes, to be freed: those that it began with, and at its end those that came with the end on top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_reader_attributes(
    reader: *const tramline_content_reader,
    attributes: *mut *mut tramline_attributes,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results and handles.
        let (out, reader) =
            unsafe { (Out::handle(attributes, "attributes")?, handle::value(reader, "reader")?) };
        out.set(Box::into_raw(Box::new(reader.info.attributes())));
        Ok(())
    })
}

/// The next part, not empty, to be freed with `tramline_bytes_free`; of a text whole characters. Waits for it at most `timeout_ms`: negative is
/// without end.
///
/// `TRAMLINE_TIMED_OUT`, `TRAMLINE_ENDED` behind the last part, `TRAMLINE_CLOSED` after a close, or why it did not come whole
/// (`TRAMLINE_ERR_CONTENT_...`).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_reader_next(
    reader: *const tramline_content_reader,
    timeout_ms: i64,
    part: *mut tramline_bytes,
) -> tramline_status {
    // SAFETY: the rules on handles and results.
    guard(|| unsafe { read(reader, timeout_ms, part, Content::poll_next) })
}

/// All of it, or all that was not read yet, to be freed with `tramline_bytes_free`. As `tramline_content_reader_next` otherwise; nothing is lost when
/// the time is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_reader_read_all(
    reader: *const tramline_content_reader,
    timeout_ms: i64,
    all: *mut tramline_bytes,
) -> tramline_status {
    // SAFETY: the rules on handles and results.
    guard(|| unsafe { read(reader, timeout_ms, all, Content::poll_all) })
}

type Look = fn(&Content, &mut Context<'_>) -> Poll<Result<Vec<u8>, Failure>>;

/// # Safety
/// The rules on handles and results.
unsafe fn read(
    reader: *const tramline_content_reader,
    timeout_ms: i64,
    out: *mut tramline_bytes,
    poll: Look,
) -> Result<(), Failure> {
    // SAFETY: the same rules.
    let (out, content) = unsafe {
        let out = Out::new(out, "the place for the bytes")?;
        out.set(tramline_bytes::EMPTY);
        (out, Arc::clone(handle::value(reader, "reader")?))
    };
    out.set(tramline_bytes::new(wait_for(&content.bell, timeout_ms, |cx| poll(&content, cx))??));
    Ok(())
}

/// Saves bytes as a file in `directory`, under the sender's name for it unless `name` is another, and waits until all of it is there. `path` is
/// where, to be freed; it may be null. A file that is there is replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_reader_save(
    reader: *const tramline_content_reader,
    directory: *const c_char,
    directory_len: usize,
    name: *const c_char,
    name_len: usize,
    path: *mut tramline_string,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, handles and bytes.
        let (content, directory, name) = unsafe {
            if !path.is_null() {
                path.write(tramline_string::EMPTY);
            }
            (
                Arc::clone(handle::value(reader, "reader")?),
                text::text(directory, directory_len, "directory")?,
                text::text(name, name_len, "name")?,
            )
        };
        if matches!(content.info.kind, Kind::Text(_)) {
            return Err(Failure::invalid(
                "a text is not a file: read it with tramline_content_reader_read_all",
            ));
        }
        // Our own threads must not wait for themselves.
        block_on(std::future::ready(()))?;
        let Some(Reader::Bytes(bytes)) = content.end() else {
            return Err(Failure::outcome(TRAMLINE_CLOSED));
        };
        let saved = block_on(bytes.write_to_file(directory, (!name.is_empty()).then_some(name)))??;
        if !path.is_null() {
            // SAFETY: the rule on results.
            unsafe { path.write(tramline_string::new(&saved.to_string_lossy())) };
        }
        Ok(())
    })
}

/// Ends the interest; idempotent. Threads that wait in a read return `TRAMLINE_CLOSED`, and what still comes is thrown away.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_reader_close(
    reader: *const tramline_content_reader,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rule on handles.
        drop(unsafe { handle::value(reader, "reader") }?.end());
        Ok(())
    })
}

/// Closes the reader and frees the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_reader_free(reader: *mut tramline_content_reader) {
    guard(|| {
        // SAFETY: the rule on handles; freeing is the last use.
        if let Some(content) = unsafe { handle::take(reader) } {
            drop(content.end());
        }
        Ok(())
    });
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        let status = match &error {
            StreamError::Aborted { .. } => TRAMLINE_ERR_CONTENT_ABORTED,
            StreamError::SenderGone => TRAMLINE_ERR_CONTENT_SENDER_GONE,
            StreamError::Gap { .. } | StreamError::Truncated { .. } => TRAMLINE_ERR_CONTENT_INCOMPLETE,
            StreamError::TooLong { .. } => TRAMLINE_ERR_CONTENT_TOO_LONG,
            StreamError::Unread { .. } => TRAMLINE_ERR_CONTENT_UNREAD,
            _ => TRAMLINE_ERR_CONTENT_MALFORMED,
        };
        Self::new(status, error.to_string())
    }
}

impl From<SaveStreamError> for Failure {
    fn from(error: SaveStreamError) -> Self {
        match error {
            SaveStreamError::Stream(error) => error.into(),
            error => Self::new(TRAMLINE_ERR_CONTENT_FILE, error.to_string()),
        }
    }
}
