#pragma once

/// @file
/// One frame.

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <livekit/visibility.h>

namespace livekit {

/// One frame of a data track. A received one can be pushed on another track as it is.
struct DataTrackFrame {
  /// The payload, at most 2,046,464 bytes.
  std::vector<std::uint8_t> payload;
  /// A time stamp of the application's own; by convention milliseconds since 1970.
  std::optional<std::uint64_t> user_timestamp;

  DataTrackFrame() = default;
  DataTrackFrame(const DataTrackFrame&) = default;
  DataTrackFrame& operator=(const DataTrackFrame&) = default;
  DataTrackFrame(DataTrackFrame&&) noexcept = default;
  DataTrackFrame& operator=(DataTrackFrame&&) noexcept = default;
  ~DataTrackFrame() = default;
  /// A frame of these bytes, which are not copied.
  explicit DataTrackFrame(std::vector<std::uint8_t>&& bytes, std::optional<std::uint64_t> timestamp = std::nullopt) noexcept
      : payload(std::move(bytes)), user_timestamp(timestamp) {}
};

}  // namespace livekit
