// Delegates and frame callbacks call back into the SDK, and wait for what they asked for.

#include <atomic>
#include <future>
#include <thread>

#include "support.h"

using namespace livekit;

namespace {

using Callbacks = SdkTest;

TEST_F(Callbacks, ADelegatePublishesSubscribesAndReads) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  const auto track = robot.publish("pose");
  const Pump pump(track, DataTrackFrame(bytes("here")));
  Client desk;
  Signal done;
  std::shared_ptr<LocalDataTrack> answer;
  std::vector<std::uint8_t> read;
  desk.events.onTrack = [&](Room& its_room, const std::shared_ptr<RemoteDataTrack>& remote) {
    // Each of them waits for the server.
    answer = its_room.localParticipant().lock()->publishDataTrack("answer").value();
    const auto stream = subscribeTo(*remote);
    DataTrackFrame frame;
    EXPECT_TRUE(stream->read(frame));
    read = frame.payload;
    EXPECT_EQ(its_room.connectionState(), ConnectionState::Connected);
    EXPECT_EQ(its_room.remoteParticipants().size(), 1U);
    done.set();
  };
  desk.join(room, "desk");
  ASSERT_TRUE(done.wait());
  EXPECT_EQ(read, bytes("here"));
  EXPECT_TRUE(robot.events.track("answer"));
}

TEST_F(Callbacks, ADelegateDisconnectsItsRoom) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  const auto track = robot.publish("pose");
  Client desk;
  Signal done;
  desk.events.onTrack = [&](Room& its_room, const auto&) {
    EXPECT_TRUE(robot.events.sees("came desk"));
    EXPECT_TRUE(its_room.disconnect());
    EXPECT_FALSE(its_room.disconnect());
    EXPECT_EQ(desk.events.count("disconnected 1"), 1U);
    EXPECT_EQ(its_room.connectionState(), ConnectionState::Disconnected);
    done.set();
  };
  desk.join(room, "desk");
  ASSERT_TRUE(done.wait());
  EXPECT_TRUE(robot.events.sees("went desk"));
  EXPECT_EQ(desk.events.count("disconnected 1"), 1U);
}

TEST_F(Callbacks, ADelegateWaitsForAThreadThatDisconnects) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  const auto track = robot.publish("pose");
  Client desk;
  Signal done;
  desk.events.onTrack = [&](Room& its_room, const auto&) {
    std::thread([&] { EXPECT_TRUE(its_room.disconnect()); }).join();
    done.set();
  };
  desk.join(room, "desk");
  ASSERT_TRUE(done.wait());
  EXPECT_EQ(desk.events.count("disconnected 1"), 1U);
}

TEST_F(Callbacks, ADelegateDestroysItsRoom) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  const auto track = robot.publish("pose");
  Recorder events;
  Signal done;
  auto room = std::make_unique<Room>();
  room->setDelegate(&events);
  events.onTrack = [&](Room&, const auto&) {
    EXPECT_TRUE(robot.events.sees("came desk"));
    room.reset();
    done.set();
  };
  ASSERT_TRUE(room->connect(testing_server::url(), testing_server::token(name, "desk"), RoomOptions()));
  ASSERT_TRUE(done.wait());
  EXPECT_TRUE(robot.events.sees("went desk"));
  // The recorder takes its note after that, and nothing more comes.
  EXPECT_TRUE(events.sees("published pose"));
  EXPECT_EQ(events.count("disconnected 1"), 1U);
}

TEST_F(Callbacks, ADelegateReplacesItselfAndConnectsAgain) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  const auto track = robot.publish("pose");
  const auto token = testing_server::token(name, "desk");
  Recorder second;
  Client desk;
  Signal done;
  desk.events.onTrack = [&](Room& its_room, const auto&) {
    its_room.setDelegate(&second);
    EXPECT_TRUE(its_room.disconnect());
    EXPECT_TRUE(its_room.connect(testing_server::url(), token, RoomOptions()));
    done.set();
  };
  desk.join(name, "desk");
  ASSERT_TRUE(done.wait());
  EXPECT_TRUE(second.sees("published pose"));
  EXPECT_EQ(second.count("disconnected 1"), 1U);
  EXPECT_EQ(desk.events.count("disconnected 1"), 0U);
  desk.room.setDelegate(nullptr);
}

TEST_F(Callbacks, WhatADelegateThrowsIsLoggedAndTheNextEventComes) {
  const auto name = testing_server::freshRoom();
  Signal logged;
  setLogCallback([&](LogLevel, const std::string&, const std::string& message) {
    if (message.find("no good") != std::string::npos) logged.set();
  });
  Client robot(name, "robot");
  Client desk;
  desk.events.onTrack = [](Room&, const auto& track) {
    if (track->info().name == "bad") throw std::runtime_error("no good");
  };
  desk.join(name, "desk");
  const auto bad = robot.publish("bad");
  ASSERT_TRUE(logged.wait());
  const auto good = robot.publish("good");
  EXPECT_TRUE(desk.events.track("good"));
  setLogCallback(nullptr);
}

TEST_F(Callbacks, FramesComeBeforeAndAfterTheTrackAndAcrossRepublishingAndSessions) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  Client desk(name, "desk");
  struct Frames {
    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::uint64_t, std::vector<std::uint8_t>> got;
    bool sees(std::uint64_t stamp) {
      std::unique_lock lock(mutex);
      return changed.wait_for(lock, kLimit, [&] { return got.count(stamp) != 0; });
    }
    DataFrameCallback callback() {
      return [this](const std::vector<std::uint8_t>& payload, std::optional<std::uint64_t> stamp) {
        const std::lock_guard lock(mutex);
        got[stamp.value_or(0)] = payload;
        changed.notify_all();
      };
    }
  };
  Frames before;
  Frames after;
  const auto first = desk.room.addOnDataFrameCallback("robot", "pose", before.callback());
  EXPECT_EQ(first, 0U);
  {
    const auto track = robot.publish("pose");
    const Pump pump(track, DataTrackFrame(bytes("one"), 1));
    EXPECT_TRUE(before.sees(1));
    EXPECT_TRUE(desk.events.track("pose"));
    EXPECT_EQ(desk.room.addOnDataFrameCallback("robot", "pose", after.callback()), 1U);
    EXPECT_TRUE(after.sees(1));
    const std::lock_guard lock(before.mutex);
    EXPECT_EQ(before.got[1], bytes("one"));
  }
  {
    const auto track = robot.publish("pose");
    const Pump pump(track, DataTrackFrame(bytes("two"), 2));
    EXPECT_TRUE(before.sees(2));
    EXPECT_TRUE(desk.room.disconnect());
  }
  desk.join(name, "desk");
  const auto track = robot.publish("pose");
  const Pump pump(track, DataTrackFrame(bytes("three"), 3));
  EXPECT_TRUE(before.sees(3));
  EXPECT_TRUE(after.sees(3));
  desk.room.removeOnDataFrameCallback(first);
  desk.room.removeOnDataFrameCallback(first);
  desk.room.removeOnDataFrameCallback(12345);
  desk.room.removeOnDataFrameCallback(1);
}

TEST_F(Callbacks, AFrameCallbackPublishesThenRemovesItselfAndLeaves) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  Client desk(name, "desk");
  const auto track = robot.publish("pose");
  const Pump pump(track, DataTrackFrame(bytes("here")));
  Signal done;
  std::shared_ptr<LocalDataTrack> answer;
  std::promise<DataFrameCallbackId> id;
  auto id_known = id.get_future();
  id.set_value(desk.room.addOnDataFrameCallback("robot", "pose", [&](const auto&, auto) {
    answer = desk.me()->publishDataTrack("answer").value();
    desk.room.removeOnDataFrameCallback(id_known.get());
    EXPECT_TRUE(desk.room.disconnect());
    done.set();
  }));
  ASSERT_TRUE(done.wait());
  EXPECT_EQ(desk.events.count("disconnected 1"), 1U);
}

TEST_F(Callbacks, NoFrameCallbackRunsAfterItsRemoval) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  Client desk(name, "desk");
  const auto track = robot.publish("pose");
  const Pump pump(track, DataTrackFrame(bytes("here")));
  for (int i = 0; i < 20; ++i) {
    Signal called;
    std::atomic<bool> is_removed{false};
    const auto id = desk.room.addOnDataFrameCallback("robot", "pose", [&](const auto&, auto) {
      EXPECT_FALSE(is_removed.load());
      called.set();
    });
    EXPECT_TRUE(called.wait());
    desk.room.removeOnDataFrameCallback(id);
    is_removed = true;
  }
}

TEST_F(Callbacks, AtMostTwentyFrameCallbacksHaveAThread) {
  const auto name = testing_server::freshRoom();
  std::atomic<int> refused{0};
  setLogCallback([&](LogLevel level, const std::string&, const std::string& message) {
    if (level == LogLevel::Error && message.find("have a thread already") != std::string::npos) ++refused;
  });
  Client robot(name, "robot");
  Client desk(name, "desk");
  const auto track = robot.publish("pose");
  ASSERT_TRUE(desk.events.track("pose"));
  for (int i = 0; i < 21; ++i) {
    EXPECT_EQ(desk.room.addOnDataFrameCallback("robot", "pose", [](const auto&, auto) {}), static_cast<DataFrameCallbackId>(i));
  }
  EXPECT_EQ(refused.load(), 1);
  EXPECT_EQ(desk.room.addOnDataFrameCallback("robot", "pose", nullptr), std::numeric_limits<DataFrameCallbackId>::max());
  setLogCallback(nullptr);
}

}  // namespace
