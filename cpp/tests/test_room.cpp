// Rooms: joining, who is there, leaving.

#include <sstream>
#include <thread>

#include "support.h"

using namespace livekit;

namespace {

using Rooms = SdkTest;

TEST_F(Rooms, ConnectTellsAndTheOthersAreThere) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot", "--name Marvin --metadata brain --attribute role=arm --attribute side=left");
  Client desk(name, "desk");
  EXPECT_TRUE(robot.events.sees("state connected"));
  EXPECT_TRUE(robot.events.sees("came desk"));
  EXPECT_EQ(desk.events.count("came robot"), 0U);
  EXPECT_EQ(desk.room.connectionState(), ConnectionState::Connected);
  EXPECT_EQ(desk.room.roomInfo().name, name);
  ASSERT_TRUE(desk.room.roomInfo().sid.has_value());
  EXPECT_EQ(desk.room.roomInfo().sid->rfind("RM_", 0), 0U);

  const auto me = robot.me();
  ASSERT_TRUE(me);
  EXPECT_EQ(me->identity(), "robot");
  EXPECT_EQ(me->kind(), ParticipantKind::Standard);
  const auto seen = desk.room.remoteParticipant("robot").lock();
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->name(), "Marvin");
  EXPECT_EQ(seen->metadata(), "brain");
  EXPECT_EQ(seen->attributes().at("role"), "arm");
  EXPECT_EQ(seen->attributes().size(), 2U);
  EXPECT_EQ(seen->sid(), me->sid());
  EXPECT_NE(seen->ffiHandleId(), me->ffiHandleId());
  EXPECT_EQ(seen->disconnectReason(), DisconnectReason::Unknown);
  std::ostringstream text;
  text << *seen;
  EXPECT_EQ(text.str(), seen->toString());
  EXPECT_NE(text.str().find("robot"), std::string::npos);
  EXPECT_TRUE(desk.room.remoteParticipant("nobody").expired());
  EXPECT_EQ(desk.room.remoteParticipants().size(), 1U);
}

TEST_F(Rooms, FailuresAreFalseAndTheSameRoomConnectsAfterwards) {
  const auto name = testing_server::freshRoom();
  setLogCallback([](LogLevel, const std::string&, const std::string&) {});
  Client robot;
  EXPECT_FALSE(robot.room.connect(testing_server::url(), "no token", RoomOptions()));
  EXPECT_FALSE(robot.room.connect("ftp://nowhere", testing_server::token(name, "robot"), RoomOptions()));
  EXPECT_FALSE(robot.room.connect("ws://127.0.0.1:1", testing_server::token(name, "robot"), RoomOptions()));
  EXPECT_EQ(robot.room.connectionState(), ConnectionState::Disconnected);
  EXPECT_TRUE(robot.room.localParticipant().expired());
  EXPECT_FALSE(robot.room.disconnect());
  robot.join(name, "robot");
  EXPECT_TRUE(robot.room.disconnect());
  EXPECT_EQ(robot.events.count("disconnected 1"), 1U);
  setLogCallback(nullptr);
}

TEST_F(Rooms, ASecondConnectThrows) {
  Client robot(testing_server::freshRoom(), "robot");
  EXPECT_THROW(robot.room.connect(testing_server::url(), "any", RoomOptions()), std::runtime_error);
  EXPECT_EQ(robot.room.connectionState(), ConnectionState::Connected);
}

TEST_F(Rooms, NothingConnectsBeforeTheBeginning) {
  setLogCallback([](LogLevel, const std::string&, const std::string&) {});
  const auto token = testing_server::token(testing_server::freshRoom(), "robot");
  shutdown();
  Room room;
  setLogCallback([](LogLevel, const std::string&, const std::string&) {});
  EXPECT_FALSE(room.connect(testing_server::url(), token, RoomOptions()));
  EXPECT_TRUE(initialize(LogLevel::Warn));
  EXPECT_TRUE(room.connect(testing_server::url(), token, RoomOptions()));
}

TEST_F(Rooms, DisconnectTellsOnceAndParticipantsExpire) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  Client desk(name, "desk");
  const std::weak_ptr<LocalParticipant> me = robot.room.localParticipant();
  const std::weak_ptr<RemoteParticipant> other = robot.events.sees("came desk") ? robot.room.remoteParticipant("desk") : std::weak_ptr<RemoteParticipant>();
  EXPECT_FALSE(me.expired());
  EXPECT_FALSE(other.expired());
  EXPECT_TRUE(robot.room.disconnect());
  EXPECT_EQ(robot.events.count("disconnected 1"), 1U);
  EXPECT_EQ(robot.events.told().back(), "disconnected 1");
  EXPECT_TRUE(me.expired());
  EXPECT_TRUE(robot.room.localParticipant().expired());
  EXPECT_TRUE(robot.room.remoteParticipants().empty());
  EXPECT_EQ(robot.room.connectionState(), ConnectionState::Disconnected);
  EXPECT_EQ(robot.room.roomInfo().name, name);
  EXPECT_FALSE(robot.room.disconnect());
  EXPECT_TRUE(desk.events.sees("went robot"));
  EXPECT_EQ(robot.events.count("eos"), 0U);
  // And again on the same object.
  robot.join(name, "robot");
  EXPECT_EQ(robot.room.connectionState(), ConnectionState::Connected);
  EXPECT_TRUE(robot.room.disconnect());
  EXPECT_EQ(robot.events.count("disconnected 1"), 2U);
}

TEST_F(Rooms, TheDestructorDisconnectsAndTellsOnce) {
  const auto name = testing_server::freshRoom();
  Recorder events;
  {
    Room room;
    room.setDelegate(&events);
    ASSERT_TRUE(room.connect(testing_server::url(), testing_server::token(name, "robot"), RoomOptions()));
  }
  EXPECT_EQ(events.count("disconnected 1"), 1U);
}

TEST_F(Rooms, TheSameIdentityPutsTheFirstOneOut) {
  const auto name = testing_server::freshRoom();
  Client first(name, "robot");
  Client second(name, "robot");
  EXPECT_TRUE(first.events.sees("eos"));
  EXPECT_EQ(first.events.count("disconnected 2"), 1U);
  EXPECT_EQ(first.events.told().back(), "eos");
  EXPECT_EQ(first.room.connectionState(), ConnectionState::Disconnected);
  EXPECT_FALSE(first.room.disconnect());
  EXPECT_TRUE(first.room.localParticipant().expired());
  EXPECT_EQ(second.room.connectionState(), ConnectionState::Connected);
}

TEST_F(Rooms, AServerThatDiesEndsTheSessionAndTheStreams) {
  const auto name = testing_server::freshRoom();
  const auto token = testing_server::token(name, "robot");
  const auto other = testing_server::token(name, "desk");
  const auto server = testing_server::startServer();
  Client robot;
  Client desk;
  setLogCallback([](LogLevel, const std::string&, const std::string&) {});
  ASSERT_TRUE(robot.room.connect(server.url, token, RoomOptions()));
  ASSERT_TRUE(desk.room.connect(server.url, other, RoomOptions()));
  const auto track = robot.publish("pose");
  const auto stream = subscribeTo(*desk.events.track("pose"));
  testing_server::stopServer(server.pid);
  DataTrackFrame frame;
  EXPECT_FALSE(readNext(*stream, frame));
  EXPECT_TRUE(robot.events.sees("eos"));
  EXPECT_TRUE(desk.events.sees("eos"));
  EXPECT_FALSE(track->isPublished());
  EXPECT_FALSE(robot.room.disconnect());
  setLogCallback(nullptr);
}

TEST_F(Rooms, ShutdownLeavesTheRoomsWithoutAWord) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  EXPECT_TRUE(robot.events.sees("state connected"));
  const auto told = robot.events.told();
  shutdown();
  shutdown();
  EXPECT_EQ(robot.room.connectionState(), ConnectionState::Disconnected);
  EXPECT_EQ(robot.events.told(), told);
  EXPECT_TRUE(initialize(LogLevel::Warn));
  robot.join(name, "robot");
}

TEST_F(Rooms, StatsNeedASession) {
  Client robot;
  EXPECT_THROW(static_cast<void>(robot.room.getStats()), std::runtime_error);
  robot.join(testing_server::freshRoom(), "robot");
  const auto stats = robot.room.getStats().get();
  bool has_transport = false;
  for (const auto& one : stats.publisher_stats) {
    if (const auto* transport = std::get_if<RtcTransportStats>(&one.stats)) {
      has_transport = true;
      EXPECT_GT(transport->transport.bytes_received, 0U);
    }
  }
  EXPECT_TRUE(has_transport);
  EXPECT_TRUE(robot.room.disconnect());
  EXPECT_THROW(static_cast<void>(robot.room.getStats()), std::runtime_error);
}

TEST_F(Rooms, TracksFromBeforeTheJoinAreTold) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  const auto track = robot.publish("pose");
  Client desk(name, "desk");
  EXPECT_TRUE(desk.events.track("pose"));
}

}  // namespace
