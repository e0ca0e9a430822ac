#include "process.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include <livekit/livekit.h>

#include "log.h"
#include "room_core.h"

namespace livekit {
namespace internal {
namespace {

/// Never destroyed: rooms may be static.
struct Process {
  std::mutex mutex;
  bool is_initialized = false;
  std::uint64_t runs = 0;
  std::vector<std::weak_ptr<RoomCore>> rooms;
};

Process& process() {
  static Process* const process = new Process;
  return *process;
}

}  // namespace

std::uint64_t currentRun() {
  const std::lock_guard lock(process().mutex);
  return process().is_initialized ? process().runs : 0;
}

void addRoom(const std::shared_ptr<RoomCore>& room) {
  const std::lock_guard lock(process().mutex);
  auto& rooms = process().rooms;
  rooms.erase(std::remove_if(rooms.begin(), rooms.end(), [](const auto& known) { return known.expired(); }), rooms.end());
  rooms.push_back(room);
}

}  // namespace internal

bool initialize(const LogLevel& level) {
  bool is_first = false;
  {
    const std::lock_guard lock(internal::process().mutex);
    is_first = !internal::process().is_initialized;
    internal::process().is_initialized = true;
    if (is_first) ++internal::process().runs;
  }
  internal::startLogs(level);
  return is_first;
}

void shutdown() {
  std::vector<std::shared_ptr<internal::RoomCore>> rooms;
  {
    const std::lock_guard lock(internal::process().mutex);
    internal::process().is_initialized = false;
    for (const auto& known : internal::process().rooms) {
      if (auto room = known.lock()) rooms.push_back(std::move(room));
    }
  }
  for (const auto& room : rooms) room->shutDown();
  internal::stopLogs();
}

}  // namespace livekit
