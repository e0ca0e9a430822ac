#pragma once

#include <optional>

#include <livekit/data_track_schema.h>
#include <tramline.h>

/// Encodings and schemas, which the C ABI numbers from 1 and LiveKit's C++ from 0.
namespace livekit::internal {

/// Borrows the texts.
tramline_encoding below(const DataTrackFrameEncoding& encoding);
tramline_schema_id below(const DataTrackSchemaId& schema);
/// Empty when nothing is said.
std::optional<DataTrackFrameEncoding> frameEncoding(const tramline_encoding& encoding);
std::optional<DataTrackSchemaId> schemaId(const tramline_schema_id& schema);

}  // namespace livekit::internal
