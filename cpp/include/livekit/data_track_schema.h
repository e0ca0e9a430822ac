#pragma once

/// @file
/// What the bytes of a frame mean.

#include <cstdint>
#include <string>
#include <utility>

#include <livekit/visibility.h>

namespace livekit {

/// The language that a schema is written in: one of LiveKit's, or another one by its name.
class LIVEKIT_API DataTrackSchemaEncoding {
 public:
  /// LiveKit's numbers (`DataTrackSchemaEncoding`).
  enum WellKnown : std::uint32_t {
    Protobuf = 0,    ///< A `FileDescriptorSet`.
    Flatbuffer = 1,  ///< A binary schema.
    Ros1Msg = 2,     ///< ROS 1 `.msg`.
    Ros2Msg = 3,     ///< ROS 2 `.msg`.
    Ros2Idl = 4,     ///< ROS 2 `.idl`.
    OmgIdl = 5,      ///< OMG IDL.
    JsonSchema = 6,  ///< JSON Schema.
    Other = 7,       ///< Something else.
  };

  /// One of LiveKit's.
  DataTrackSchemaEncoding(WellKnown well_known) noexcept : well_known_(well_known) {}  // NOLINT: meant to be implicit
  /// Another one; without a name it is just `Other`.
  static DataTrackSchemaEncoding custom(std::string identifier) {
    DataTrackSchemaEncoding encoding(Other);
    encoding.custom_ = std::move(identifier);
    return encoding;
  }

  /// Whether it is named.
  bool isCustom() const noexcept { return !custom_.empty(); }
  /// Which one; `Other` when it is named.
  WellKnown wellKnown() const noexcept { return well_known_; }
  /// Its name; empty when it is one of LiveKit's.
  const std::string& customIdentifier() const noexcept { return custom_; }

  /// Named ones are compared by name.
  friend bool operator==(const DataTrackSchemaEncoding& a, const DataTrackSchemaEncoding& b) noexcept {
    return a.well_known_ == b.well_known_ && a.custom_ == b.custom_;
  }
  /// See operator==.
  friend bool operator!=(const DataTrackSchemaEncoding& a, const DataTrackSchemaEncoding& b) noexcept { return !(a == b); }

 private:
  WellKnown well_known_;
  std::string custom_;
};

/// How the bytes of a frame are laid out: one of LiveKit's encodings, or another one by its name.
class LIVEKIT_API DataTrackFrameEncoding {
 public:
  /// LiveKit's numbers (`DataTrackFrameEncoding`).
  enum WellKnown : std::uint32_t {
    Ros1 = 0,        ///< ROS 1 serialisation.
    Cdr = 1,         ///< CDR, as ROS 2 and DDS have it.
    Protobuf = 2,    ///< Protobuf.
    Flatbuffer = 3,  ///< FlatBuffers.
    Cbor = 4,        ///< CBOR.
    Msgpack = 5,     ///< MessagePack.
    Json = 6,        ///< JSON.
    Other = 7,       ///< Something else.
  };

  /// One of LiveKit's.
  DataTrackFrameEncoding(WellKnown well_known) noexcept : well_known_(well_known) {}  // NOLINT: meant to be implicit
  /// Another one; without a name it is just `Other`.
  static DataTrackFrameEncoding custom(std::string identifier) {
    DataTrackFrameEncoding encoding(Other);
    encoding.custom_ = std::move(identifier);
    return encoding;
  }

  /// Whether it is named.
  bool isCustom() const noexcept { return !custom_.empty(); }
  /// Which one; `Other` when it is named.
  WellKnown wellKnown() const noexcept { return well_known_; }
  /// Its name; empty when it is one of LiveKit's.
  const std::string& customIdentifier() const noexcept { return custom_; }

  /// Named ones are compared by name.
  friend bool operator==(const DataTrackFrameEncoding& a, const DataTrackFrameEncoding& b) noexcept {
    return a.well_known_ == b.well_known_ && a.custom_ == b.custom_;
  }
  /// See operator==.
  friend bool operator!=(const DataTrackFrameEncoding& a, const DataTrackFrameEncoding& b) noexcept { return !(a == b); }

 private:
  WellKnown well_known_;
  std::string custom_;
};

/// Which schema: a name, and the language it is written in.
struct DataTrackSchemaId {
  /// Such as `sensor_msgs/msg/Imu`.
  std::string name;
  /// The language.
  DataTrackSchemaEncoding encoding = DataTrackSchemaEncoding::Other;

  /// By both.
  friend bool operator==(const DataTrackSchemaId& a, const DataTrackSchemaId& b) noexcept {
    return a.name == b.name && a.encoding == b.encoding;
  }
  /// See operator==.
  friend bool operator!=(const DataTrackSchemaId& a, const DataTrackSchemaId& b) noexcept { return !(a == b); }
};

}  // namespace livekit
