#pragma once

#include <functional>
#include <thread>

namespace livekit::internal {

/// Starts a thread that takes no signals, since handlers of the application's must not run on it, and that has a name of at most 15 bytes.
/// @throws std::system_error when there is none to be had.
std::thread startThread(const char* name, std::function<void()> body);

}  // namespace livekit::internal
