#pragma once

/// @file
/// What is known about a track.

#include <optional>
#include <string>

#include <livekit/data_track_schema.h>

namespace livekit {

/// What is known about a track, as it was when it was published.
struct DataTrackInfo {
  /// The publisher's name for it, unique among its tracks.
  std::string name;
  /// The server's id of it; a new one after each publishing.
  std::string sid;
  /// Whether its frames are encrypted end to end.
  bool uses_e2ee = false;
  /// The schema of its frames.
  std::optional<DataTrackSchemaId> schema;
  /// The encoding of its frames.
  std::optional<DataTrackFrameEncoding> frame_encoding;
};

}  // namespace livekit
