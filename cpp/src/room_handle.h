#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include <tramline.h>

namespace livekit::internal {

/// The handle of a session, for whoever asks something of it, until the session has ended.
class RoomHandle {
 public:
  /// Takes the handle over.
  explicit RoomHandle(tramline_room* room) : room_(room, tramline_room_free) {}

  /// Null once the session has ended. Whoever holds it last frees it.
  std::shared_ptr<tramline_room> lock() const {
    const std::lock_guard lock(mutex_);
    return room_;
  }

  void release() {
    std::shared_ptr<tramline_room> dropped;
    {
      const std::lock_guard lock(mutex_);
      dropped.swap(room_);
    }
    // Freed outside of the lock if this was the last one.
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<tramline_room> room_;
};

}  // namespace livekit::internal
