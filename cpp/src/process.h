#pragma once

#include <cstdint>
#include <memory>

namespace livekit::internal {

class RoomCore;

/// Which initialize() this is; 0 while there is none. A room that finds another number after its connect has come too late.
std::uint64_t currentRun();
/// shutdown() leaves this room.
void addRoom(const std::shared_ptr<RoomCore>& room);

}  // namespace livekit::internal
