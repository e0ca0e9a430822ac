#pragma once

/// @file
/// The whole SDK, and its beginning and end.

#include <livekit/build.h>
#include <livekit/data_stream.h>
#include <livekit/data_track_stream.h>
#include <livekit/e2ee.h>
#include <livekit/local_participant.h>
#include <livekit/logging.h>
#include <livekit/participant.h>
#include <livekit/remote_data_track.h>
#include <livekit/remote_participant.h>
#include <livekit/room.h>
#include <livekit/room_delegate.h>
#include <livekit/room_event_types.h>
#include <livekit/rpc_error.h>
#include <livekit/stats.h>
#include <livekit/tracing.h>
#include <livekit/visibility.h>

namespace livekit {

/// Begins. Rooms can be connected from now on.
/// @return true for the first call, false when it has begun already; the log level is set either way.
LIVEKIT_API bool initialize(const LogLevel& level = LogLevel::Info);

/// Ends: leaves all rooms, without events, and waits for callbacks that run, except on its own thread. Any number of times, also when it never
/// began; initialize() works again afterwards. The log level and the log callback are as at the start again.
LIVEKIT_API void shutdown();

}  // namespace livekit
