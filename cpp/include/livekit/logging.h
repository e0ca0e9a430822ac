#pragma once

/// @file
/// What the library says, and to whom.

#include <functional>
#include <string>

#include <livekit/visibility.h>

namespace livekit {

/// How much a message matters.
enum class LogLevel {
  Trace = 0,     ///< Each packet.
  Debug = 1,     ///< Each change of state.
  Info = 2,      ///< What a user sees.
  Warn = 3,      ///< Something is not as it should be, and goes on.
  Error = 4,     ///< Something failed.
  Critical = 5,  ///< Nothing is said at this level; as a threshold it means silence below it.
  Off = 6,       ///< Nothing at all.
};

/// Takes a message. The name of the logger is "livekit".
using LogCallback = std::function<void(LogLevel level, const std::string& logger_name, const std::string& message)>;

/// Messages below `level` are not made any more. Any thread.
LIVEKIT_API void setLogLevel(LogLevel level);
/// The least level that is said now. `Info` until it is set, and again after shutdown().
LIVEKIT_API LogLevel getLogLevel();

/// Hands messages to `callback` instead of stderr; an empty one restores that. Any thread.
///
/// The callback is never called twice at once, and may run on a thread of the library's: it should be quick. When this returns, the one before
/// does not run any more, except when it is the one that calls this. An exception that leaves it is dropped.
LIVEKIT_API void setLogCallback(LogCallback callback);

}  // namespace livekit
