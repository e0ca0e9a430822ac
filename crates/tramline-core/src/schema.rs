//! What the frames of a track hold, in words that others understand: the encoding of the frames, and the schema that
//! describes them.
//!
//! The well-known names are those of the [MCAP registry](https://mcap.dev/spec/registry). Nothing here reads a frame or
//! a schema; servers and clients only pass the names on.

use std::fmt;

use livekit_protocol as proto;
use proto::data_track_frame_encoding::{Value as FrameValue, WellKnownFrameEncoding as WireFrame};
use proto::data_track_schema_encoding::{Value as SchemaValue, WellKnownSchemaEncoding as WireSchema};
use thiserror::Error;

/// Longest custom name of a frame or schema encoding, in bytes. Authors who want to reach every client stay below 25.
pub const MAX_CUSTOM_ENCODING_LEN: usize = 32;

/// Longest name of a schema, in bytes.
pub const MAX_SCHEMA_NAME_LEN: usize = 256;

/// How frames are serialised (LiveKit `DataTrackFrameEncoding`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FrameEncoding {
    /// ROS 1; needs a [`SchemaEncoding::Ros1Msg`] schema.
    Ros1,
    /// CDR; needs a [`SchemaEncoding::Ros2Msg`], [`SchemaEncoding::Ros2Idl`] or [`SchemaEncoding::OmgIdl`] schema.
    Cdr,
    /// Protocol buffers; needs a [`SchemaEncoding::Protobuf`] schema.
    Protobuf,
    /// FlatBuffers; needs a [`SchemaEncoding::Flatbuffer`] schema.
    Flatbuffer,
    /// CBOR; describes itself, takes no schema.
    Cbor,
    /// MessagePack; describes itself, takes no schema.
    Msgpack,
    /// JSON; describes itself, or has a [`SchemaEncoding::JsonSchema`] schema.
    Json,
    /// A well-known encoding that this version does not know, by LiveKit's number; 0 when a peer left it open.
    Other(i32),
    /// The application's own, 1 to 32 bytes; any schema or none.
    Custom(String),
}

/// What a schema is written in (LiveKit `DataTrackSchemaEncoding`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SchemaEncoding {
    /// Protocol buffers; describes [`FrameEncoding::Protobuf`].
    Protobuf,
    /// FlatBuffers; describes [`FrameEncoding::Flatbuffer`].
    Flatbuffer,
    /// ROS 1 messages; describes [`FrameEncoding::Ros1`].
    Ros1Msg,
    /// ROS 2 messages; describes [`FrameEncoding::Cdr`].
    Ros2Msg,
    /// ROS 2 IDL; describes [`FrameEncoding::Cdr`].
    Ros2Idl,
    /// OMG IDL; describes [`FrameEncoding::Cdr`].
    OmgIdl,
    /// JSON Schema; describes [`FrameEncoding::Json`].
    JsonSchema,
    /// A well-known encoding that this version does not know, by LiveKit's number; 0 when a peer left it open.
    Other(i32),
    /// The application's own, 1 to 32 bytes; describes custom frame encodings.
    Custom(String),
}

/// The name of a schema (LiveKit `DataTrackSchemaId`). The same name in another encoding is another schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId {
    /// 1 to 256 bytes.
    pub name: String,
    /// What the schema is written in.
    pub encoding: SchemaEncoding,
}

impl SchemaId {
    /// A schema's name.
    pub fn new(name: impl Into<String>, encoding: SchemaEncoding) -> Self {
        Self { name: name.into(), encoding }
    }

    /// Whether servers take it.
    ///
    /// # Errors
    /// The name or the custom encoding is empty or too long.
    pub fn check(&self) -> Result<(), SchemaError> {
        let len = self.name.len();
        if len == 0 || len > MAX_SCHEMA_NAME_LEN {
            return Err(SchemaError::NameLength { len });
        }
        match &self.encoding {
            SchemaEncoding::Custom(name) => check_custom("schema", name),
            _ => Ok(()),
        }
    }
}

/// Whether frames of this encoding can be published with this schema.
///
/// LiveKit's clients check the same before they ask the server, which does not.
///
/// # Errors
/// Why not; the text says what would do.
pub fn check(frames: Option<&FrameEncoding>, schema: Option<&SchemaId>) -> Result<(), SchemaError> {
    if let Some(FrameEncoding::Custom(name)) = frames {
        check_custom("frame", name)?;
    }
    if let Some(schema) = schema {
        schema.check()?;
    }
    match (frames, schema) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(SchemaError::MissingFrameEncoding),
        (Some(frames), None) if frames.needs_schema() => {
            Err(SchemaError::MissingSchema { frames: frames.clone() })
        }
        (Some(_), None) => Ok(()),
        (Some(frames), Some(schema)) if frames.takes(&schema.encoding) => Ok(()),
        (Some(frames), Some(schema)) => {
            Err(SchemaError::Incompatible { frames: frames.clone(), schema: schema.encoding.clone() })
        }
    }
}

impl FrameEncoding {
    /// The schema encodings that may describe it; `None`: any, or none at all.
    fn schemas(&self) -> Option<&'static [SchemaEncoding]> {
        match self {
            Self::Ros1 => Some(&[SchemaEncoding::Ros1Msg]),
            Self::Cdr => Some(&[SchemaEncoding::Ros2Msg, SchemaEncoding::Ros2Idl, SchemaEncoding::OmgIdl]),
            Self::Protobuf => Some(&[SchemaEncoding::Protobuf]),
            Self::Flatbuffer => Some(&[SchemaEncoding::Flatbuffer]),
            Self::Cbor | Self::Msgpack => Some(&[]),
            Self::Json => Some(&[SchemaEncoding::JsonSchema]),
            Self::Other(_) | Self::Custom(_) => None,
        }
    }

    fn needs_schema(&self) -> bool {
        matches!(self, Self::Ros1 | Self::Cdr | Self::Protobuf | Self::Flatbuffer)
    }

    fn takes(&self, schema: &SchemaEncoding) -> bool {
        self.schemas().is_none_or(|schemas| schemas.contains(schema))
    }
}

impl fmt::Display for FrameEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ros1 => f.write_str("ROS 1"),
            Self::Cdr => f.write_str("CDR"),
            Self::Protobuf => f.write_str("Protocol Buffers"),
            Self::Flatbuffer => f.write_str("FlatBuffers"),
            Self::Cbor => f.write_str("CBOR"),
            Self::Msgpack => f.write_str("MessagePack"),
            Self::Json => f.write_str("JSON"),
            Self::Other(number) => write!(f, "frame encoding {number}"),
            Self::Custom(name) => write!(f, "custom frame encoding {name:?}"),
        }
    }
}

impl fmt::Display for SchemaEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protobuf => f.write_str("Protocol Buffers"),
            Self::Flatbuffer => f.write_str("FlatBuffers"),
            Self::Ros1Msg => f.write_str("ROS 1 messages"),
            Self::Ros2Msg => f.write_str("ROS 2 messages"),
            Self::Ros2Idl => f.write_str("ROS 2 IDL"),
            Self::OmgIdl => f.write_str("OMG IDL"),
            Self::JsonSchema => f.write_str("JSON Schema"),
            Self::Other(number) => write!(f, "schema encoding {number}"),
            Self::Custom(name) => write!(f, "custom schema encoding {name:?}"),
        }
    }
}

/// Why a track cannot be published with this frame encoding and schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A schema says nothing without the encoding of the frames.
    #[error("a track with a schema needs a frame encoding too")]
    MissingFrameEncoding,
    /// Nobody can read such frames without a schema.
    #[error("{frames} frames do not describe themselves: name their schema ({})", Expected(frames))]
    MissingSchema {
        /// The encoding of the frames.
        frames: FrameEncoding,
    },
    /// The schema cannot describe such frames.
    #[error("a schema in {schema} cannot describe {frames} frames: expected {}", Expected(frames))]
    Incompatible {
        /// The encoding of the frames.
        frames: FrameEncoding,
        /// What the schema is written in.
        schema: SchemaEncoding,
    },
    /// A custom encoding's name has a length that servers refuse.
    #[error(
        "the name of a custom {what} encoding has 1 to 32 bytes (at most 25 reach every client), this one has {len}"
    )]
    CustomLength {
        /// "frame" or "schema".
        what: &'static str,
        /// The length of the name in bytes.
        len: usize,
    },
    /// The schema's name is empty or too long.
    #[error("the name of a schema has 1 to 256 bytes, this one has {len}")]
    NameLength {
        /// The length of the name in bytes.
        len: usize,
    },
}

fn check_custom(what: &'static str, name: &str) -> Result<(), SchemaError> {
    match name.len() {
        1..=MAX_CUSTOM_ENCODING_LEN => Ok(()),
        len => Err(SchemaError::CustomLength { what, len }),
    }
}

/// The schemas that frames of an encoding may have, for errors.
struct Expected<'a>(&'a FrameEncoding);

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.schemas() {
            None => f.write_str("any"),
            Some([]) => f.write_str("none"),
            Some(schemas) => {
                for (index, schema) in schemas.iter().enumerate() {
                    let separator = if index == 0 { "" } else { " or " };
                    write!(f, "{separator}{schema}")?;
                }
                Ok(())
            }
        }
    }
}

// ---- On the wire.

impl From<proto::DataTrackFrameEncoding> for FrameEncoding {
    fn from(encoding: proto::DataTrackFrameEncoding) -> Self {
        let number = match encoding.value {
            Some(FrameValue::Custom(name)) => return Self::Custom(name),
            Some(FrameValue::WellKnown(number)) => number,
            None => 0,
        };
        match WireFrame::try_from(number) {
            Ok(WireFrame::Ros1) => Self::Ros1,
            Ok(WireFrame::Cdr) => Self::Cdr,
            Ok(WireFrame::Protobuf) => Self::Protobuf,
            Ok(WireFrame::Flatbuffer) => Self::Flatbuffer,
            Ok(WireFrame::Cbor) => Self::Cbor,
            Ok(WireFrame::Msgpack) => Self::Msgpack,
            Ok(WireFrame::Json) => Self::Json,
            Ok(WireFrame::Unspecified) | Err(_) => Self::Other(number),
        }
    }
}

impl From<FrameEncoding> for proto::DataTrackFrameEncoding {
    fn from(encoding: FrameEncoding) -> Self {
        let value = match encoding {
            FrameEncoding::Ros1 => FrameValue::WellKnown(WireFrame::Ros1 as i32),
            FrameEncoding::Cdr => FrameValue::WellKnown(WireFrame::Cdr as i32),
            FrameEncoding::Protobuf => FrameValue::WellKnown(WireFrame::Protobuf as i32),
            FrameEncoding::Flatbuffer => FrameValue::WellKnown(WireFrame::Flatbuffer as i32),
            FrameEncoding::Cbor => FrameValue::WellKnown(WireFrame::Cbor as i32),
            FrameEncoding::Msgpack => FrameValue::WellKnown(WireFrame::Msgpack as i32),
            FrameEncoding::Json => FrameValue::WellKnown(WireFrame::Json as i32),
            FrameEncoding::Other(number) => FrameValue::WellKnown(number),
            FrameEncoding::Custom(name) => FrameValue::Custom(name),
        };
        Self { value: Some(value) }
    }
}

impl From<proto::DataTrackSchemaEncoding> for SchemaEncoding {
    fn from(encoding: proto::DataTrackSchemaEncoding) -> Self {
        let number = match encoding.value {
            Some(SchemaValue::Custom(name)) => return Self::Custom(name),
            Some(SchemaValue::WellKnown(number)) => number,
            None => 0,
        };
        match WireSchema::try_from(number) {
            Ok(WireSchema::Protobuf) => Self::Protobuf,
            Ok(WireSchema::Flatbuffer) => Self::Flatbuffer,
            Ok(WireSchema::Ros1Msg) => Self::Ros1Msg,
            Ok(WireSchema::Ros2Msg) => Self::Ros2Msg,
            Ok(WireSchema::Ros2Idl) => Self::Ros2Idl,
            Ok(WireSchema::OmgIdl) => Self::OmgIdl,
            Ok(WireSchema::JsonSchema) => Self::JsonSchema,
            Ok(WireSchema::Unspecified) | Err(_) => Self::Other(number),
        }
    }
}

impl From<SchemaEncoding> for proto::DataTrackSchemaEncoding {
    fn from(encoding: SchemaEncoding) -> Self {
        let value = match encoding {
            SchemaEncoding::Protobuf => SchemaValue::WellKnown(WireSchema::Protobuf as i32),
            SchemaEncoding::Flatbuffer => SchemaValue::WellKnown(WireSchema::Flatbuffer as i32),
            SchemaEncoding::Ros1Msg => SchemaValue::WellKnown(WireSchema::Ros1Msg as i32),
            SchemaEncoding::Ros2Msg => SchemaValue::WellKnown(WireSchema::Ros2Msg as i32),
            SchemaEncoding::Ros2Idl => SchemaValue::WellKnown(WireSchema::Ros2Idl as i32),
            SchemaEncoding::OmgIdl => SchemaValue::WellKnown(WireSchema::OmgIdl as i32),
            SchemaEncoding::JsonSchema => SchemaValue::WellKnown(WireSchema::JsonSchema as i32),
            SchemaEncoding::Other(number) => SchemaValue::WellKnown(number),
            SchemaEncoding::Custom(name) => SchemaValue::Custom(name),
        };
        Self { value: Some(value) }
    }
}

impl From<proto::DataTrackSchemaId> for SchemaId {
    fn from(schema: proto::DataTrackSchemaId) -> Self {
        let encoding = schema.encoding.map_or(SchemaEncoding::Other(0), SchemaEncoding::from);
        Self { name: schema.name, encoding }
    }
}

impl From<SchemaId> for proto::DataTrackSchemaId {
    fn from(schema: SchemaId) -> Self {
        Self { name: schema.name, encoding: Some(schema.encoding.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of protocol numbers: frame encodings 0 to 8 (8 is unknown here), for each the schema encodings 0 to 8
    /// that go with it, and whether none does.
    const TABLE: [(i32, &[i32], bool); 9] = [
        (0, &[0, 1, 2, 3, 4, 5, 6, 7, 8], true),
        (1, &[3], false),
        (2, &[4, 5, 6], false),
        (3, &[1], false),
        (4, &[2], false),
        (5, &[], true),
        (6, &[], true),
        (7, &[7], true),
        (8, &[0, 1, 2, 3, 4, 5, 6, 7, 8], true),
    ];

    #[test]
    fn encodings_go_together_as_the_table_says() {
        for (frames, schemas, none) in TABLE {
            let frames = frames_of(frames);
            assert_eq!(check(Some(&frames), None).is_ok(), none, "{frames} without a schema");
            for number in 0..=8 {
                let schema = SchemaId::new("s", schema_of(number));
                let result = check(Some(&frames), Some(&schema));
                assert_eq!(result.is_ok(), schemas.contains(&number), "{frames} with {}", schema.encoding);
            }
            let custom = SchemaId::new("s", SchemaEncoding::Custom("x".into()));
            assert_eq!(check(Some(&frames), Some(&custom)).is_ok(), schemas.len() == 9, "{frames}");
            assert_eq!(check(Some(&FrameEncoding::Custom("x".into())), Some(&custom)), Ok(()));
        }
        let schema = SchemaId::new("s", SchemaEncoding::Protobuf);
        assert_eq!(check(None, Some(&schema)), Err(SchemaError::MissingFrameEncoding));
        assert_eq!(check(None, None), Ok(()));
    }

    #[test]
    fn errors_name_what_was_given_and_what_would_do() {
        let schema = SchemaId::new("s", SchemaEncoding::Custom("mine".into()));
        let error = check(Some(&FrameEncoding::Cdr), Some(&schema)).expect_err("incompatible");
        assert_eq!(
            error.to_string(),
            "a schema in custom schema encoding \"mine\" cannot describe CDR frames: expected ROS 2 messages or ROS 2 IDL \
             or OMG IDL"
        );
        let error = check(Some(&FrameEncoding::Cbor), Some(&schema)).expect_err("no schema allowed");
        assert!(error.to_string().ends_with("cannot describe CBOR frames: expected none"), "{error}");
        let error = check(Some(&FrameEncoding::Protobuf), None).expect_err("needs one");
        assert!(error.to_string().ends_with("name their schema (Protocol Buffers)"), "{error}");
    }

    #[test]
    fn names_are_as_long_as_servers_take_them() {
        let custom = |len| FrameEncoding::Custom("x".repeat(len));
        assert_eq!(check(Some(&custom(32)), None), Ok(()));
        for len in [0, 33] {
            let error = Err(SchemaError::CustomLength { what: "frame", len });
            assert_eq!(check(Some(&custom(len)), None), error);
            let schema = SchemaId::new("s", SchemaEncoding::Custom("x".repeat(len)));
            let error = Err(SchemaError::CustomLength { what: "schema", len });
            assert_eq!(check(Some(&custom(1)), Some(&schema)), error);
        }
        let named = |len| SchemaId::new("n".repeat(len), SchemaEncoding::Protobuf);
        assert_eq!(named(256).check(), Ok(()));
        assert_eq!(named(0).check(), Err(SchemaError::NameLength { len: 0 }));
        assert_eq!(named(257).check(), Err(SchemaError::NameLength { len: 257 }));
    }

    #[test]
    fn every_encoding_comes_back_from_the_wire_as_it_went() {
        for number in -1..=9 {
            let wire = proto::DataTrackFrameEncoding { value: Some(FrameValue::WellKnown(number)) };
            assert_eq!(proto::DataTrackFrameEncoding::from(FrameEncoding::from(wire.clone())), wire);
            let wire = proto::DataTrackSchemaEncoding { value: Some(SchemaValue::WellKnown(number)) };
            assert_eq!(proto::DataTrackSchemaEncoding::from(SchemaEncoding::from(wire.clone())), wire);
        }
        assert_eq!((frames_of(1), frames_of(7)), (FrameEncoding::Ros1, FrameEncoding::Json));
        assert_eq!((schema_of(1), schema_of(7)), (SchemaEncoding::Protobuf, SchemaEncoding::JsonSchema));
        assert_eq!((frames_of(8), schema_of(0)), (FrameEncoding::Other(8), SchemaEncoding::Other(0)));
        let schema = SchemaId::new("s", SchemaEncoding::Custom("mine".into()));
        assert_eq!(SchemaId::from(proto::DataTrackSchemaId::from(schema.clone())), schema);
        let frames = FrameEncoding::Custom("mine".into());
        assert_eq!(FrameEncoding::from(proto::DataTrackFrameEncoding::from(frames.clone())), frames);
        assert_eq!(
            SchemaId::from(proto::DataTrackSchemaId::default()),
            SchemaId::new("", SchemaEncoding::Other(0))
        );
    }

    fn frames_of(number: i32) -> FrameEncoding {
        proto::DataTrackFrameEncoding { value: Some(FrameValue::WellKnown(number)) }.into()
    }

    fn schema_of(number: i32) -> SchemaEncoding {
        proto::DataTrackSchemaEncoding { value: Some(SchemaValue::WellKnown(number)) }.into()
    }
}
