#pragma once

/// @file
/// A time line of the SDK's own calls, for chrome://tracing or Perfetto.

#include <string>
#include <vector>

#include <livekit/visibility.h>

namespace livekit {

/// Writes what the SDK does to the file at `path`, as Chrome's JSON trace events, until stopTracing().
///
/// `categories` chooses among `livekit.room`, `livekit.data_track`, `livekit.stream` and `livekit.callback`; a `*` at the end stands for any
/// rest, and none at all for everything.
/// @return false when a trace is being written already, or the file cannot be.
LIVEKIT_API bool startTracing(const std::string& path, const std::vector<std::string>& categories = {});
/// Ends the trace and completes the file; nothing when there is none.
LIVEKIT_API void stopTracing();
/// Whether a trace is being written.
LIVEKIT_API bool isTracingEnabled();

}  // namespace livekit
