#pragma once

/// @file
/// What to publish.

#include <optional>
#include <string>

#include <livekit/data_track_schema.h>

namespace livekit {

/// What to publish.
struct DataTrackPublishOptions {
  /// 1 to 256 bytes, unique among the tracks of this participant.
  std::string name;
  /// The schema of its frames, for those who receive them.
  std::optional<DataTrackSchemaId> schema;
  /// The encoding of its frames. It must suit the schema, or publishing fails with INVALID_SCHEMA.
  std::optional<DataTrackFrameEncoding> frame_encoding;
};

}  // namespace livekit
