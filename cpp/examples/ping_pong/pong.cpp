// Answers each ping on the data track "ping" with a pong on the track "pong".
//
//   pong <ws-url> <token>      or LIVEKIT_URL and LIVEKIT_TOKEN; the identity of the token is pong
//
// Runs until SIGINT or SIGTERM, or until the server ends the session.

#include <thread>

#include "common.h"

using namespace ping_pong;

int main(int argc, char** argv) {
  const auto to = target(argc, argv);
  if (!to) return 1;
  stopOnSignals();
  livekit::initialize(livekit::LogLevel::Warn);
  {
    livekit::Room room;
    if (!room.connect(to->url, to->token, livekit::RoomOptions())) return 1;
    auto published = room.localParticipant().lock()->publishDataTrack("pong");
    if (!published) {
      std::cerr << "cannot publish: " << published.error().message << "\n";
      return 1;
    }
    const auto track = std::move(published).value();
    room.addOnDataFrameCallback("ping", "ping", [&](const std::vector<std::uint8_t>& payload, std::optional<std::uint64_t>) {
      const auto id = number(payload, "id");
      if (!id) {
        std::cerr << "cannot parse the ping " << std::string(payload.begin(), payload.end()) << "\n";
        return;
      }
      if (const auto pushed = track->tryPush(message("rec_id", static_cast<std::uint64_t>(*id), nowNs())); !pushed) {
        std::cerr << "cannot push: " << pushed.error().message << "\n";
      }
    });
    while (!is_stopped && room.connectionState() == livekit::ConnectionState::Connected) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    room.disconnect();
  }
  livekit::shutdown();
  return 0;
}
