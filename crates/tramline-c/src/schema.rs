//! What the frames of a track hold: the names of encodings and schemas, and the definitions of schemas.

use std::ffi::c_char;

use sdk::{
    DefineSchemaError, FetchSchemaError, FrameEncoding, LocalParticipant, SchemaEncoding, SchemaId, block_on,
};

use crate::{
    error::{Failure, guard},
    handle::{self, Out},
    room::tramline_room,
    status::tramline_status::{self, *},
    text::{self, tramline_str, tramline_string},
};

/// How frames are serialised; LiveKit's numbers. Others are passed on as they are.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_frame_encoding {
    /// Nothing is said about it.
    TRAMLINE_FRAME_ENCODING_NONE = -1,
    /// The application's own, which has a name.
    TRAMLINE_FRAME_ENCODING_CUSTOM = -2,
    /// Left open.
    TRAMLINE_FRAME_ENCODING_UNSPECIFIED = 0,
    /// ROS 1; needs a ROS 1 message schema.
    TRAMLINE_FRAME_ENCODING_ROS1 = 1,
    /// CDR; needs a schema in ROS 2 messages, ROS 2 IDL or OMG IDL.
    TRAMLINE_FRAME_ENCODING_CDR = 2,
    /// Protocol buffers; needs a schema in them.
    TRAMLINE_FRAME_ENCODING_PROTOBUF = 3,
    /// FlatBuffers; needs a schema in them.
    TRAMLINE_FRAME_ENCODING_FLATBUFFER = 4,
    /// CBOR; describes itself.
    TRAMLINE_FRAME_ENCODING_CBOR = 5,
    /// MessagePack; describes itself.
    TRAMLINE_FRAME_ENCODING_MSGPACK = 6,
    /// JSON; describes itself, or has a JSON schema.
    TRAMLINE_FRAME_ENCODING_JSON = 7,
}

/// What a schema is written in; LiveKit's numbers. Others are passed on as they are.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum tramline_schema_encoding {
    /// The application's own, which has a name.
    TRAMLINE_SCHEMA_ENCODING_CUSTOM = -2,
    /// Left open.
    TRAMLINE_SCHEMA_ENCODING_UNSPECIFIED = 0,
    /// Protocol buffers.
    TRAMLINE_SCHEMA_ENCODING_PROTOBUF = 1,
    /// FlatBuffers.
    TRAMLINE_SCHEMA_ENCODING_FLATBUFFER = 2,
    /// ROS 1 messages.
    TRAMLINE_SCHEMA_ENCODING_ROS1_MSG = 3,
    /// ROS 2 messages.
    TRAMLINE_SCHEMA_ENCODING_ROS2_MSG = 4,
    /// ROS 2 IDL.
    TRAMLINE_SCHEMA_ENCODING_ROS2_IDL = 5,
    /// OMG IDL.
    TRAMLINE_SCHEMA_ENCODING_OMG_IDL = 6,
    /// JSON Schema.
    TRAMLINE_SCHEMA_ENCODING_JSON_SCHEMA = 7,
}

/// An encoding: a number of `tramline_frame_encoding` or `tramline_schema_encoding`, and a name for the application's own.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_encoding {
    /// The number.
    pub number: i32,
    /// The name, 1 to 32 bytes (at most 25 reach every client), when the number is that of a custom one; empty else.
    pub custom: tramline_str,
}

/// The name of a schema. The same name in another encoding is another schema.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct tramline_schema_id {
    /// 1 to 256 bytes; empty stands for no schema.
    pub name: tramline_str,
    /// What it is written in: `tramline_schema_encoding`.
    pub encoding: tramline_encoding,
}

const NONE: i32 = tramline_frame_encoding::TRAMLINE_FRAME_ENCODING_NONE as i32;
const CUSTOM: i32 = tramline_frame_encoding::TRAMLINE_FRAME_ENCODING_CUSTOM as i32;
const _: () = assert!(CUSTOM == tramline_schema_encoding::TRAMLINE_SCHEMA_ENCODING_CUSTOM as i32);

impl tramline_encoding {
    pub(crate) const NONE: Self = Self { number: NONE, custom: tramline_str::EMPTY };

    fn known(number: i32) -> Self {
        Self { number, custom: tramline_str::EMPTY }
    }

    fn custom(name: &str) -> Self {
        Self { number: CUSTOM, custom: tramline_str::of(name) }
    }

    /// The caller says how long the encoding lives.
    pub(crate) fn of_frames(encoding: Option<&FrameEncoding>) -> Self {
        use tramline_frame_encoding::*;
        Self::known(match encoding {
            None => NONE,
            Some(FrameEncoding::Custom(name)) => return Self::custom(name),
            Some(FrameEncoding::Other(number)) => *number,
            Some(FrameEncoding::Ros1) => TRAMLINE_FRAME_ENCODING_ROS1 as i32,
            Some(FrameEncoding::Cdr) => TRAMLINE_FRAME_ENCODING_CDR as i32,
            Some(FrameEncoding::Protobuf) => TRAMLINE_FRAME_ENCODING_PROTOBUF as i32,
            Some(FrameEncoding::Flatbuffer) => TRAMLINE_FRAME_ENCODING_FLATBUFFER as i32,
            Some(FrameEncoding::Cbor) => TRAMLINE_FRAME_ENCODING_CBOR as i32,
            Some(FrameEncoding::Msgpack) => TRAMLINE_FRAME_ENCODING_MSGPACK as i32,
            Some(FrameEncoding::Json) => TRAMLINE_FRAME_ENCODING_JSON as i32,
            Some(_) => TRAMLINE_FRAME_ENCODING_UNSPECIFIED as i32,
        })
    }

    /// The caller says how long the encoding lives.
    fn of_schema(encoding: &SchemaEncoding) -> Self {
        use tramline_schema_encoding::*;
        Self::known(match encoding {
            SchemaEncoding::Custom(name) => return Self::custom(name),
            SchemaEncoding::Other(number) => *number,
            SchemaEncoding::Protobuf => TRAMLINE_SCHEMA_ENCODING_PROTOBUF as i32,
            SchemaEncoding::Flatbuffer => TRAMLINE_SCHEMA_ENCODING_FLATBUFFER as i32,
            SchemaEncoding::Ros1Msg => TRAMLINE_SCHEMA_ENCODING_ROS1_MSG as i32,
            SchemaEncoding::Ros2Msg => TRAMLINE_SCHEMA_ENCODING_ROS2_MSG as i32,
            SchemaEncoding::Ros2Idl => TRAMLINE_SCHEMA_ENCODING_ROS2_IDL as i32,
            SchemaEncoding::OmgIdl => TRAMLINE_SCHEMA_ENCODING_OMG_IDL as i32,
            SchemaEncoding::JsonSchema => TRAMLINE_SCHEMA_ENCODING_JSON_SCHEMA as i32,
            _ => TRAMLINE_SCHEMA_ENCODING_UNSPECIFIED as i32,
        })
    }

    /// # Safety
    /// The rule on bytes, for the texts.
    pub(crate) unsafe fn to_frames(self) -> Result<Option<FrameEncoding>, Failure> {
        Ok(Some(match self.number {
            NONE => return Ok(None),
            // SAFETY: the same rule.
            CUSTOM => FrameEncoding::Custom(unsafe { self.custom.read("encoding.custom") }?.to_owned()),
            1 => FrameEncoding::Ros1,
            2 => FrameEncoding::Cdr,
            3 => FrameEncoding::Protobuf,
            4 => FrameEncoding::Flatbuffer,
            5 => FrameEncoding::Cbor,
            6 => FrameEncoding::Msgpack,
            7 => FrameEncoding::Json,
            number => FrameEncoding::Other(check_number(number)?),
        }))
    }

    /// # Safety
    /// The rule on bytes, for the texts.
    unsafe fn to_schema(self) -> Result<SchemaEncoding, Failure> {
        Ok(match self.number {
            // SAFETY: the same rule.
            CUSTOM => SchemaEncoding::Custom(unsafe { self.custom.read("encoding.custom") }?.to_owned()),
            1 => SchemaEncoding::Protobuf,
            2 => SchemaEncoding::Flatbuffer,
            3 => SchemaEncoding::Ros1Msg,
            4 => SchemaEncoding::Ros2Msg,
            5 => SchemaEncoding::Ros2Idl,
            6 => SchemaEncoding::OmgIdl,
            7 => SchemaEncoding::JsonSchema,
            number => SchemaEncoding::Other(check_number(number)?),
        })
    }
}

fn check_number(number: i32) -> Result<i32, Failure> {
    if number >= 0 {
        return Ok(number);
    }
    Err(Failure::invalid(format!(
        "encoding.number is {number}; expected one of tramline_frame_encoding or tramline_schema_encoding"
    )))
}

impl tramline_schema_id {
    pub(crate) const NONE: Self = Self {
        name: tramline_str::EMPTY,
        encoding: tramline_encoding { number: 0, custom: tramline_str::EMPTY },
    };

    /// The caller says how long the id lives.
    pub(crate) fn of(schema: Option<&SchemaId>) -> Self {
        schema.map_or(Self::NONE, |schema| Self {
            name: tramline_str::of(&schema.name),
            encoding: tramline_encoding::of_schema(&schema.encoding),
        })
    }

    /// # Safety
    /// The rule on bytes, for the texts.
    pub(crate) unsafe fn to_sdk(self) -> Result<Option<SchemaId>, Failure> {
        // SAFETY: the same rule.
        unsafe {
            let name = self.name.read("schema.name")?;
            if name.is_empty() {
                return Ok(None);
            }
            Ok(Some(SchemaId::new(name, self.encoding.to_schema()?)))
        }
    }
}

/// Stores a schema's definition with the server, for those who read a track that names it, and waits for the answer. Define it before the track is
/// published; the server forgets it when the participant leaves.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_define_schema(
    room: *const tramline_room,
    schema: *const tramline_schema_id,
    definition: *const c_char,
    definition_len: usize,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles, results and bytes.
        let (local, schema, definition) = unsafe {
            let (local, schema) = arguments(room, schema)?;
            (local, schema, text::text(definition, definition_len, "definition")?)
        };
        Ok(block_on(local.define_schema(schema, definition))??)
    })
}

/// The definition of a schema that a participant has stored, which may be this one, to be freed with `tramline_string_free`. Waits for the
/// answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tramline_room_fetch_schema(
    room: *const tramline_room,
    schema: *const tramline_schema_id,
    publisher: *const c_char,
    publisher_len: usize,
    definition: *mut tramline_string,
) -> tramline_status {
    guard(|| {
        // SAFETY: the rules on handles, results and bytes.
        let (out, local, schema, publisher) = unsafe {
            let out = Out::new(definition, "definition")?;
            out.set(tramline_string::EMPTY);
            let (local, schema) = arguments(room, schema)?;
            (out, local, schema, text::text(publisher, publisher_len, "publisher")?)
        };
        out.set(tramline_string::new(&block_on(local.fetch_schema(schema, publisher))??));
        Ok(())
    })
}

/// # Safety
/// The rules on handles and bytes; `schema` is null or points to one.
unsafe fn arguments(
    room: *const tramline_room,
    schema: *const tramline_schema_id,
) -> Result<(LocalParticipant, SchemaId), Failure> {
    // SAFETY: the rules above.
    unsafe {
        let local = handle::value(room, "room")?.local_participant()?;
        let schema = schema.as_ref().ok_or_else(|| Failure::null("schema"))?.to_sdk()?;
        let schema = schema.ok_or_else(|| {
            Failure::new(
                TRAMLINE_ERR_SCHEMA_INVALID,
                "the name of a schema has 1 to 256 bytes, this one is empty",
            )
        })?;
        Ok((local, schema))
    }
}

impl From<DefineSchemaError> for Failure {
    fn from(error: DefineSchemaError) -> Self {
        let status = match &error {
            DefineSchemaError::Id(_) | DefineSchemaError::Empty => TRAMLINE_ERR_SCHEMA_INVALID,
            DefineSchemaError::LimitExceeded => TRAMLINE_ERR_SCHEMA_LIMIT_REACHED,
            DefineSchemaError::NotAvailable => TRAMLINE_ERR_SCHEMA_NOT_AVAILABLE,
            DefineSchemaError::Timeout => TRAMLINE_ERR_SCHEMA_TIMEOUT,
            DefineSchemaError::Disconnected => TRAMLINE_ERR_SCHEMA_DISCONNECTED,
            _ => TRAMLINE_ERR_SCHEMA_REFUSED,
        };
        Self::new(status, error.to_string())
    }
}

impl From<FetchSchemaError> for Failure {
    fn from(error: FetchSchemaError) -> Self {
        let status = match &error {
            FetchSchemaError::NotFound(_) => TRAMLINE_ERR_SCHEMA_NOT_FOUND,
            FetchSchemaError::NotAvailable => TRAMLINE_ERR_SCHEMA_NOT_AVAILABLE,
            FetchSchemaError::Malformed => TRAMLINE_ERR_SCHEMA_MALFORMED,
            FetchSchemaError::Timeout => TRAMLINE_ERR_SCHEMA_TIMEOUT,
            FetchSchemaError::Disconnected => TRAMLINE_ERR_SCHEMA_DISCONNECTED,
            _ => TRAMLINE_ERR_SCHEMA_REFUSED,
        };
        Self::new(status, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_cross_the_boundary_and_come_back() {
        for number in -2..12 {
            let custom = if number == CUSTOM { tramline_str::of("own") } else { tramline_str::EMPTY };
            let encoding = tramline_encoding { number, custom };
            // SAFETY: static texts.
            let frames = unsafe { encoding.to_frames() }.expect("a known number");
            assert_eq!(tramline_encoding::of_frames(frames.as_ref()).number, number);
            if number != NONE {
                // SAFETY: static texts.
                let schema = unsafe { encoding.to_schema() }.expect("a known number");
                assert_eq!(tramline_encoding::of_schema(&schema).number, number);
            }
        }
        // SAFETY: static texts.
        unsafe {
            assert_eq!(
                tramline_encoding::known(-3).to_frames().expect_err("none").status,
                TRAMLINE_ERR_INVALID_ARGUMENT
            );
            assert_eq!(
                tramline_encoding::known(NONE).to_schema().expect_err("none").status,
                TRAMLINE_ERR_INVALID_ARGUMENT
            );
        }
    }
}
