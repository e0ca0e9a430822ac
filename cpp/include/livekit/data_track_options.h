#pragma once

/// @file
/// What to publish.

#include <cstdint>
#include <optional>
#include <string>

#include <livekit/data_track_schema.h>

namespace livekit {

/// Which of the own tracks go first when the link has not room for all of them. Tramline's own; LiveKit's library has no priorities.
enum class DataTrackPriority : std::int8_t {
  Background = -1,  ///< Only what the others leave.
  Normal = 0,       ///< Shares with the others of its kind.
  High = 1,         ///< Before the normal ones.
  Critical = 2,     ///< Before everything: commands, emergency stops. Keep it small.
};

/// What is done about losses on the way to the server. Tramline's own; LiveKit's library repairs nothing.
enum class DataTrackRepair : std::uint8_t {
  Auto = 0,    ///< Spares of small frames; lost packets of larger frames are sent again in time.
  Off = 1,     ///< Nothing.
  Always = 2,  ///< Small frames are sent again as well, which costs those that come too late to be in order.
};

/// What to publish.
struct DataTrackPublishOptions {
  /// 1 to 256 bytes, unique among the tracks of this participant.
  std::string name;
  /// The schema of its frames, for those who receive them.
  std::optional<DataTrackSchemaId> schema;
  /// The encoding of its frames. It must suit the schema, or publishing fails with INVALID_SCHEMA.
  std::optional<DataTrackFrameEncoding> frame_encoding;
  /// Which of the own tracks go first.
  DataTrackPriority priority = DataTrackPriority::Normal;
  /// What is done about losses.
  DataTrackRepair repair = DataTrackRepair::Auto;
};

}  // namespace livekit
