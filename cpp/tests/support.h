#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <livekit/livekit.h>

#include "server.h"

/// Ends what hangs, and measures nothing.
constexpr std::chrono::seconds kLimit{60};

/// A flag that threads wait for.
class Signal {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    is_set_ = true;
    changed_.notify_all();
  }
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLimit, [this] { return is_set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_set_ = false;
};

/// Keeps what a room tells, in words, and lets a test wait for it.
class Recorder : public livekit::RoomDelegate {
 public:
  void onConnectionStateChanged(livekit::Room&, const livekit::ConnectionStateChangedEvent& event) override {
    note(event.state == livekit::ConnectionState::Connected ? "state connected" : "state disconnected");
  }
  void onDisconnected(livekit::Room&, const livekit::DisconnectedEvent& event) override {
    note("disconnected " + std::to_string(static_cast<int>(event.reason)));
  }
  void onRoomEos(livekit::Room&, const livekit::RoomEosEvent&) override { note("eos"); }
  void onParticipantConnected(livekit::Room&, const livekit::ParticipantConnectedEvent& event) override {
    note("came " + event.participant->identity());
  }
  void onParticipantDisconnected(livekit::Room&, const livekit::ParticipantDisconnectedEvent& event) override {
    note("went " + event.participant->identity());
  }
  void onDataTrackPublished(livekit::Room& room, const livekit::DataTrackPublishedEvent& event) override {
    if (onTrack) onTrack(room, event.track);
    {
      const std::lock_guard lock(mutex_);
      tracks_[event.track->info().name] = event.track;
    }
    note("published " + event.track->info().name);
  }
  void onDataTrackUnpublished(livekit::Room&, const livekit::DataTrackUnpublishedEvent& event) override { note("unpublished " + event.sid); }

  /// Called for each track, on the thread of the delegate; set before the room is connected.
  std::function<void(livekit::Room&, const std::shared_ptr<livekit::RemoteDataTrack>&)> onTrack;

  /// Waits until `what` was told.
  [[nodiscard]] bool sees(const std::string& what) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLimit, [&] { return countLocked(what) != 0; });
  }
  std::size_t count(const std::string& what) {
    const std::lock_guard lock(mutex_);
    return countLocked(what);
  }
  std::vector<std::string> told() {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  /// Waits for a track of this name.
  std::shared_ptr<livekit::RemoteDataTrack> track(const std::string& name) {
    if (!sees("published " + name)) return nullptr;
    const std::lock_guard lock(mutex_);
    return tracks_[name];
  }

 protected:
  void note(std::string what) {
    const std::lock_guard lock(mutex_);
    told_.push_back(std::move(what));
    changed_.notify_all();
  }

 private:
  std::size_t countLocked(const std::string& what) const {
    return static_cast<std::size_t>(std::count(told_.begin(), told_.end(), what));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> told_;
  std::map<std::string, std::shared_ptr<livekit::RemoteDataTrack>> tracks_;
};

/// A room and its delegate, connected.
struct Client {
  explicit Client(const std::string& room_name, const std::string& identity, const std::string& token_options = "") {
    room.setDelegate(&events);
    join(room_name, identity, token_options);
  }
  Client() { room.setDelegate(&events); }

  void join(const std::string& room_name, const std::string& identity, const std::string& token_options = "") {
    ASSERT_TRUE(room.connect(testing_server::url(), testing_server::token(room_name, identity, token_options), livekit::RoomOptions()));
  }
  std::shared_ptr<livekit::LocalParticipant> me() { return room.localParticipant().lock(); }
  /// Publishes, and expects that to go well.
  std::shared_ptr<livekit::LocalDataTrack> publish(const std::string& name) {
    auto published = me()->publishDataTrack(name);
    if (!published) {
      ADD_FAILURE() << "publishing " << name << ": " << published.error().message;
      return nullptr;
    }
    return std::move(published).value();
  }

  // Destroyed after the room, which tells it of its end.
  Recorder events;
  livekit::Room room;
};

/// Subscribes, and expects that to go well.
inline std::shared_ptr<livekit::DataTrackStream> subscribeTo(livekit::RemoteDataTrack& track, const livekit::DataTrackStream::Options& options = {}) {
  auto subscribed = track.subscribe(options);
  if (!subscribed) {
    ADD_FAILURE() << "subscribing to " << track.info().name << ": " << subscribed.error().message;
    return nullptr;
  }
  return std::move(subscribed).value();
}

/// Does something again and again, as long as it lives. A frame may be lost, or dropped for its age on a busy machine, and one that is pushed before
/// the server has started a subscription does not come: what a test waits for is pushed until it is there.
class Pump {
 public:
  explicit Pump(std::function<void()> push)
      : thread_([this, push = std::move(push)] {
          std::unique_lock lock(mutex_);
          // The wait is the pace.
          while (!changed_.wait_for(lock, std::chrono::milliseconds(5), [this] { return is_stopped_; })) push();
        }) {}
  Pump(std::shared_ptr<livekit::LocalDataTrack> track, livekit::DataTrackFrame frame)
      : Pump([track = std::move(track), frame = std::move(frame)] { static_cast<void>(track->tryPush(frame)); }) {}
  ~Pump() {
    {
      const std::lock_guard lock(mutex_);
      is_stopped_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_stopped_ = false;
  std::thread thread_;
};

inline std::vector<std::uint8_t> bytes(const std::string& text) { return {text.begin(), text.end()}; }

/// Returns when frames of `from` arrive at `to`; some may still be on their way then, all of them the text "warm-up".
inline void warmUp(const std::shared_ptr<livekit::LocalDataTrack>& from, livekit::DataTrackStream& to) {
  const Pump pump(from, livekit::DataTrackFrame(bytes("warm-up")));
  livekit::DataTrackFrame frame;
  EXPECT_TRUE(to.read(frame));
}

/// The next frame that is not of the warm-up.
inline bool readNext(livekit::DataTrackStream& from, livekit::DataTrackFrame& frame) {
  do {
    if (!from.read(frame)) return false;
  } while (frame.payload == bytes("warm-up"));
  return true;
}

/// Begins and ends the SDK around each test.
class SdkTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(livekit::initialize(livekit::LogLevel::Warn)); }
  void TearDown() override { livekit::shutdown(); }
};
