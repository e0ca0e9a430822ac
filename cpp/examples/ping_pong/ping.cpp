// Sends a ping a second on the data track "ping", and prints how long each answer on the track "pong" took.
//
//   ping <ws-url> <token>      or LIVEKIT_URL and LIVEKIT_TOKEN; the identity of the token is ping
//
// Runs until SIGINT or SIGTERM, and then prints a summary. PING_COUNT ends it after that many, PING_INTERVAL_MS changes the second.

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <mutex>
#include <thread>

#include "common.h"

using namespace ping_pong;

namespace {

/// Pings on their way, and the times of those that came back.
class Journeys {
 public:
  void sent(std::uint64_t id, std::int64_t ns) {
    const std::lock_guard lock(mutex_);
    under_way_[id] = ns;
    ++sent_;
  }

  void answered(const std::vector<std::uint8_t>& payload) {
    const std::int64_t received_ns = nowNs();
    const auto id = number(payload, "rec_id");
    const auto pong_ns = number(payload, "ts");
    const std::lock_guard lock(mutex_);
    if (!id || !pong_ns) {
      std::cerr << "cannot parse the answer " << std::string(payload.begin(), payload.end()) << "\n";
      return;
    }
    const auto ping = under_way_.find(static_cast<std::uint64_t>(*id));
    if (ping == under_way_.end()) {
      std::cerr << "an answer to the unknown id " << *id << "\n";
      return;
    }
    const double rtt_ms = static_cast<double>(received_ns - ping->second) / 1e6;
    std::printf("id=%lld rtt_ms=%.3f pong_to_ping_ms=%.3f ping_to_pong_and_processing_ms=%.3f estimated_one_way_latency_ms=%.3f\n",
                static_cast<long long>(*id), rtt_ms, static_cast<double>(received_ns - *pong_ns) / 1e6,
                static_cast<double>(*pong_ns - ping->second) / 1e6, rtt_ms / 2);
    std::fflush(stdout);
    under_way_.erase(ping);
    rtt_ms_.push_back(rtt_ms);
    changed_.notify_all();
  }

  /// Waits until every ping was answered, at most `limit`.
  void wait(std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, limit, [this] { return under_way_.empty(); });
  }

  void printSummary() {
    const std::lock_guard lock(mutex_);
    std::sort(rtt_ms_.begin(), rtt_ms_.end());
    const auto percentile = [this](double share) {
      if (rtt_ms_.empty()) return 0.0;
      return rtt_ms_[std::min(static_cast<std::size_t>(share * static_cast<double>(rtt_ms_.size())), rtt_ms_.size() - 1)];
    };
    std::printf("sent=%llu answered=%zu lost=%zu rtt_p50_ms=%.3f rtt_p99_ms=%.3f\n", static_cast<unsigned long long>(sent_), rtt_ms_.size(),
                under_way_.size(), percentile(0.50), percentile(0.99));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t sent_ = 0;
  std::map<std::uint64_t, std::int64_t> under_way_;
  std::vector<double> rtt_ms_;
};

std::int64_t setting(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoll(text) : otherwise;
}

/// Sleeps, but not past a signal.
void pause(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!is_stopped && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::min(std::chrono::milliseconds(20), time));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto to = target(argc, argv);
  if (!to) return 1;
  stopOnSignals();
  livekit::initialize(livekit::LogLevel::Warn);
  {
    Journeys journeys;
    livekit::Room room;
    if (!room.connect(to->url, to->token, livekit::RoomOptions())) return 1;
    auto published = room.localParticipant().lock()->publishDataTrack("ping");
    if (!published) {
      std::cerr << "cannot publish: " << published.error().message << "\n";
      return 1;
    }
    const auto track = std::move(published).value();
    room.addOnDataFrameCallback("pong", "pong", [&](const std::vector<std::uint8_t>& payload, std::optional<std::uint64_t>) { journeys.answered(payload); });

    const std::int64_t count = setting("PING_COUNT", INT64_MAX);
    const std::chrono::milliseconds interval(setting("PING_INTERVAL_MS", 1000));
    for (std::int64_t id = 1; id <= count && !is_stopped; ++id) {
      const std::int64_t now = nowNs();
      journeys.sent(static_cast<std::uint64_t>(id), now);
      if (const auto pushed = track->tryPush(message("id", static_cast<std::uint64_t>(id), now)); !pushed) {
        std::cerr << "cannot push: " << pushed.error().message << "\n";
      }
      pause(interval);
    }
    journeys.wait(std::chrono::milliseconds(500));
    room.disconnect();
    journeys.printSummary();
  }
  livekit::shutdown();
  return 0;
}
