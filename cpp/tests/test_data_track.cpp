// Data tracks from end to end, and every point of what was asked of them.

#include <algorithm>
#include <atomic>
#include <functional>
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

using Pushed = Result<void, LocalDataTrackTryPushError>;

/// Pushes with `push` until a frame with this payload and stamp has come.
void expectArrives(DataTrackStream& stream, const std::vector<std::uint8_t>& payload, std::optional<std::uint64_t> stamp,
                   const std::function<Pushed()>& push) {
  const Pump pump([&] { EXPECT_TRUE(push()); });
  DataTrackFrame frame;
  do {
    ASSERT_TRUE(stream.read(frame));
  } while (frame.payload != payload || frame.user_timestamp != stamp);
}

TEST_F(DataTrack, EveryWayOfPushingArrives) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("pose");
  const auto remote = desk.events.track("pose");
  ASSERT_TRUE(remote);
  const auto stream = subscribeTo(*remote);
  ASSERT_TRUE(stream);
  constexpr auto kGreatest = std::numeric_limits<std::uint64_t>::max();
  expectArrives(*stream, bytes("moved"), 11, [&] { return track->tryPush(bytes("moved"), 11); });
  expectArrives(*stream, bytes("unstamped"), std::nullopt, [&] { return track->tryPush(bytes("unstamped")); });
  expectArrives(*stream, bytes("frame"), 0, [&] { return track->tryPush(DataTrackFrame(bytes("frame"), 0)); });
  const std::uint8_t buffer[] = {1, 2, 3, 4};
  expectArrives(*stream, {1, 2, 3}, std::nullopt, [&] { return track->tryPush(buffer, 3); });
  const std::byte other[] = {std::byte{9}};
  expectArrives(*stream, {9}, 1, [&] { return track->tryPush(other, 1, 1); });
  expectArrives(*stream, bytes("text"), kGreatest, [&] { return track->tryPush("text", 4, kGreatest); });
}

TEST_F(DataTrack, BytesThatAreGivenAwayAreTaken) {
  Client robot(testing_server::freshRoom(), "robot");
  const auto track = robot.publish("pose");
  auto payload = pattern(100);
  EXPECT_TRUE(track->tryPush(std::move(payload)));
  EXPECT_TRUE(payload.empty());  // NOLINT: moved from, on purpose.
}

TEST_F(DataTrack, AnEmptyPayloadWithAStampIsNeverTakenForAPointer) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("beat");
  const auto stream = subscribeTo(*desk.events.track("beat"));
  expectArrives(*stream, {}, 42, [&] { return track->tryPush({}, 42); });
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

/// The stamps of frames as readers see them.
class Seen {
 public:
  void add(std::uint64_t stamp) {
    const std::lock_guard lock(mutex_);
    stamps_.push_back(stamp);
    changed_.notify_all();
  }
  /// Pushes with ever new stamps until `count` have been seen, the last one of them among those. One after the other, each as soon as the one
  /// before has come, or is taken for lost.
  void drive(LocalDataTrack& track, std::size_t count) {
    for (std::uint64_t stamp = 1; stamp < 10'000; ++stamp) {
      ASSERT_TRUE(track.tryPush(bytes("n"), stamp));
      std::unique_lock lock(mutex_);
      const bool has_come = changed_.wait_for(lock, std::chrono::seconds(1), [&] { return !stamps_.empty() && stamps_.back() >= stamp; });
      if (has_come && stamps_.size() >= count) return;
    }
    FAIL() << "too few frames come";
  }
  std::vector<std::uint64_t> all() {
    const std::lock_guard lock(mutex_);
    return stamps_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::uint64_t> stamps_;
};

/// A thread that reads until the end.
std::thread reader(std::shared_ptr<DataTrackStream> stream, Seen& seen) {
  return std::thread([stream = std::move(stream), &seen] {
    DataTrackFrame frame;
    while (stream->read(frame)) {
      if (frame.user_timestamp) seen.add(*frame.user_timestamp);
    }
  });
}

TEST_F(DataTrack, SeveralReadersShareAStreamAndEachFrameGoesToOne) {
  const auto room = testing_server::freshRoom();
  Client robot(room, "robot");
  Client desk(room, "desk");
  const auto track = robot.publish("work");
  const auto stream = subscribeTo(*desk.events.track("work"));
  warmUp(track, *stream);
  Seen seen;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) readers.push_back(reader(stream, seen));
  seen.drive(*track, 200);
  stream->close();
  for (auto& thread : readers) thread.join();
  auto stamps = seen.all();
  std::sort(stamps.begin(), stamps.end());
  EXPECT_GE(stamps.size(), 200U);
  EXPECT_EQ(std::adjacent_find(stamps.begin(), stamps.end()), stamps.end()) << "a frame came twice";
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
  Seen seen;
  std::thread quick_reader = reader(quick, seen);
  seen.drive(*track, 30);
  quick->close();
  quick_reader.join();
  // Of all that came the newest 4, however late the reader is.
  const auto stamps = seen.all();
  for (std::size_t i = stamps.size() - 4; i < stamps.size(); ++i) {
    DataTrackFrame frame;
    ASSERT_TRUE(slow->read(frame));
    EXPECT_EQ(frame.user_timestamp, std::optional(stamps[i]));
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

  // Pushes both 20 times, until the clock's last tick has come, and returns how many messages came for each push.
  std::uint64_t stamp = 0;
  const auto messagesForEachPush = [&] {
    const std::uint32_t before = messagesReceived(desk);
    std::atomic<int> pushes{0};
    const std::uint64_t last = stamp + 20;
    DataTrackFrame frame;
    {
      const Pump pump([&] {
        EXPECT_TRUE(video->tryPush(bytes("picture")));
        EXPECT_TRUE(clock->tryPush(bytes("tick"), ++stamp));
        ++pushes;
      });
      do {
        EXPECT_TRUE(ticks->read(frame));
      } while (frame.user_timestamp < last);
    }
    return static_cast<double>(messagesReceived(desk) - before) / pushes;
  };

  // One of two goes: the other one still gets everything.
  one.reset();
  DataTrackFrame frame;
  EXPECT_GT(messagesForEachPush(), 1.3);
  EXPECT_TRUE(readNext(*two, frame));

  // The last one goes: the server stops sending. The request needs a moment, in which more come, and so may ticks of the turn before.
  two.reset();
  int turns = 0;
  while (messagesForEachPush() > 1.2 && turns < 100) ++turns;
  EXPECT_LT(turns, 100) << "the server still sends frames that nobody reads";

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
