// Packets, calls, text and byte streams.

#include <future>

#include "support.h"

using namespace livekit;

namespace {

using Messages = SdkTest;

/// Notes packets and streams as well.
class Listener : public Recorder {
 public:
  void onUserPacketReceived(Room&, const UserDataPacketEvent& event) override {
    note((event.kind == DataPacketKind::Reliable ? "reliable " : "lossy ") + event.topic + ":" + std::string(event.data.begin(), event.data.end()) +
         " from " + (event.participant != nullptr ? event.participant->identity() : "nobody"));
  }
  void onSipDtmfReceived(Room&, const SipDtmfReceivedEvent& event) override { note("tone " + std::to_string(event.code) + event.digit); }
  void onTextStreamOpened(Room&, const TextStreamOpenedEvent& event) override { note("text of " + event.participant_identity); }
  void onByteStreamOpened(Room&, const ByteStreamOpenedEvent& event) override { note("bytes of " + event.participant_identity); }
};

/// A room whose delegate is a Listener, and which knows of everybody of `others`.
struct Desk {
  Desk(const std::string& name, const std::string& identity) {
    room.setDelegate(&events);
    EXPECT_TRUE(room.connect(testing_server::url(), testing_server::token(name, identity), RoomOptions()));
  }
  std::shared_ptr<LocalParticipant> me() { return room.localParticipant().lock(); }

  Listener events;
  Room room;
};

TEST_F(Messages, PacketsReachThoseWhomTheyAreFor) {
  const auto name = testing_server::freshRoom();
  Desk robot(name, "robot");
  Desk desk(name, "desk");
  Desk other(name, "other");
  robot.me()->publishData(bytes("close"), true, {"desk"}, "grip");
  EXPECT_TRUE(desk.events.sees("reliable grip:close from robot"));
  robot.me()->publishData({});
  robot.me()->publishData(bytes("all"));
  EXPECT_TRUE(other.events.sees("reliable :all from robot"));
  EXPECT_EQ(other.events.count("reliable grip:close from robot"), 0U);
  EXPECT_EQ(other.events.count("reliable : from robot"), 0U);
  robot.me()->publishDtmf(5, "5");
  EXPECT_TRUE(other.events.sees("tone 55"));
  const Pump pump([me = robot.me()] { me->publishData(bytes("now"), false); });
  EXPECT_TRUE(desk.events.sees("lossy :now from robot"));
}

TEST_F(Messages, WhatCannotBeSentThrows) {
  const auto name = testing_server::freshRoom();
  Desk robot(name, "robot");
  const auto me = robot.me();
  EXPECT_THROW(me->publishData(std::vector<std::uint8_t>(100'000)), std::runtime_error);
  Client mute(name, "mute", "--no-publish-data");
  EXPECT_THROW(mute.me()->publishData(bytes("x")), std::runtime_error);
  EXPECT_TRUE(robot.room.disconnect());
  EXPECT_THROW(me->publishData(bytes("x")), std::runtime_error);
  EXPECT_THROW(me->publishDtmf(1, "1"), std::runtime_error);
  EXPECT_THROW(me->registerRpcMethod("x", [](const RpcInvocationData&) { return std::nullopt; }), std::runtime_error);
  EXPECT_THROW(me->performRpc("desk", "x", ""), RpcError);
}

/// The number of the RpcError that calling `method` throws; 0 for none.
std::uint32_t codeOf(LocalParticipant& me, const std::string& destination, const std::string& method, std::string* data = nullptr) {
  try {
    me.performRpc(destination, method, "");
    return 0;
  } catch (const RpcError& error) {
    EXPECT_EQ(error.message(), error.what());
    EXPECT_FALSE(error.message().empty());
    if (data != nullptr) *data = error.data();
    return error.code();
  }
}

TEST_F(Messages, MethodsAnswerAndFail) {
  const auto name = testing_server::freshRoom();
  Desk robot(name, "robot");
  Desk desk(name, "desk");
  const auto me = robot.me();
  me->registerRpcMethod("echo", [](const RpcInvocationData& call) -> std::optional<std::string> {
    EXPECT_EQ(call.caller_identity, "desk");
    EXPECT_FALSE(call.request_id.empty());
    EXPECT_GT(call.response_timeout_sec, 0);
    return call.payload;
  });
  me->registerRpcMethod("nothing", [](const RpcInvocationData&) { return std::nullopt; });
  me->registerRpcMethod("refuse", [](const RpcInvocationData&) -> std::optional<std::string> { throw RpcError(42, "stuck", "left finger"); });
  me->registerRpcMethod("break", [](const RpcInvocationData&) -> std::optional<std::string> { throw std::logic_error("a wire"); });
  me->registerRpcMethod("odd", [](const RpcInvocationData&) -> std::optional<std::string> { throw 5; });
  EXPECT_EQ(desk.me()->performRpc("robot", "echo", "hello"), "hello");
  const std::string large(20'000, 'x');
  EXPECT_EQ(desk.me()->performRpc("robot", "echo", large, 30.0), large);
  EXPECT_EQ(desk.me()->performRpc("robot", "nothing", "x"), "");
  std::string data;
  EXPECT_EQ(codeOf(*desk.me(), "robot", "refuse", &data), 42U);
  EXPECT_EQ(data, "left finger");
  EXPECT_EQ(codeOf(*desk.me(), "robot", "break", &data), 1500U);
  EXPECT_EQ(data, "a wire");
  EXPECT_EQ(codeOf(*desk.me(), "robot", "odd"), 1500U);
  EXPECT_EQ(codeOf(*desk.me(), "robot", "unknown"), 1400U);
  EXPECT_EQ(codeOf(*desk.me(), "nobody", "echo"), 1401U);
  me->unregisterRpcMethod("echo");
  me->unregisterRpcMethod("never");
  EXPECT_EQ(codeOf(*desk.me(), "robot", "echo"), 1400U);
  EXPECT_EQ(RpcError::builtIn(RpcError::ErrorCode::RESPONSE_TIMEOUT).code(), 1502U);
}

TEST_F(Messages, AHandlerCallsItsCallerAndASlowOneHoldsNothingUp) {
  const auto name = testing_server::freshRoom();
  Desk robot(name, "robot");
  Desk desk(name, "desk");
  ASSERT_TRUE(robot.events.sees("came desk"));
  const auto me = robot.me();
  Signal go;
  me->registerRpcMethod("slow", [&](const RpcInvocationData&) -> std::optional<std::string> {
    EXPECT_TRUE(go.wait());
    return "done";
  });
  me->registerRpcMethod("relay", [me](const RpcInvocationData& call) -> std::optional<std::string> {
    return me->performRpc(call.caller_identity, "who", "");
  });
  desk.me()->registerRpcMethod("who", [](const RpcInvocationData&) { return std::optional<std::string>("the desk"); });
  auto slow = std::async(std::launch::async, [&] { return desk.me()->performRpc("robot", "slow", "", 60.0); });
  EXPECT_EQ(desk.me()->performRpc("robot", "relay", "", 60.0), "the desk");
  desk.me()->publishData(bytes("beside"));
  EXPECT_TRUE(robot.events.sees("reliable :beside from desk"));
  go.set();
  EXPECT_EQ(slow.get(), "done");
}

TEST_F(Messages, ADelegateSendsAndCalls) {
  const auto name = testing_server::freshRoom();
  Desk robot(name, "robot");
  robot.me()->registerRpcMethod("echo", [](const RpcInvocationData& call) -> std::optional<std::string> { return call.payload; });
  Client desk;
  Signal done;
  desk.events.onTrack = [&](Room& room, const auto&) {
    const auto me = room.localParticipant().lock();
    me->publishData(bytes("from a delegate"));
    EXPECT_EQ(me->performRpc("robot", "echo", "x", 60.0), "x");
    done.set();
  };
  desk.join(name, "desk");
  const auto track = robot.me()->publishDataTrack("pose");
  ASSERT_TRUE(track);
  EXPECT_TRUE(done.wait());
  EXPECT_TRUE(robot.events.sees("reliable :from a delegate from desk"));
}

/// What a handler was given, for the test to wait for.
template <typename Reader>
struct Opened {
  std::promise<std::pair<std::shared_ptr<Reader>, std::string>> promise;
  auto handler() {
    return [this](std::shared_ptr<Reader> reader, const std::string& identity) { promise.set_value({std::move(reader), identity}); };
  }
  auto get() { return promise.get_future().get(); }
};

TEST_F(Messages, TextsAreWrittenAndRead) {
  const auto name = testing_server::freshRoom();
  Desk robot(name, "robot");
  Desk desk(name, "desk");
  Opened<TextStreamReader> opened;
  desk.room.registerTextStreamHandler("chat", opened.handler());
  EXPECT_THROW(desk.room.registerTextStreamHandler("chat", opened.handler()), std::runtime_error);
  TextStreamWriter writer(*robot.me(), "chat", {{"mood", "good"}}, "", std::nullopt, "earlier");
  EXPECT_EQ(writer.streamId().size(), 32U);
  EXPECT_EQ(writer.topic(), "chat");
  EXPECT_EQ(writer.mimeType(), "text/plain");
  EXPECT_GT(writer.timestampMs(), 0);
  EXPECT_EQ(writer.info().reply_to_stream_id, "earlier");
  // A character in two halves.
  writer.write("gr\xc3");
  writer.write("\xbc\xc3\x9f" "e");
  const auto [reader, identity] = opened.get();
  EXPECT_EQ(identity, "robot");
  EXPECT_EQ(reader->info().stream_id, writer.streamId());
  EXPECT_EQ(reader->info().attributes.at("mood"), "good");
  EXPECT_EQ(reader->info().reply_to_stream_id, "earlier");
  EXPECT_FALSE(writer.isClosed());
  writer.close("", {{"checked", "yes"}});
  EXPECT_TRUE(writer.isClosed());
  EXPECT_EQ(reader->readAll(), "gr\xc3\xbc\xc3\x9f" "e");
  EXPECT_EQ(reader->info().attributes.at("checked"), "yes");
  std::string more;
  EXPECT_FALSE(reader->readNext(more));
  EXPECT_THROW(writer.write("more"), std::runtime_error);
  EXPECT_THROW(writer.close(), std::runtime_error);
  EXPECT_EQ(desk.events.count("text of robot"), 1U);
  desk.room.unregisterTextStreamHandler("chat");
  desk.room.unregisterTextStreamHandler("chat");
}

TEST_F(Messages, BytesAreWrittenAndReadInAHandler) {
  const auto name = testing_server::freshRoom();
  Desk robot(name, "robot");
  Desk desk(name, "desk");
  std::vector<std::uint8_t> sent(100'000);
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  std::promise<std::vector<std::uint8_t>> read;
  desk.room.registerByteStreamHandler("maps", [&](std::shared_ptr<ByteStreamReader> reader, const std::string&) {
    EXPECT_EQ(reader->info().name, "map.bin");
    EXPECT_EQ(reader->info().mime_type, "application/x-map");
    EXPECT_EQ(reader->info().size, std::optional<std::size_t>(100'000));
    std::vector<std::uint8_t> all;
    std::vector<std::uint8_t> part;
    while (reader->readNext(part)) all.insert(all.end(), part.begin(), part.end());
    read.set_value(all);
  });
  ByteStreamWriter writer(*robot.me(), "map.bin", "maps", {}, "my-id", sent.size(), "application/x-map");
  EXPECT_EQ(writer.streamId(), "my-id");
  writer.write(sent);
  writer.close();
  EXPECT_EQ(read.get_future().get(), sent);
  EXPECT_EQ(desk.events.count("bytes of robot"), 1U);
}

TEST_F(Messages, AStreamThatIsGivenUpEndsItsReader) {
  setLogLevel(LogLevel::Off);
  const auto name = testing_server::freshRoom();
  Desk robot(name, "robot");
  Desk desk(name, "desk");
  Opened<TextStreamReader> opened;
  desk.room.registerTextStreamHandler("note", opened.handler());
  {
    TextStreamWriter writer(*robot.me(), "note");
    writer.write("half");
  }
  const auto [reader, identity] = opened.get();
  EXPECT_EQ(reader->readAll(), "half");
  // A writer outlives its room.
  TextStreamWriter late(*robot.me(), "note");
  EXPECT_TRUE(robot.room.disconnect());
  EXPECT_THROW(late.write("x"), std::runtime_error);
}

TEST_F(Messages, AReaderWithoutAStreamIsAtItsEnd) {
  TextStreamReader text{TextStreamInfo()};
  EXPECT_EQ(text.readAll(), "");
  ByteStreamReader data{ByteStreamInfo()};
  std::vector<std::uint8_t> part{1};
  EXPECT_FALSE(data.readNext(part));
}

}  // namespace
