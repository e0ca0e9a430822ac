// What the SDK does to its process: beginning and end, messages, traces, fork, signals.

#include <csignal>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

using namespace livekit;

namespace {

TEST(Process, InitializeIsTrueOnceAndShutdownAnyNumberOfTimes) {
  shutdown();
  EXPECT_TRUE(initialize());
  EXPECT_FALSE(initialize(LogLevel::Error));
  EXPECT_EQ(getLogLevel(), LogLevel::Error);
  shutdown();
  EXPECT_EQ(getLogLevel(), LogLevel::Info);
  shutdown();
  EXPECT_TRUE(initialize());
  shutdown();
}

TEST(Process, TheVersionIsDigits) {
  const std::string version = LIVEKIT_BUILD_VERSION;
  EXPECT_EQ(version.find_first_not_of("0123456789."), std::string::npos) << version;
  EXPECT_STREQ(LIVEKIT_BUILD_FLAVOR, "cpp");
}

TEST(Process, MessagesGoToTheCallbackOneAtATimeUnderTheNameOfLivekit) {
  ASSERT_TRUE(initialize(LogLevel::Debug));
  int running = 0;  // Not atomic: never called twice at once is what this tests.
  std::size_t messages = 0;
  setLogCallback([&](LogLevel level, const std::string& logger, const std::string& message) {
    EXPECT_EQ(++running, 1);
    EXPECT_EQ(logger, "livekit");
    EXPECT_GE(level, LogLevel::Debug);
    EXPECT_FALSE(message.empty());
    ++messages;
    // What this says is lost, and does not hang.
    setLogLevel(LogLevel::Debug);
    --running;
  });
  {
    const auto name = testing_server::freshRoom();
    Client robot(name, "robot");
    Client desk(name, "desk");
    const auto track = robot.publish("pose");
    EXPECT_TRUE(desk.events.track("pose"));
  }
  setLogCallback(nullptr);
  EXPECT_GT(messages, 0U);
  shutdown();
}

TEST(Process, ACallbackThatThrowsOrReplacesItselfIsFine) {
  ASSERT_TRUE(initialize(LogLevel::Info));
  int calls = 0;
  setLogCallback([&](LogLevel, const std::string&, const std::string&) {
    ++calls;
    setLogCallback([](LogLevel, const std::string&, const std::string&) {});
    throw std::runtime_error("no good");
  });
  Room room;
  EXPECT_FALSE(room.connect("nonsense", "nonsense", RoomOptions()));
  EXPECT_EQ(calls, 1);
  shutdown();
}

TEST(Process, OffMeansSilence) {
  ASSERT_TRUE(initialize(LogLevel::Off));
  bool is_called = false;
  setLogCallback([&](LogLevel, const std::string&, const std::string&) { is_called = true; });
  Room room;
  EXPECT_FALSE(room.connect("nonsense", "nonsense", RoomOptions()));
  EXPECT_FALSE(is_called);
  shutdown();
}

TEST(Process, ATraceIsWrittenForTheCategoriesAskedFor) {
  char path[] = "/tmp/livekit-trace-XXXXXX";
  const int file = mkstemp(path);
  ASSERT_GE(file, 0);
  close(file);
  ASSERT_TRUE(initialize(LogLevel::Off));
  EXPECT_FALSE(startTracing("/no/such/folder/trace.json"));
  EXPECT_FALSE(isTracingEnabled());
  EXPECT_TRUE(startTracing(path, {"livekit.room*"}));
  EXPECT_FALSE(startTracing(path));
  EXPECT_TRUE(isTracingEnabled());
  {
    Client robot(testing_server::freshRoom(), "robot");
    const auto track = robot.publish("pose");
  }
  stopTracing();
  stopTracing();
  EXPECT_FALSE(isTracingEnabled());
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_NE(text.str().find("\"name\":\"connect\",\"cat\":\"livekit.room\""), std::string::npos) << text.str();
  EXPECT_EQ(text.str().find("livekit.data_track"), std::string::npos);
  EXPECT_EQ(text.str().rfind("\n]}\n"), text.str().size() - 4);
  std::remove(path);
  shutdown();
}

// In a child of fork every call returns, and destructors do nothing: no thread of the parent's is there.
TEST(Process, AChildOfForkMayCallAndDropEverything) {
  ASSERT_TRUE(initialize(LogLevel::Off));
  const auto name = testing_server::freshRoom();
  {
    auto robot = std::make_unique<Client>(name, "robot");
    Client desk(name, "desk");
    auto track = robot->publish("pose");
    auto stream = subscribeTo(*desk.events.track("pose"));
    warmUp(track, *stream);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // Nothing of the test's may run on in here, whatever happens.
      [&]() noexcept {
        int wrong = 0;
        wrong += track->tryPush(bytes("no")).ok() ? 1 : 0;
        wrong += robot->room.disconnect() ? 2 : 0;
        wrong += robot->room.connect(testing_server::url(), "any", RoomOptions()) ? 4 : 0;
        DataTrackFrame frame;
        wrong += stream->read(frame) ? 8 : 0;
        wrong += robot->room.connectionState() == ConnectionState::Disconnected ? 0 : 16;
        wrong += robot->room.localParticipant().expired() ? 0 : 32;
        robot->room.removeOnDataFrameCallback(robot->room.addOnDataFrameCallback("a", "b", [](const auto&, auto) {}));
        stream.reset();
        track.reset();
        robot.reset();
        _exit(wrong);
      }();
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
    // The parent goes on.
    warmUp(track, *stream);
  }
  shutdown();
}

volatile std::sig_atomic_t g_handled_here = 0;
pthread_t g_main;

TEST(Process, SignalsComeToTheApplicationsThreads) {
  ASSERT_TRUE(initialize(LogLevel::Off));
  Client robot(testing_server::freshRoom(), "robot");
  g_main = pthread_self();
  g_handled_here = 0;
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = [](int) { g_handled_here = pthread_equal(pthread_self(), g_main) != 0 ? 1 : 2; };
  sigaction(SIGUSR1, &action, &before);
  // Blocked here while it is sent: a thread of the SDK's that took signals would get it now.
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &one, nullptr);
  kill(getpid(), SIGUSR1);
  EXPECT_TRUE(robot.room.disconnect());
  EXPECT_EQ(g_handled_here, 0);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  EXPECT_EQ(g_handled_here, 1);
  sigaction(SIGUSR1, &before, nullptr);
  shutdown();
}

}  // namespace
