#include <livekit/local_data_track.h>

#include <exception>
#include <utility>

#include <tramline.h>

#include "errors.h"
#include "track_info.h"
#include "trace.h"

namespace livekit {

using PushResult = Result<void, LocalDataTrackTryPushError>;

LocalDataTrack::LocalDataTrack(tramline_local_track* track) : track_(track), info_(internal::trackInfo(tramline_local_track_info, track)) {}

LocalDataTrack::~LocalDataTrack() = default;

void LocalDataTrack::Free::operator()(tramline_local_track* track) const noexcept { tramline_local_track_free(track); }

PushResult LocalDataTrack::tryPush(const DataTrackFrame& frame) { return pushBytes(frame.payload.data(), frame.payload.size(), frame.user_timestamp); }

PushResult LocalDataTrack::tryPush(std::vector<std::uint8_t>&& payload, std::optional<std::uint64_t> user_timestamp) {
  // Taken over, so that the caller's is empty whatever comes of it.
  const std::vector<std::uint8_t> taken = std::move(payload);
  return pushBytes(taken.data(), taken.size(), user_timestamp);
}

PushResult LocalDataTrack::pushBytes(const std::uint8_t* data, std::size_t size, std::optional<std::uint64_t> user_timestamp) {
  const internal::TraceSpan span("livekit.data_track", "try_push");
  const tramline_status status = user_timestamp ? tramline_local_track_try_push_stamped(track_.get(), data, size, *user_timestamp)
                                                : tramline_local_track_try_push(track_.get(), data, size);
  if (status == TRAMLINE_OK) return PushResult::success();
  try {
    return PushResult::failure(internal::pushError(status));
  } catch (const std::exception&) {
    // No memory for the words.
    return PushResult::failure(LocalDataTrackTryPushError{LocalDataTrackTryPushErrorCode::INTERNAL, {}});
  }
}

bool LocalDataTrack::isPublished() const { return tramline_local_track_is_published(track_.get()); }

void LocalDataTrack::unpublishDataTrack() { tramline_local_track_unpublish(track_.get()); }

}  // namespace livekit
