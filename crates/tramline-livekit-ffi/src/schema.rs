//! Schemas and encodings, between messages and the SDK.

use tramline::{FrameEncoding, SchemaEncoding, SchemaId};

use crate::proto::{
    DataTrackFrameEncoding, DataTrackSchemaEncoding, DataTrackSchemaId, data_track_frame_encoding as frame,
    data_track_schema_encoding as schema,
};

/// The schema that a wrapper names. An encoding that it leaves open is a number that no encoding has, which the checks refuse.
pub(crate) fn id(message: DataTrackSchemaId) -> SchemaId {
    use schema::{Encoding, WellKnownSchemaEncoding as Known};
    let encoding = match message.encoding.and_then(|encoding| encoding.encoding) {
        Some(Encoding::Custom(name)) => SchemaEncoding::Custom(name),
        Some(Encoding::WellKnown(number)) => match Known::try_from(number) {
            Ok(Known::Protobuf) => SchemaEncoding::Protobuf,
            Ok(Known::Flatbuffer) => SchemaEncoding::Flatbuffer,
            Ok(Known::Ros1Msg) => SchemaEncoding::Ros1Msg,
            Ok(Known::Ros2Msg) => SchemaEncoding::Ros2Msg,
            Ok(Known::Ros2Idl) => SchemaEncoding::Ros2Idl,
            Ok(Known::OmgIdl) => SchemaEncoding::OmgIdl,
            Ok(Known::JsonSchema) => SchemaEncoding::JsonSchema,
            Ok(Known::Unspecified) | Err(_) => SchemaEncoding::Other(number),
        },
        None => SchemaEncoding::Other(0),
    };
    SchemaId::new(message.name, encoding)
}

pub(crate) fn id_message(schema: &SchemaId) -> DataTrackSchemaId {
    use schema::{Encoding, WellKnownSchemaEncoding as Known};
    let known = |known: Known| Encoding::WellKnown(known as i32);
    let encoding = match &schema.encoding {
        SchemaEncoding::Custom(name) => Encoding::Custom(name.clone()),
        SchemaEncoding::Protobuf => known(Known::Protobuf),
        SchemaEncoding::Flatbuffer => known(Known::Flatbuffer),
        SchemaEncoding::Ros1Msg => known(Known::Ros1Msg),
        SchemaEncoding::Ros2Msg => known(Known::Ros2Msg),
        SchemaEncoding::Ros2Idl => known(Known::Ros2Idl),
        SchemaEncoding::OmgIdl => known(Known::OmgIdl),
        SchemaEncoding::JsonSchema => known(Known::JsonSchema),
        // Whoever parses this knows no more names than we do.
        _ => known(Known::Unspecified),
    };
    let encoding = Some(DataTrackSchemaEncoding { encoding: Some(encoding) });
    DataTrackSchemaId { name: schema.name.clone(), encoding }
}

/// What the frames of a track hold, when the wrapper says so.
pub(crate) fn frame_encoding(message: DataTrackFrameEncoding) -> Option<FrameEncoding> {
    use frame::{Encoding, WellKnownFrameEncoding as Known};
    Some(match message.encoding? {
        Encoding::Custom(name) => FrameEncoding::Custom(name),
        Encoding::WellKnown(number) => match Known::try_from(number) {
            Ok(Known::Ros1) => FrameEncoding::Ros1,
            Ok(Known::Cdr) => FrameEncoding::Cdr,
            Ok(Known::Protobuf) => FrameEncoding::Protobuf,
            Ok(Known::Flatbuffer) => FrameEncoding::Flatbuffer,
            Ok(Known::Cbor) => FrameEncoding::Cbor,
            Ok(Known::Msgpack) => FrameEncoding::Msgpack,
            Ok(Known::Json) => FrameEncoding::Json,
            Ok(Known::Unspecified) | Err(_) => FrameEncoding::Other(number),
        },
    })
}

pub(crate) fn frame_message(encoding: &FrameEncoding) -> DataTrackFrameEncoding {
    use frame::{Encoding, WellKnownFrameEncoding as Known};
    let known = |known: Known| Encoding::WellKnown(known as i32);
    let encoding = match encoding {
        FrameEncoding::Custom(name) => Encoding::Custom(name.clone()),
        FrameEncoding::Ros1 => known(Known::Ros1),
        FrameEncoding::Cdr => known(Known::Cdr),
        FrameEncoding::Protobuf => known(Known::Protobuf),
        FrameEncoding::Flatbuffer => known(Known::Flatbuffer),
        FrameEncoding::Cbor => known(Known::Cbor),
        FrameEncoding::Msgpack => known(Known::Msgpack),
        FrameEncoding::Json => known(Known::Json),
        // Whoever parses this knows no more names than we do.
        _ => known(Known::Unspecified),
    };
    DataTrackFrameEncoding { encoding: Some(encoding) }
}
