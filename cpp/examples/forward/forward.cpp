// Hands a data track on from one room to another: every frame as it was received, time stamp included.
//
//   forward <ws-url> <token of the room with the track> <ws-url> <token of the other room> <track>
//
// The first track of that name is published under the same name in the other room. Runs until SIGINT or SIGTERM, or until the track ends.

#include <atomic>
#include <csignal>
#include <future>
#include <iostream>
#include <thread>

#include <livekit/livekit.h>

namespace {

std::atomic<bool> is_stopped{false};

/// Waits for a track by its name.
class Finder : public livekit::RoomDelegate {
 public:
  explicit Finder(std::string name) : name_(std::move(name)) {}

  void onDataTrackPublished(livekit::Room&, const livekit::DataTrackPublishedEvent& event) override {
    // Events come one after the other.
    if (is_found_ || event.track->info().name != name_) return;
    is_found_ = true;
    found_.set_value(event.track);
  }

  std::future<std::shared_ptr<livekit::RemoteDataTrack>> track() { return found_.get_future(); }

 private:
  const std::string name_;
  bool is_found_ = false;
  std::promise<std::shared_ptr<livekit::RemoteDataTrack>> found_;
};

int run(char** argv) {
  using namespace std::chrono_literals;
  Finder finder(argv[5]);
  livekit::Room from;
  livekit::Room to;
  from.setDelegate(&finder);
  if (!from.connect(argv[1], argv[2], livekit::RoomOptions()) || !to.connect(argv[3], argv[4], livekit::RoomOptions())) return 1;

  auto found = finder.track();
  while (found.wait_for(20ms) != std::future_status::ready) {
    if (is_stopped) return 0;
  }
  const auto source = found.get();
  auto subscribed = source->subscribe();
  livekit::DataTrackPublishOptions options;
  options.name = source->info().name;
  options.schema = source->info().schema;
  options.frame_encoding = source->info().frame_encoding;
  auto published = to.localParticipant().lock()->publishDataTrack(options);
  if (!subscribed || !published) {
    std::cerr << "cannot forward: " << (subscribed ? published.error().message : subscribed.error().message) << "\n";
    return 1;
  }
  const auto stream = std::move(subscribed).value();
  const auto track = std::move(published).value();
  // A close from another thread ends the read below.
  std::thread watch([&] {
    while (!is_stopped && source->isPublished()) std::this_thread::sleep_for(20ms);
    stream->close();
  });
  std::uint64_t frames = 0;
  livekit::DataTrackFrame frame;
  while (stream->read(frame)) {
    if (const auto pushed = track->tryPush(frame); !pushed) {
      std::cerr << "cannot push: " << pushed.error().message << "\n";
      break;
    }
    ++frames;
  }
  is_stopped = true;
  watch.join();
  if (const auto error = stream->terminalError()) std::cerr << "the subscription failed: " << error->message << "\n";
  std::cout << "frames=" << frames << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: " << argv[0] << " <ws-url> <token> <ws-url> <token> <track>\n";
    return 1;
  }
  std::signal(SIGINT, [](int) { is_stopped = true; });
  std::signal(SIGTERM, [](int) { is_stopped = true; });
  livekit::initialize(livekit::LogLevel::Warn);
  const int status = run(argv);
  livekit::shutdown();
  return status;
}
