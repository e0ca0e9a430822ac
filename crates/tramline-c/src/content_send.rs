//! Contents of any length, sent: whole or little by little.

use std::{collections::BTreeMap, ffi::c_char, mem::size_of};

use sdk::{
    ByteStreamWriter, SendStreamError, StreamByteOptions, StreamTextOptions, TextOperation, TextStreamWriter,
    block_on,
};

use crate::{
    content::{Described, tramline_content_info},
    error::{Failure, guard},
    handle::{self, Out, Owned, handle},
    packet::{identities, texts},
    participant::{attributes, tramline_attribute},
    room::tramline_room,
    status::tramline_status::{self, *},
    structs::{self, Extensible},
    text::{self, tramline_str, tramline_string},
};

/// Writes a text, or bytes, little by little. Writes of several threads come one after the other.
pub struct tramline_content_writer(Owned<Writing>);
handle!(tramline_content_writer holds Writing);

/// What a writer's handle stands for.
pub(crate) struct Writing {
    info: Described,
    writer: Writer,
}

enum Writer {
    Text(TextStreamWriter),
    Bytes(ByteStreamWriter),
}

/// How to send a text or bytes. Take `tramline_content_options_defaults` and set what differs.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_content_options {
    /// `sizeof(tramline_content_options)`.
    pub struct_size: usize,
    /// What it is about: receivers choose by it.
    pub topic: tramline_str,
    /// Its id; a random one when this is empty.
    pub id: tramline_str,
    /// Keys and values for the receivers. With everything else in the header at most 15,000 bytes.
    pub attributes: *const tramline_attribute,
    /// How many.
    pub attribute_count: usize,
    /// Identities of those whom it is for.
    pub destinations: *const tramline_str,
    /// How many; 0 for everybody else in the room.
    pub destination_count: usize,
    /// Of bytes: what is in it; empty is `application/octet-stream`.
    pub mime_type: tramline_str,
    /// Of bytes: the name of the file; when it is empty, that of the file that is sent.
    pub name: tramline_str,
    /// Of a text: the one that it answers.
    pub reply_to_id: tramline_str,
    /// Of a text: ids of byte contents that belong to it.
    pub attachments: *const tramline_str,
    /// How many.
    pub attachment_count: usize,
    /// For agents: in whose name it is sent.
    pub sender_identity: tramline_str,
    /// Of what is written little by little: its bytes, or `UINT64_MAX` when that is not known. Default `UINT64_MAX`.
    pub total_length: u64,
    /// Of a text: LiveKit's number for what it does: 0 create, 1 update, 2 delete, 3 reaction. Default 0.
    pub operation: i32,
    /// Of a text: counts its edits. Default 0.
    pub version: i32,
    /// Whether whole contents are compressed when all receivers take that and it becomes shorter: 0 or 1. Default 1.
    pub compress: u8,
    /// Of a text: whether an agent made it of what somebody said: 0 or 1. Default 0.
    pub is_generated: u8,
}

// SAFETY: integers and pointers, `struct_size` first.
unsafe impl Extensible for tramline_content_options {
    const FIRST_SIZE: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            topic: tramline_str::EMPTY,
            id: tramline_str::EMPTY,
            attributes: std::ptr::null(),
            attribute_count: 0,
            destinations: std::ptr::null(),
            destination_count: 0,
            mime_type: tramline_str::EMPTY,
            name: tramline_str::EMPTY,
            reply_to_id: tramline_str::EMPTY,
            attachments: std::ptr::null(),
            attachment_count: 0,
            sender_identity: tramline_str::EMPTY,
            total_length: u64::MAX,
            operation: 0,
            version: 0,
            compress: 1,
            is_generated: 0,
        }
    }
}

/// # Safety
/// The rule on bytes.
unsafe fn given(text: tramline_str, what: &str) -> Result<Option<String>, Failure> {
    // SAFETY: the same rule.
    let text = unsafe { text.read(what) }?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

impl tramline_content_options {
    /// # Safety
    /// The rule on bytes, for everything that it points to.
    unsafe fn to_text(self) -> Result<StreamTextOptions, Failure> {
        let operation = match self.operation {
            0 => TextOperation::Create,
            1 => TextOperation::Update,
            2 => TextOperation::Delete,
            3 => TextOperation::Reaction,
            other => return Err(Failure::invalid(format!("options.operation is {other}; expected 0 to 3"))),
        };
        // SAFETY: the same rule.
        unsafe {
            Ok(StreamTextOptions {
                topic: self.topic.read("options.topic")?.to_owned(),
                attributes: attributes(self.attributes, self.attribute_count)?,
                destination_identities: identities(
                    self.destinations,
                    self.destination_count,
                    "options.destinations",
                )?,
                id: given(self.id, "options.id")?,
                operation,
                version: self.version,
                reply_to_stream_id: given(self.reply_to_id, "options.reply_to_id")?,
                attached_stream_ids: texts(self.attachments, self.attachment_count, "options.attachments")?
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
                generated: self.is_generated != 0,
                total_length: Some(self.total_length).filter(|length| *length != u64::MAX),
                compress: Some(self.compress != 0),
                sender_identity: given(self.sender_identity, "options.sender_identity")?.map(Into::into),
            })
        }
    }

    /// # Safety
    /// The rule on bytes, for everything that it points to.
    unsafe fn to_bytes(self) -> Result<StreamByteOptions, Failure> {
        // SAFETY: the same rule.
        unsafe {
            Ok(StreamByteOptions {
                topic: self.topic.read("options.topic")?.to_owned(),
                attributes: attributes(self.attributes, self.attribute_count)?,
                destination_identities: identities(
                    self.destinations,
                    self.destination_count,
                    "options.destinations",
                )?,
                id: given(self.id, "options.id")?,
                mime_type: given(self.mime_type, "options.mime_type")?,
                name: given(self.name, "options.name")?,
                total_length: Some(self.total_length).filter(|length| *length != u64::MAX),
                compress: Some(self.compress != 0),
                sender_identity: given(self.sender_identity, "options.sender_identity")?.map(Into::into),
            })
        }
    }
}

/// Fills `options` with the defaults. `struct_size` is `sizeof(tramline_content_options)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_options_defaults(
    options: *mut tramline_content_options,
    struct_size: usize,
) -> tramline_status {
    // SAFETY: the rule on structs, with the size as an argument.
    guard(|| unsafe { structs::write_defaults(options, struct_size, "options") })
}

/// # Safety
/// The rule on results; null is not wanted.
unsafe fn tell(id: *mut tramline_string, text: &str) {
    if !id.is_null() {
        // SAFETY: the same rule.
        unsafe { id.write(tramline_string::new(text)) };
    }
}

/// Sends a text of any length, and waits until all of it has arrived at the server. `id` is its id, to be freed; it may be null. Receivers see
/// `TRAMLINE_EVENT_TEXT_OPENED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_send_text(
    room: *const tramline_room,
    data: *const c_char,
    len: usize,
    options: *const tramline_content_options,
    id: *mut tramline_string,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, handles, structs and bytes.
        unsafe {
            tell(id, "");
            let local = handle::value(room, "room")?.local_participant()?;
            let options = structs::read(options, "options")?.to_text()?;
            let info = block_on(local.send_text(text::text(data, len, "data")?, options))??;
            tell(id, info.id());
        }
        Ok(())
    })
}

/// As `tramline_room_send_text`, for bytes; receivers see `TRAMLINE_EVENT_BYTES_OPENED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_send_bytes(
    room: *const tramline_room,
    data: *const u8,
    len: usize,
    options: *const tramline_content_options,
    id: *mut tramline_string,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, handles, structs and bytes.
        unsafe {
            tell(id, "");
            let local = handle::value(room, "room")?.local_participant()?;
            let options = structs::read(options, "options")?.to_bytes()?;
            let bytes = text::bytes(data, len, "data")?.to_vec();
            let info = block_on(local.send_bytes(bytes, options))??;
            tell(id, info.id());
        }
        Ok(())
    })
}

/// As `tramline_room_send_bytes`, for the file at `path`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_send_file(
    room: *const tramline_room,
    path: *const c_char,
    path_len: usize,
    options: *const tramline_content_options,
    id: *mut tramline_string,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, handles, structs and bytes.
        unsafe {
            tell(id, "");
            let local = handle::value(room, "room")?.local_participant()?;
            let options = structs::read(options, "options")?.to_bytes()?;
            let info = block_on(local.send_file(text::text(path, path_len, "path")?, options))??;
            tell(id, info.id());
        }
        Ok(())
    })
}

/// Begins a text that is written little by little.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_open_text(
    room: *const tramline_room,
    options: *const tramline_content_options,
    writer: *mut *mut tramline_content_writer,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, handles, structs and bytes.
        let (out, local, options) = unsafe {
            (
                Out::handle(writer, "writer")?,
                handle::value(room, "room")?.local_participant()?,
                structs::read(options, "options")?.to_text()?,
            )
        };
        let writer = block_on(local.stream_text(options))??;
        out.set(handle::new(Writing { info: writer.info().clone().into(), writer: Writer::Text(writer) }));
        Ok(())
    })
}

/// Begins bytes that are written little by little.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_open_bytes(
    room: *const tramline_room,
    options: *const tramline_content_options,
    writer: *mut *mut tramline_content_writer,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on results, handles, structs and bytes.
        let (out, local, options) = unsafe {
            (
                Out::handle(writer, "writer")?,
                handle::value(room, "room")?.local_participant()?,
                structs::read(options, "options")?.to_bytes()?,
            )
        };
        let writer = block_on(local.stream_bytes(options))??;
        out.set(handle::new(Writing { info: writer.info().clone().into(), writer: Writer::Bytes(writer) }));
        Ok(())
    })
}

/// What the content says of itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_writer_info(
    writer: *const tramline_content_writer,
    info: *mut tramline_content_info,
) -> tramline_status {
    // SAFETY: the rules on handles, structs and results.
    guard(|| unsafe { handle::value(writer, "writer")?.info.write(info) })
}

/// Writes a part; of a text, whole characters. Waits while the network is slower than the writer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_writer_write(
    writer: *const tramline_content_writer,
    data: *const u8,
    len: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        unsafe {
            match &handle::value(writer, "writer")?.writer {
                Writer::Text(writer) => block_on(writer.write(text::text(data.cast(), len, "data")?))??,
                Writer::Bytes(writer) => block_on(writer.write(text::bytes(data, len, "data")?))??,
            }
        }
        Ok(())
    })
}

/// Ends the content, with attributes on top of the first ones, and waits until all of it has arrived at the server. A reason that is not empty makes
/// it a failure for the receivers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_writer_close(
    writer: *const tramline_content_writer,
    reason: *const c_char,
    reason_len: usize,
    attributes: *const tramline_attribute,
    attribute_count: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles and bytes.
        let (writing, reason, attributes): (_, _, BTreeMap<String, String>) = unsafe {
            (
                handle::value(writer, "writer")?,
                text::text(reason, reason_len, "reason")?,
                self::attributes(attributes, attribute_count)?,
            )
        };
        match &writing.writer {
            Writer::Text(writer) => block_on(writer.close_with(reason, attributes))??,
            Writer::Bytes(writer) => block_on(writer.close_with(reason, attributes))??,
        }
        Ok(())
    })
}

/// Frees the writer. When it was not closed, the receivers are told that the content was given up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_content_writer_free(writer: *mut tramline_content_writer) {
    guard(|| {
        // SAFETY: the rule on handles; freeing is the last use.
        drop(unsafe { handle::take(writer) });
        Ok(())
    });
}

impl From<SendStreamError> for Failure {
    fn from(error: SendStreamError) -> Self {
        let status = match error {
            SendStreamError::Packet(error) => return error.into(),
            SendStreamError::Header(_) => TRAMLINE_ERR_CONTENT_HEADER_TOO_LARGE,
            SendStreamError::Closed => TRAMLINE_ERR_CONTENT_CLOSED,
            _ => TRAMLINE_ERR_CONTENT_FILE,
        };
        Self::new(status, error.to_string())
    }
}
