// Everything at once from many threads, for the sanitizers and valgrind.

#include <array>
#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

#include "support.h"

using namespace livekit;

namespace {

using Races = SdkTest;

/// Rounds of a test: fewer where each one is slow, as under valgrind.
int rounds(int usual) {
  const char* wanted = std::getenv("LIVEKIT_TEST_ROUNDS");
  return wanted != nullptr ? std::atoi(wanted) : usual;
}

/// A pointer that many threads take and replace.
template <typename T>
class Shared {
 public:
  std::shared_ptr<T> get() {
    const std::lock_guard lock(mutex_);
    return value_;
  }
  /// The one before is dropped outside of the lock, possibly as the last one.
  void set(std::shared_ptr<T> value) {
    const std::lock_guard lock(mutex_);
    value_.swap(value);
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<T> value_;
};

/// Calls `body` with a random number on `count` threads until it is stopped.
class Crowd {
 public:
  ~Crowd() { stop(); }
  void add(int count, const std::function<void(std::uint32_t)>& body) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, body, seed = static_cast<unsigned>(threads_.size())] {
        std::minstd_rand random(seed + 1);
        while (!is_stopped_.load()) {
          body(static_cast<std::uint32_t>(random()));
          std::this_thread::yield();
        }
      });
    }
  }
  void stop() {
    is_stopped_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  std::atomic<bool> is_stopped_{false};
  std::vector<std::thread> threads_;
};

// Pushing, publishing, unpublishing, dropping, subscribing, reading, closing: each on threads of its own.
TEST_F(Races, TracksAndStreamsSurviveEverythingAtOnce) {
  setLogLevel(LogLevel::Off);
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  Client desk(name, "desk");
  constexpr std::size_t kSlots = 3;
  std::array<Shared<LocalDataTrack>, kSlots> locals;
  std::array<Shared<RemoteDataTrack>, kSlots> remotes;
  std::array<Shared<DataTrackStream>, kSlots> streams;
  std::atomic<int> frames{0};
  std::mutex mutex;
  std::condition_variable changed;
  const auto me = robot.me();

  Crowd crowd;
  crowd.add(2, [&](std::uint32_t random) {
    if (const auto track = locals[random % kSlots].get()) {
      static_cast<void>(track->tryPush(std::vector<std::uint8_t>(random % 40'000), random));
      static_cast<void>(track->isPublished());
    }
  });
  crowd.add(1, [&](std::uint32_t random) {
    auto& slot = locals[random % kSlots];
    if (const auto track = slot.get(); track && random % 3 == 0) track->unpublishDataTrack();
    auto published = me->publishDataTrack("track-" + std::to_string(random % kSlots));
    if (published) slot.set(std::move(published).value());
    if (random % 7 == 0) slot.set(nullptr);
  });
  crowd.add(1, [&](std::uint32_t random) {
    const auto remote = remotes[random % kSlots].get();
    if (!remote) return;
    remote->setPipelineOptions({random % 9});
    if (auto subscribed = remote->subscribe()) streams[random % kSlots].set(std::move(subscribed).value());
  });
  crowd.add(3, [&](std::uint32_t random) {
    const auto stream = streams[random % kSlots].get();
    if (!stream) return;
    DataTrackFrame frame;
    if (!stream->read(frame)) return;
    ++frames;
    const std::lock_guard lock(mutex);
    changed.notify_all();
  });
  crowd.add(1, [&](std::uint32_t random) {
    if (const auto stream = streams[random % kSlots].get()) {
      static_cast<void>(stream->terminalError());
      if (random % 64 == 0) stream->close();
    }
  });
  desk.events.onTrack = nullptr;

  // Tracks are found as they come.
  class Finder : public RoomDelegate {
   public:
    explicit Finder(std::array<Shared<RemoteDataTrack>, kSlots>& slots) : slots_(slots) {}
    void onDataTrackPublished(Room&, const DataTrackPublishedEvent& event) override {
      slots_[static_cast<std::size_t>(event.track->info().name.back() - '0') % kSlots].set(event.track);
    }

   private:
    std::array<Shared<RemoteDataTrack>, kSlots>& slots_;
  };
  Finder finder(remotes);
  desk.room.setDelegate(&finder);

  const int wanted = rounds(10) * 20;
  {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, 2 * kLimit, [&] { return frames.load() >= wanted; })) << frames.load() << " frames of " << wanted;
  }
  // The session ends under all of them, and wakes those that read.
  EXPECT_TRUE(desk.room.disconnect());
  EXPECT_TRUE(robot.room.disconnect());
  for (auto& stream : streams) {
    if (const auto open = stream.get()) open->close();
  }
  crowd.stop();
  desk.room.setDelegate(nullptr);
}

// A stream dies while others read and close it, again and again.
TEST_F(Races, StreamsAreDroppedWhileTheyAreReadAndClosed) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  Client desk(name, "desk");
  const auto track = robot.publish("pose");
  const auto remote = desk.events.track("pose");
  const Pump pump(track, DataTrackFrame(std::vector<std::uint8_t>(2'000)));
  for (int i = 0; i < rounds(60); ++i) {
    auto stream = subscribeTo(*remote);
    std::vector<std::thread> threads;
    for (int j = 0; j < 2; ++j) {
      threads.emplace_back([stream] {
        DataTrackFrame frame;
        while (stream->read(frame)) {
        }
      });
    }
    threads.emplace_back([stream, &remote, i] {
      DataTrackFrame frame;
      if (i % 2 == 0) static_cast<void>(stream->read(frame));
      EXPECT_TRUE(remote->isPublished());
      stream->close();
    });
    stream.reset();
    for (auto& thread : threads) thread.join();
  }
}

// Rooms connect, are asked, disconnected and destroyed from several threads, with callbacks under way.
TEST_F(Races, RoomsComeAndGoUnderCallbacks) {
  setLogLevel(LogLevel::Off);
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  const auto track = robot.publish("pose");
  const Pump pump(track, DataTrackFrame(bytes("here")));
  const auto token = testing_server::token(name, "desk");
  for (int i = 0; i < rounds(15); ++i) {
    Recorder first;
    Recorder second;
    auto desk = std::make_unique<Room>();
    desk->setDelegate(&first);
    Signal called;
    desk->addOnDataFrameCallback("robot", "pose", [&](const auto&, auto) {
      static_cast<void>(desk->remoteParticipants());
      called.set();
    });
    ASSERT_TRUE(desk->connect(testing_server::url(), token, RoomOptions()));
    ASSERT_TRUE(called.wait());
    Crowd crowd;
    crowd.add(1, [&](std::uint32_t random) { desk->setDelegate(random % 2 == 0 ? &first : &second); });
    crowd.add(1, [&](std::uint32_t) {
      static_cast<void>(desk->roomInfo());
      if (const auto me = desk->localParticipant().lock()) static_cast<void>(me->publishDataTrack("own"));
      static_cast<void>(desk->connectionState());
    });
    crowd.add(1, [&](std::uint32_t) { desk->removeOnDataFrameCallback(desk->addOnDataFrameCallback("robot", "pose", [](const auto&, auto) {})); });
    std::vector<std::thread> leavers;
    std::atomic<int> left{0};
    for (int j = 0; j < 2; ++j) leavers.emplace_back([&] { left += desk->disconnect() ? 1 : 0; });
    for (auto& leaver : leavers) leaver.join();
    EXPECT_EQ(left.load(), 1);
    crowd.stop();
    if (i % 2 == 0) {
      EXPECT_TRUE(desk->connect(testing_server::url(), token, RoomOptions()));
    }
    desk.reset();
  }
}

// The SDK ends while rooms connect and disconnect.
TEST_F(Races, ShutdownMeetsRoomsInEveryState) {
  setLogLevel(LogLevel::Off);
  const auto name = testing_server::freshRoom();
  for (int i = 0; i < rounds(10); ++i) {
    std::vector<std::thread> threads;
    for (int j = 0; j < 3; ++j) {
      threads.emplace_back([&, j, token = testing_server::token(name, "robot-" + std::to_string(j))] {
        Room room;
        if (room.connect(testing_server::url(), token, RoomOptions()) && j == 0) room.disconnect();
      });
    }
    if (i % 2 == 1) shutdown();
    for (auto& thread : threads) thread.join();
    shutdown();
    EXPECT_TRUE(initialize(LogLevel::Off));
  }
}

}  // namespace
