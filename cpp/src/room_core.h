#pragma once

#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <livekit/room.h>
#include <sys/types.h>

#include "callback_gate.h"
#include "frame_callbacks.h"
#include "log.h"
#include "session.h"
#include "topic_handlers.h"
#include "trace.h"

namespace livekit::internal {

/// What a Room is. Its threads hold it, and may outlive the room when a callback destroys that.
class RoomCore : public std::enable_shared_from_this<RoomCore> {
 public:
  explicit RoomCore(Room& room);

  bool connect(const std::string& url, const std::string& token, const RoomOptions& options);
  bool disconnect(DisconnectReason reason);
  /// Leaves without events, and waits for callbacks except the own one.
  void shutDown();
  /// The room is being destroyed.
  void close();
  /// Whether it belongs to the process that this one was forked from: its threads are not here.
  bool isForked() const;

  void setDelegate(RoomDelegate* delegate);
  RoomInfoData info() const;
  ConnectionState state() const;
  /// Null outside of a session.
  std::shared_ptr<Session> session() const;
  FrameCallbacks& frames() { return frames_; }
  TopicHandlers<TextStreamHandler>& textHandlers() { return text_handlers_; }
  TopicHandlers<ByteStreamHandler>& byteHandlers() { return byte_handlers_; }

  /// The session has ended by itself; nothing when it is not the present one.
  void sessionEnded(Session& session, DisconnectReason reason);
  void trackPublished(const Session& session, const std::shared_ptr<RemoteDataTrack>& track);
  void trackUnpublished(const std::string& sid) { frames_.trackUnpublished(sid); }

  /// Tells the delegate, unless the session is not the present one any more.
  template <typename Tell>
  void tell(const Session& session, Tell&& tell) {
    std::unique_lock lock(mutex_);
    if (session_.get() == &session) call(lock, tell);
  }

  /// Calls a handler that is not the delegate's, unless the session is not the present one any more.
  template <typename Handle>
  void handle(const Session& session, const char* what, Handle&& handle) noexcept;

 private:
  /// Tells the delegate about the end of a session.
  template <typename Tell>
  void tellEnd(Tell&& tell) {
    std::unique_lock lock(mutex_);
    call(lock, tell);
  }
  template <typename Tell>
  void call(std::unique_lock<std::mutex>& lock, Tell&& tell) noexcept;

  /// Who takes the session away ends it.
  std::shared_ptr<Session> takeSession();
  void endSession(Session& session);
  /// Joins the threads of sessions before; only those that have ended, or all.
  void reap(bool all);

  const pid_t process_;
  mutable std::mutex mutex_;
  /// Null once the room is being destroyed.
  Room* room_;
  RoomDelegate* delegate_ = nullptr;
  ConnectionState state_ = ConnectionState::Disconnected;
  std::shared_ptr<Session> session_;
  /// The session before, whose info is still told.
  std::shared_ptr<Session> last_;
  std::vector<std::shared_ptr<Session>> retired_;
  CallbackGate gate_;
  FrameCallbacks frames_;
  TopicHandlers<TextStreamHandler> text_handlers_;
  TopicHandlers<ByteStreamHandler> byte_handlers_;
};

template <typename Tell>
void RoomCore::call(std::unique_lock<std::mutex>& lock, Tell&& tell) noexcept {
  if (room_ == nullptr || delegate_ == nullptr) return;
  // Passed under the lock, so that whoever replaces the delegate waits for this call.
  const CallbackGate::Pass pass(gate_);
  Room& room = *room_;
  RoomDelegate& delegate = *delegate_;
  lock.unlock();
  const TraceSpan span("livekit.callback", "delegate");
  try {
    tell(room, delegate);
  } catch (const std::exception& error) {
    log(LogLevel::Error, std::string("a delegate threw: ") + error.what());
  } catch (...) {
    log(LogLevel::Error, "a delegate threw something that is no std::exception");
  }
}

template <typename Handle>
void RoomCore::handle(const Session& session, const char* what, Handle&& handle) noexcept {
  std::unique_lock lock(mutex_);
  if (session_.get() != &session || room_ == nullptr) return;
  const CallbackGate::Pass pass(gate_);
  lock.unlock();
  const TraceSpan span("livekit.callback", what);
  try {
    handle();
  } catch (const std::exception& error) {
    log(LogLevel::Error, std::string("a handler of a ") + what + " threw: " + error.what());
  } catch (...) {
    log(LogLevel::Error, std::string("a handler of a ") + what + " threw something that is no std::exception");
  }
}

}  // namespace livekit::internal
