#include "frame_callbacks.h"

#include <condition_variable>
#include <exception>
#include <limits>
#include <thread>

#include "callback_gate.h"
#include "log.h"
#include "thread.h"
#include "trace.h"

namespace livekit::internal {
namespace {

/// Threads that one room may have for frame callbacks, as in LiveKit's SDK.
constexpr std::size_t kMaxReaders = 20;
constexpr DataFrameCallbackId kNoCallback = std::numeric_limits<DataFrameCallbackId>::max();

/// Is said at the end of its scope: made before a lock, it is said after that, since whoever listens may call back.
class Problem {
 public:
  Problem() = default;
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;
  ~Problem() {
    if (!what_.empty()) log(LogLevel::Error, what_);
  }
  void operator=(std::string what) {
    if (!what.empty()) what_ = std::move(what);
  }

 private:
  std::string what_;
};

}  // namespace

/// One callback, and from the first track on the thread that reads for it: one track after the other.
class FrameReader : public std::enable_shared_from_this<FrameReader> {
 public:
  FrameReader(std::string identity, std::string track_name, DataFrameCallback callback)
      : identity_(std::move(identity)), track_name_(std::move(track_name)), callback_(std::move(callback)) {}

  bool isFor(const RemoteDataTrack& track) const { return identity_ == track.publisherIdentity() && track_name_ == track.info().name; }
  bool hasThread() const {
    const std::lock_guard lock(mutex_);
    return thread_.joinable();
  }

  /// Reads `track` as soon as what is read now has ended.
  void read(std::shared_ptr<RemoteDataTrack> track) {
    const std::lock_guard lock(mutex_);
    if (is_stopped_) return;
    next_ = std::move(track);
    if (thread_.joinable()) {
      changed_.notify_all();
    } else {
      thread_ = startThread("livekit-frames", [self = shared_from_this()] { self->run(); });
    }
  }

  void endStream() {
    std::shared_ptr<DataTrackStream> stream;
    {
      const std::lock_guard lock(mutex_);
      stream = stream_;
      next_.reset();
    }
    if (stream) stream->close();
  }

  /// No callback begins any more.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      is_stopped_ = true;
      changed_.notify_all();
    }
    endStream();
  }

  /// After stop(): the thread has ended, unless this is it.
  void join() {
    std::thread thread;
    {
      const std::lock_guard lock(mutex_);
      thread.swap(thread_);
    }
    if (thread.joinable() && thread.get_id() == std::this_thread::get_id()) {
      thread.detach();
    } else if (thread.joinable()) {
      thread.join();
    }
    // Another thread may be the one that joins.
    gate_.wait();
  }

  void wait() { gate_.wait(); }

 private:
  void run() {
    while (const auto stream = nextStream()) {
      DataTrackFrame frame;
      while (stream->read(frame)) call(frame);
      if (const auto error = stream->terminalError()) log(levelOfFailure(), about(error->message));
    }
  }

  /// Waits for a track to read; null when stopped.
  std::shared_ptr<DataTrackStream> nextStream() {
    for (;;) {
      Problem problem;
      std::unique_lock lock(mutex_);
      stream_.reset();
      changed_.wait(lock, [this] { return is_stopped_ || next_; });
      if (is_stopped_) return nullptr;
      track_ = std::move(next_);
      next_.reset();
      // Does not wait for anything, and under the lock nobody misses the stream that is to be closed.
      auto subscribed = track_->subscribe();
      if (subscribed) return stream_ = std::move(subscribed).value();
      problem = about(subscribed.error().message);
    }
  }

  /// A track that went while it was being subscribed to is an ordinary end.
  LogLevel levelOfFailure() const { return track_->isPublished() ? LogLevel::Error : LogLevel::Debug; }
  std::string about(const std::string& what) const { return "data track " + track_name_ + " of " + identity_ + ": " + what; }

  void call(const DataTrackFrame& frame) noexcept {
    std::unique_lock lock(mutex_);
    if (is_stopped_) return;
    const CallbackGate::Pass pass(gate_);
    lock.unlock();
    const TraceSpan span("livekit.callback", "data_frame");
    try {
      callback_(frame.payload, frame.user_timestamp);
    } catch (const std::exception& error) {
      log(LogLevel::Error, std::string("a frame callback threw: ") + error.what());
    } catch (...) {
      log(LogLevel::Error, "a frame callback threw something that is no std::exception");
    }
  }

  const std::string identity_;
  const std::string track_name_;
  const DataFrameCallback callback_;
  CallbackGate gate_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool is_stopped_ = false;
  std::shared_ptr<RemoteDataTrack> next_;
  std::shared_ptr<DataTrackStream> stream_;
  /// What is read; only on the thread.
  std::shared_ptr<RemoteDataTrack> track_;
  std::thread thread_;
};

FrameCallbacks::FrameCallbacks() = default;
FrameCallbacks::~FrameCallbacks() = default;

DataFrameCallbackId FrameCallbacks::add(const std::string& identity, const std::string& track_name, DataFrameCallback callback) {
  if (!callback) return kNoCallback;
  const auto reader = std::make_shared<FrameReader>(identity, track_name, std::move(callback));
  Problem problem;
  const std::lock_guard lock(mutex_);
  const DataFrameCallbackId id = next_id_++;
  readers_.emplace(id, reader);
  const auto track = tracks_.find({identity, track_name});
  if (track != tracks_.end()) problem = start(*reader, track->second);
  return id;
}

std::string FrameCallbacks::start(FrameReader& reader, const std::shared_ptr<RemoteDataTrack>& track) {
  std::size_t threads = 0;
  for (const auto& [id, known] : readers_) threads += known->hasThread() ? 1 : 0;
  if (threads >= kMaxReaders && !reader.hasThread()) {
    return "no frames of data track " + track->info().name + " for its callback: " + std::to_string(kMaxReaders) +
           " callbacks of this room have a thread already; remove one, or use RemoteDataTrack::subscribe()";
  }
  try {
    reader.read(track);
    return {};
  } catch (const std::exception& error) {
    return std::string("no thread for a frame callback: ") + error.what();
  }
}

void FrameCallbacks::remove(DataFrameCallbackId id) {
  std::shared_ptr<FrameReader> reader;
  {
    const std::lock_guard lock(mutex_);
    const auto found = readers_.find(id);
    if (found == readers_.end()) return;
    reader = std::move(found->second);
    readers_.erase(found);
  }
  reader->stop();
  reader->join();
}

void FrameCallbacks::trackPublished(const std::shared_ptr<RemoteDataTrack>& track) {
  Problem problem;
  const std::lock_guard lock(mutex_);
  tracks_[{track->publisherIdentity(), track->info().name}] = track;
  for (const auto& [id, reader] : readers_) {
    if (reader->isFor(*track)) problem = start(*reader, track);
  }
}

void FrameCallbacks::trackUnpublished(const std::string& sid) {
  const std::lock_guard lock(mutex_);
  for (auto track = tracks_.begin(); track != tracks_.end();) {
    track = track->second->info().sid == sid ? tracks_.erase(track) : std::next(track);
  }
}

void FrameCallbacks::sessionEnded() {
  {
    const std::lock_guard lock(mutex_);
    tracks_.clear();
  }
  for (const auto& reader : readers()) reader->endStream();
}

void FrameCallbacks::stopAll() {
  std::map<DataFrameCallbackId, std::shared_ptr<FrameReader>> stopped;
  {
    const std::lock_guard lock(mutex_);
    tracks_.clear();
    stopped.swap(readers_);
  }
  for (const auto& [id, reader] : stopped) reader->stop();
  for (const auto& [id, reader] : stopped) reader->join();
}

void FrameCallbacks::wait() {
  for (const auto& reader : readers()) reader->wait();
}

std::vector<std::shared_ptr<FrameReader>> FrameCallbacks::readers() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<FrameReader>> readers;
  for (const auto& [id, reader] : readers_) readers.push_back(reader);
  return readers;
}

}  // namespace livekit::internal
