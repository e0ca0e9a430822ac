#include <livekit/remote_data_track.h>

#include <algorithm>
#include <new>

#include <tramline.h>

#include "errors.h"
#include "track_info.h"
#include "trace.h"

namespace livekit {
namespace {

/// What LiveKit's clients have.
constexpr std::uint32_t kBufferedFrames = 16;

}  // namespace

using SubscribeResult = Result<std::shared_ptr<DataTrackStream>, SubscribeDataTrackError>;

RemoteDataTrack::RemoteDataTrack(tramline_remote_track* track)
    : track_(track), info_(internal::trackInfo(tramline_remote_track_info, track)), publisher_(internal::copy(tramline_remote_track_publisher(track))) {}

RemoteDataTrack::~RemoteDataTrack() = default;

void RemoteDataTrack::Free::operator()(tramline_remote_track* track) const noexcept { tramline_remote_track_free(track); }

bool RemoteDataTrack::isPublished() const { return tramline_remote_track_is_published(track_.get()); }

void RemoteDataTrack::setPipelineOptions(const DataTrackPipelineOptions& options) {
  if (!options.max_partial_frames) return;
  tramline_pipeline_options below{};
  tramline_pipeline_options_defaults(&below, sizeof below);
  below.max_partial_frames = std::max<std::uint32_t>(*options.max_partial_frames, 1);
  tramline_remote_track_set_pipeline_options(track_.get(), &below);
}

SubscribeResult RemoteDataTrack::subscribe(const DataTrackStream::Options& options) {
  const internal::TraceSpan span("livekit.stream", "subscribe");
  tramline_subscribe_options below{};
  tramline_subscribe_options_defaults(&below, sizeof below);
  below.buffer_size = std::max<std::uint32_t>(options.buffer_size.value_or(kBufferedFrames), 1);
  // A reader of LiveKit's finds its frames however late it comes; the count bounds them.
  below.max_age_ms = -1;
  // And finds them in the order of publishing.
  below.late_frames = TRAMLINE_LATE_FRAMES_DROP;
  tramline_stream* stream = nullptr;
  const tramline_status status = tramline_remote_track_subscribe(track_.get(), &below, &stream);
  if (status != TRAMLINE_OK) return SubscribeResult::failure(internal::subscribeError(status));
  // Owned before anything can throw.
  std::unique_ptr<DataTrackStream> owned(new (std::nothrow) DataTrackStream(stream));
  if (!owned) {
    tramline_stream_free(stream);
    return SubscribeResult::failure(SubscribeDataTrackError{SubscribeDataTrackErrorCode::INTERNAL, "no memory"});
  }
  return SubscribeResult::success(std::shared_ptr<DataTrackStream>(std::move(owned)));
}

}  // namespace livekit
