// Data tracks from end to end, and every point of what was asked of them.

#include <atomic>
#include <limits>
#include <numeric>
#include <thread>
#include <type_traits>
#include <variant>

#include "support.h"

using namespace livekit;

namespace {

using DataTrack = SdkTest;

std::vector<std::uint8_t> pattern(std::size_t size) {
  std::vector<std::uint8_t> payload(size);
  std::iota(payload.begin(), payload.end(), std::uint8_t{1});
  return payload;
}

// ---- Results: typed enums with LiveKit's numbers, and nothing expected throws.

TEST_F(DataTrack, PublishingTheSameNameTwiceIsATypedError) {
  Client robot(testing_server::freshRoom(), "robot");
  const auto first = robot.publish("pose");
  ASSERT_TRUE(first);
  const auto second = robot.me()->publishDataTrack("pose");
  ASSERT_TRUE(second.hasError());
  EXPECT_EQ(second.error().code, PublishDataTrackErrorCode::DUPLICATE_NAME);
  EXPECT_FALSE(second.error().message.empty());
}

TEST_F(DataTrack, BadNamesAndMissingPermissionsAreTypedErrors) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  EXPECT_EQ(robot.me()->publishDataTrack("").error().code, PublishDataTrackErrorCode::INVALID_NAME);
  EXPECT_EQ(robot.me()->publishDataTrack(std::string(257, 'n')).error().code, PublishDataTrackErrorCode::INVALID_NAME);
  EXPECT_EQ(robot.me()->publishDataTrack("\xff").error().code, PublishDataTrackErrorCode::INVALID_NAME);
  Client mute(room, "mute", "--no-publish-data");
  EXPECT_EQ(mute.me()->publishDataTrack("pose").error().code, PublishDataTrackErrorCode::NOT_ALLOWED);
}

TEST_F(DataTrack, AfterTheSessionEveryCallSaysSo) {
  Client robot(testing_server::freshRoom(), "robot");
  const auto me = robot.me();
  const auto track = robot.publish("pose");
  EXPECT_TRUE(robot.room.disconnect());
  EXPECT_EQ(me->publishDataTrack("other").error().code, PublishDataTrackErrorCode::DISCONNECTED);
  EXPECT_EQ(track->tryPush(pattern(3)).error().code, LocalDataTrackTryPushErrorCode::TRACK_UNPUBLISHED);
  EXPECT_FALSE(track->isPublished());
}

TEST_F(DataTrack, AFrameLargerThanAnyReceiverTakesIsRefused) {
  Client robot(testing_server::freshRoom(), "robot");
  const auto track = robot.publish("map");
  EXPECT_TRUE(track->tryPush(pattern(2'000'000)));
  const auto pushed = track->tryPush(pattern(3'000'000));
  ASSERT_TRUE(pushed.hasError());
  EXPECT_EQ(pushed.error().code, LocalDataTrackTryPushErrorCode::INTERNAL);
  EXPECT_NE(pushed.error().message.find("3000000"), std::string::npos) << pushed.error().message;
}

// ---- tryPush: bytes that are given away, frames, pointer and length.

TEST_F(DataTrack, EveryWayOfPushingArrives) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("pose");
  const auto remote = desk.events.track("pose");
  ASSERT_TRUE(remote);
  const auto stream = subscribeTo(*remote);
  ASSERT_TRUE(stream);
  warmUp(track, *stream);

  DataTrackFrame frame;
  ASSERT_TRUE(track->tryPush(bytes("moved"), 11));
  ASSERT_TRUE(readNext(*stream, frame));
  EXPECT_EQ(frame.payload, bytes("moved"));
  EXPECT_EQ(frame.user_timestamp, std::optional<std::uint64_t>(11));

  ASSERT_TRUE(track->tryPush(bytes("unstamped")));
  ASSERT_TRUE(readNext(*stream, frame));
  EXPECT_EQ(frame.payload, bytes("unstamped"));
  EXPECT_FALSE(frame.user_timestamp.has_value());

  const DataTrackFrame whole(bytes("frame"), 0);
  ASSERT_TRUE(track->tryPush(whole));
  ASSERT_TRUE(readNext(*stream, frame));
  EXPECT_EQ(frame.payload, bytes("frame"));
  EXPECT_EQ(frame.user_timestamp, std::optional<std::uint64_t>(0));

  const std::uint8_t buffer[] = {1, 2, 3, 4};
  ASSERT_TRUE(track->tryPush(buffer, 3));
  ASSERT_TRUE(readNext(*stream, frame));
  EXPECT_EQ(frame.payload, (std::vector<std::uint8_t>{1, 2, 3}));
  ASSERT_TRUE(track->tryPush("text", 4, std::numeric_limits<std::uint64_t>::max()));
  ASSERT_TRUE(readNext(*stream, frame));
  EXPECT_EQ(frame.payload, bytes("text"));
  EXPECT_EQ(frame.user_timestamp, std::optional(std::numeric_limits<std::uint64_t>::max()));
}

TEST_F(DataTrack, AnEmptyPayloadWithAStampIsNeverTakenForAPointer) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("beat");
  const auto stream = subscribeTo(*desk.events.track("beat"));
  warmUp(track, *stream);
  ASSERT_TRUE(track->tryPush({}, 42));
  DataTrackFrame frame;
  ASSERT_TRUE(readNext(*stream, frame));
  EXPECT_TRUE(frame.payload.empty());
  EXPECT_EQ(frame.user_timestamp, std::optional<std::uint64_t>(42));
  // A null pointer with a length is an error, and no fault.
  EXPECT_EQ(track->tryPush(static_cast<const std::uint8_t*>(nullptr), 5).error().code, LocalDataTrackTryPushErrorCode::INVALID_HANDLE);
}

TEST_F(DataTrack, AReceivedFrameIsHandedOnFromRoomToRoom) {
  const auto here = testing_server::freshRoom();
  const auto there = testing_server::freshRoom();
  Client robot(here, "robot");
  Client bridge_in(here, "bridge");
  Client bridge_out(there, "bridge");
  Client desk(there, "desk");
  const auto track = robot.publish("scan");
  const auto onward = bridge_out.publish("scan");
  const auto in = subscribeTo(*bridge_in.events.track("scan"));
  const auto out = subscribeTo(*desk.events.track("scan"));
  warmUp(onward, *out);

  std::thread bridge([&] {
    DataTrackFrame frame;
    while (in->read(frame)) EXPECT_TRUE(onward->tryPush(frame));
  });
  DataTrackFrame frame;
  {
    const Pump pump(track, DataTrackFrame(pattern(100'000), 7));
    EXPECT_TRUE(readNext(*out, frame));
  }
  EXPECT_EQ(frame.payload, pattern(100'000));
  EXPECT_EQ(frame.user_timestamp, std::optional<std::uint64_t>(7));
  in->close();
  bridge.join();
}

// ---- Streams: neither copied nor moved, behind shared_ptr, read and closed from any threads.

static_assert(!std::is_copy_constructible_v<DataTrackStream> && !std::is_copy_assignable_v<DataTrackStream>);
static_assert(!std::is_move_constructible_v<DataTrackStream> && !std::is_move_assignable_v<DataTrackStream>);
static_assert(std::has_virtual_destructor_v<DataTrackStream>);
static_assert(std::is_same_v<decltype(std::declval<RemoteDataTrack&>().subscribe()), Result<std::shared_ptr<DataTrackStream>, SubscribeDataTrackError>>);
static_assert(!std::is_copy_constructible_v<LocalDataTrack> && !std::is_copy_constructible_v<RemoteDataTrack>);

TEST_F(DataTrack, ACloseWakesEveryReader) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("quiet");
  const auto stream = subscribeTo(*desk.events.track("quiet"));
  warmUp(track, *stream);
  std::vector<std::thread> readers;
  std::atomic<int> woken{0};
  for (int i = 0; i < 4; ++i) {
    // Each with a pointer of its own.
    readers.emplace_back([stream, &woken] {
      DataTrackFrame frame;
      while (stream->read(frame)) {
      }
      ++woken;
    });
  }
  stream->close();
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(woken.load(), 4);
  EXPECT_FALSE(stream->terminalError().has_value());
  DataTrackFrame frame;
  EXPECT_FALSE(stream->read(frame));
  stream->close();
}

TEST_F(DataTrack, ACloseWakesAReaderThatWaitsForTheServer) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("quiet");
  const auto remote = desk.events.track("quiet");
  for (int i = 0; i < 20; ++i) {
    const auto stream = subscribeTo(*remote);
    std::thread reader([stream] {
      DataTrackFrame frame;
      EXPECT_FALSE(stream->read(frame));
    });
    stream->close();
    reader.join();
  }
}

TEST_F(DataTrack, SeveralReadersShareAStreamAndEachFrameGoesToOne) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("work");
  DataTrackStream::Options options;
  options.buffer_size = 1000;
  const auto stream = subscribeTo(*desk.events.track("work"), options);
  warmUp(track, *stream);
  constexpr std::uint64_t kFrames = 200;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::uint64_t, int> seen;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      DataTrackFrame frame;
      while (stream->read(frame)) {
        if (!frame.user_timestamp) continue;
        const std::lock_guard lock(mutex);
        ++seen[*frame.user_timestamp];
        changed.notify_all();
      }
    });
  }
  // One after the other, so that none is dropped for its age on a busy machine.
  for (std::uint64_t i = 0; i < kFrames; ++i) {
    ASSERT_TRUE(track->tryPush(bytes("job"), i));
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, kLimit, [&] { return seen.count(i) != 0; }));
  }
  stream->close();
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(seen.size(), kFrames);
  for (const auto& [stamp, times] : seen) EXPECT_EQ(times, 1) << stamp;
}

TEST_F(DataTrack, TheOldestFramesGoWhenAReaderIsSlow) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("fast");
  const auto remote = desk.events.track("fast");
  DataTrackStream::Options small;
  small.buffer_size = 4;
  const auto slow = subscribeTo(*remote, small);
  const auto quick = subscribeTo(*remote);
  warmUp(track, *slow);
  DataTrackFrame frame;
  for (std::uint64_t i = 1; i <= 30; ++i) {
    ASSERT_TRUE(track->tryPush(bytes("n"), i));
    // The other stream tells that it came.
    do {
      ASSERT_TRUE(quick->read(frame));
    } while (frame.user_timestamp != i);
  }
  // Of 30 frames the newest 4, however late the reader comes.
  for (std::uint64_t i = 27; i <= 30; ++i) {
    ASSERT_TRUE(slow->read(frame));
    EXPECT_EQ(frame.user_timestamp, std::optional(i));
  }
}

// ---- The ends of tracks and subscriptions.

TEST_F(DataTrack, DroppingTheLastPointerUnpublishes) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  auto track = robot.publish("pose");
  const auto remote = desk.events.track("pose");
  EXPECT_TRUE(remote->isPublished());
  auto other = track;
  track.reset();
  EXPECT_TRUE(other->isPublished());
  other.reset();
  EXPECT_TRUE(desk.events.sees("unpublished " + remote->info().sid));
  EXPECT_FALSE(remote->isPublished());
}

/// Messages that a client's data channels have received.
std::uint32_t messagesReceived(Client& client) {
  for (const auto& one : client.room.getStats().get().publisher_stats) {
    if (const auto* channels = std::get_if<RtcDataChannelStats>(&one.stats)) return channels->dc.messages_received;
  }
  ADD_FAILURE() << "no statistics of data channels";
  return 0;
}

TEST_F(DataTrack, DroppingTheLastSubscriptionUnsubscribesFromTheServer) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto video = robot.publish("video");
  const auto clock = robot.publish("clock");
  const auto remote = desk.events.track("video");
  auto one = subscribeTo(*remote);
  auto two = subscribeTo(*remote);
  const auto ticks = subscribeTo(*desk.events.track("clock"));
  warmUp(video, *one);
  warmUp(clock, *ticks);

  // Pushes both, and returns how many messages came until the clock's, in a window of 20.
  std::uint64_t stamp = 0;
  const auto messagesInAWindow = [&] {
    const std::uint32_t before = messagesReceived(desk);
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(video->tryPush(bytes("picture")));
      EXPECT_TRUE(clock->tryPush(bytes("tick"), ++stamp));
      DataTrackFrame frame;
      do {
        EXPECT_TRUE(ticks->read(frame));
      } while (frame.user_timestamp != stamp);
    }
    return messagesReceived(desk) - before;
  };

  // One of two goes: the other one still gets everything.
  one.reset();
  DataTrackFrame frame;
  EXPECT_GT(messagesInAWindow(), 30U);
  EXPECT_TRUE(readNext(*two, frame));

  // The last one goes: the server stops sending. The request needs a moment, during which the windows are fuller.
  two.reset();
  int windows = 0;
  while (messagesInAWindow() > 20 && windows < 1000) ++windows;
  EXPECT_LT(windows, 1000) << "the server still sends frames that nobody reads";

  // And it can be had again.
  const auto again = subscribeTo(*remote);
  warmUp(video, *again);
}

TEST_F(DataTrack, UnpublishingEndsTheStreamsWithoutAnError) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("pose");
  const auto remote = desk.events.track("pose");
  const auto stream = subscribeTo(*remote);
  warmUp(track, *stream);
  robot.me()->unpublishDataTrack(track);
  robot.me()->unpublishDataTrack(nullptr);
  track->unpublishDataTrack();
  EXPECT_FALSE(track->isPublished());
  EXPECT_EQ(track->tryPush(bytes("late")).error().code, LocalDataTrackTryPushErrorCode::TRACK_UNPUBLISHED);
  DataTrackFrame frame;
  EXPECT_FALSE(readNext(*stream, frame));
  EXPECT_FALSE(stream->terminalError().has_value());

  // A new subscription is given at once, and ends with the code that LiveKit's clients expect.
  const auto late = subscribeTo(*remote);
  ASSERT_TRUE(late);
  EXPECT_FALSE(late->read(frame));
  ASSERT_TRUE(late->terminalError().has_value());
  EXPECT_EQ(late->terminalError()->code, SubscribeDataTrackErrorCode::INTERNAL);
  EXPECT_FALSE(late->terminalError()->message.empty());
  late->close();
  EXPECT_TRUE(late->terminalError().has_value());
}

TEST_F(DataTrack, InfoIsTheSameOnBothSides) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("pose");
  const auto remote = desk.events.track("pose");
  EXPECT_EQ(remote->info().name, "pose");
  EXPECT_EQ(remote->info().sid, track->info().sid);
  EXPECT_EQ(track->info().sid.rfind("DTR_", 0), 0U);
  EXPECT_FALSE(remote->info().uses_e2ee);
  EXPECT_EQ(remote->publisherIdentity(), "robot");
}

TEST_F(DataTrack, LargeFramesArriveWholeWithPipelineOptions) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("cloud");
  const auto remote = desk.events.track("cloud");
  remote->setPipelineOptions({});
  remote->setPipelineOptions({4});
  const auto stream = subscribeTo(*remote);
  const Pump pump(track, DataTrackFrame(pattern(196'608)));
  DataTrackFrame frame;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream->read(frame));
    EXPECT_EQ(frame.payload, pattern(196'608));
  }
}

}  // namespace
