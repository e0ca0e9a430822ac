// What a program does first: begins, joins, publishes, pushes, leaves.

#include <livekit/livekit.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  livekit::initialize(livekit::LogLevel::Warn);
  {
    livekit::Room room;
    if (!room.connect(argv[1], argv[2], livekit::RoomOptions())) return 1;
    auto track = room.localParticipant().lock()->publishDataTrack("pose");
    if (!track) return 1;
    if (!track.value()->tryPush({1, 2, 3})) return 1;
    std::printf("published %s with livekit %s\n", track.value()->info().name.c_str(), LIVEKIT_BUILD_VERSION);
  }
  livekit::shutdown();
  return 0;
}
