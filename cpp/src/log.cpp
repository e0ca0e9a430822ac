#include "log.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>
#include <utility>

#include <tramline.h>

#include "text.h"

namespace livekit {
namespace internal {
namespace {

constexpr LogLevel kDefaultLevel = LogLevel::Info;

/// Where messages go. Never destroyed: threads may say something until the process ends.
struct Sink {
  std::atomic<LogLevel> level{kDefaultLevel};
  std::atomic<bool> is_running{false};
  /// Held while the callback is replaced or looked up, never while it runs.
  std::mutex mutex;
  std::shared_ptr<const LogCallback> callback;
  /// Held while the callback runs.
  std::mutex running;
};

Sink& sink() {
  static Sink* const sink = new Sink;
  return *sink;
}

/// Set while this thread is in the callback: what that one causes to be said would call it again.
thread_local bool t_is_in_callback = false;

const char* nameOf(LogLevel level) {
  switch (level) {
    case LogLevel::Trace: return "trace";
    case LogLevel::Debug: return "debug";
    case LogLevel::Info: return "info";
    case LogLevel::Warn: return "warn";
    case LogLevel::Error: return "error";
    case LogLevel::Critical: return "critical";
    case LogLevel::Off: break;
  }
  return "off";
}

std::shared_ptr<const LogCallback> callbackNow() {
  const std::lock_guard lock(sink().mutex);
  return sink().callback;
}

extern "C" void logFromBelow(void*, tramline_log_level level, const char* logger, const char* message) {
  try {
    log(static_cast<LogLevel>(level), std::string(logger) + ": " + message);
  } catch (...) {
    // Without memory for a message there is none.
  }
}

/// The library below has no level between error and off.
int32_t levelBelow(LogLevel level) { return static_cast<int32_t>(level == LogLevel::Critical ? LogLevel::Off : level); }

/// Makes the library below follow the level. Without a lock, which a callback that sets the level would wait for in vain: whoever finds that it
/// changed meanwhile does it again.
void applyLevel() {
  LogLevel applied{};
  do {
    applied = sink().level.load();
    if (sink().is_running.load()) tramline_set_log_callback(logFromBelow, nullptr, levelBelow(applied));
  } while (applied != sink().level.load());
}

}  // namespace

void log(LogLevel level, const std::string& message) noexcept {
  static const std::string logger = "livekit";
  if (level < sink().level.load(std::memory_order_relaxed) || level >= LogLevel::Off || t_is_in_callback) return;
  try {
    const std::lock_guard running(sink().running);
    // Looked up behind the lock, so that a callback that was replaced does not run any more.
    const auto callback = callbackNow();
    if (!callback) {
      std::fprintf(stderr, "[%s] [%s] %s\n", logger.c_str(), nameOf(level), message.c_str());
      return;
    }
    t_is_in_callback = true;
    try {
      (*callback)(level, logger, message);
    } catch (...) {
      // Promised in the header.
    }
    t_is_in_callback = false;
  } catch (...) {
    // A lock that fails leaves nobody to tell.
  }
}

void startLogs(LogLevel level) {
  sink().is_running.store(true);
  sink().level.store(level);
  applyLevel();
}

void stopLogs() {
  if (sink().is_running.exchange(false)) tramline_set_log_callback(nullptr, nullptr, TRAMLINE_LOG_OFF);
  sink().level.store(kDefaultLevel);
  setLogCallback(nullptr);
}

}  // namespace internal

void setLogLevel(LogLevel level) {
  internal::sink().level.store(level);
  internal::applyLevel();
}

LogLevel getLogLevel() { return internal::sink().level.load(); }

void setLogCallback(LogCallback callback) {
  auto replacement = callback ? std::make_shared<const LogCallback>(std::move(callback)) : nullptr;
  {
    const std::lock_guard lock(internal::sink().mutex);
    internal::sink().callback.swap(replacement);
  }
  // Waits for one that runs; then the one before is dropped, outside of the locks.
  if (!internal::t_is_in_callback) {
    const std::lock_guard wait(internal::sink().running);
  }
}

}  // namespace livekit
