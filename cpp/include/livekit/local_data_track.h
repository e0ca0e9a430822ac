#pragma once

/// @file
/// A track that this participant publishes.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <livekit/data_track_error.h>
#include <livekit/data_track_frame.h>
#include <livekit/data_track_info.h>
#include <livekit/result.h>
#include <livekit/visibility.h>

struct tramline_local_track;

namespace livekit {

/// A data track that this participant publishes, made by LocalParticipant::publishDataTrack().
///
/// Push frames with tryPush(), from any threads. Dropping the last pointer to it unpublishes it. It may outlive its room, and says then that it
/// is not published.
class LIVEKIT_API LocalDataTrack {
 public:
  ~LocalDataTrack();
  LocalDataTrack(const LocalDataTrack&) = delete;
  LocalDataTrack& operator=(const LocalDataTrack&) = delete;

  /// What it is. Does not change.
  const DataTrackInfo& info() const noexcept { return info_; }

  /// Queues `frame`, which may be one that was received. Never blocks, never throws; any thread.
  ///
  /// When the queue is full, the oldest frames that have not started to leave are dropped and counted.
  Result<void, LocalDataTrackTryPushError> tryPush(const DataTrackFrame& frame);
  /// As above, for bytes that the caller does not need any more.
  Result<void, LocalDataTrackTryPushError> tryPush(std::vector<std::uint8_t>&& payload,
                                                   std::optional<std::uint64_t> user_timestamp = std::nullopt);
  /// As above, for `size` bytes at `data` (`uint8_t`, `std::byte` or `char`), which are copied once, into the packets that leave.
  ///
  /// A template, so that `tryPush({}, 7)` stays an empty payload with a time stamp and never becomes a null pointer with a length.
  template <typename Byte, typename = std::enable_if_t<std::is_same_v<Byte, std::uint8_t> || std::is_same_v<Byte, std::byte> || std::is_same_v<Byte, char>>>
  Result<void, LocalDataTrackTryPushError> tryPush(const Byte* data, std::size_t size,
                                                   std::optional<std::uint64_t> user_timestamp = std::nullopt) {
    return pushBytes(reinterpret_cast<const std::uint8_t*>(data), size, user_timestamp);
  }

  /// Whether frames are still taken.
  bool isPublished() const;
  /// Ends the track for everybody; idempotent. Frames that were taken before are sent first. Does not wait.
  void unpublishDataTrack();

 private:
  friend class LocalParticipant;
  /// Takes the handle over.
  explicit LocalDataTrack(tramline_local_track* track);
  Result<void, LocalDataTrackTryPushError> pushBytes(const std::uint8_t* data, std::size_t size, std::optional<std::uint64_t> user_timestamp);

  struct Free {
    void operator()(tramline_local_track* track) const noexcept;
  };
  std::unique_ptr<tramline_local_track, Free> track_;
  DataTrackInfo info_;
};

}  // namespace livekit
