// Below the example of the README: pings it until an answer comes.

#include <atomic>
#include <future>

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  livekit::initialize(livekit::LogLevel::Warn);
  bool is_answered = false;
  {
    livekit::Room room;
    std::promise<void> answer;
    auto answered = answer.get_future();
    std::atomic<bool> is_set{false};
    room.addOnDataFrameCallback("echo", "pong", [&](const std::vector<std::uint8_t>& payload, std::optional<std::uint64_t> stamp) {
      if (payload == std::vector<std::uint8_t>{1, 2, 3} && stamp == 4U && !is_set.exchange(true)) answer.set_value();
    });
    if (!room.connect(argv[1], argv[2], livekit::RoomOptions())) return 1;
    const auto ping = room.localParticipant().lock()->publishDataTrack("ping");
    livekit::Room other;
    if (!ping || !echo(other, argv[1], argv[3])) return 1;
    // The wait is the pace: frames before the subscription has begun do not come.
    for (int i = 0; i < 3000 && !is_answered; ++i) {
      if (!ping.value()->tryPush({1, 2, 3}, 4)) return 1;
      is_answered = answered.wait_for(std::chrono::milliseconds(20)) == std::future_status::ready;
    }
  }
  livekit::shutdown();
  return is_answered ? 0 : 1;
}
