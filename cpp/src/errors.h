#pragma once

#include <livekit/data_track_error.h>
#include <tramline.h>

/// Statuses of the C ABI as LiveKit's typed errors. The message is the last one of the calling thread, so ask at once.
namespace livekit::internal {

PublishDataTrackError publishError(tramline_status status);
LocalDataTrackTryPushError pushError(tramline_status status);
SubscribeDataTrackError subscribeError(tramline_status status);
/// Whether a stream with this status could not be set up, as opposed to one that came to its end.
bool isSubscribeFailure(tramline_status status);

}  // namespace livekit::internal
