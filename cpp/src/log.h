#pragma once

#include <string>

#include <livekit/logging.h>

/// What the SDK itself says, on the way of setLogCallback() or to stderr.
namespace livekit::internal {

void log(LogLevel level, const std::string& message) noexcept;

/// Takes messages from the library below, from now on; until stopLogs().
void startLogs(LogLevel level);
/// No message comes any more; level and callback are as at the start.
void stopLogs();

}  // namespace livekit::internal
