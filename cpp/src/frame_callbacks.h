#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <livekit/remote_data_track.h>
#include <livekit/room.h>

namespace livekit::internal {

class FrameReader;

/// The frame callbacks of a room, and the tracks that they may be waiting for.
class FrameCallbacks {
 public:
  FrameCallbacks();
  /// Nobody may be reading any more: stopAll() was called.
  ~FrameCallbacks();

  DataFrameCallbackId add(const std::string& identity, const std::string& track_name, DataFrameCallback callback);
  /// Returns when the callback does not run any more, except in itself.
  void remove(DataFrameCallbackId id);

  void trackPublished(const std::shared_ptr<RemoteDataTrack>& track);
  void trackUnpublished(const std::string& sid);
  /// Ends the streams; callbacks wait for the next session.
  void sessionEnded();
  /// Removes all callbacks.
  void stopAll();
  /// Returns when no callback runs, except the one that calls this.
  void wait();

 private:
  /// Identity and name.
  using Key = std::pair<std::string, std::string>;

  /// Under the lock. What went wrong, or nothing.
  std::string start(FrameReader& reader, const std::shared_ptr<RemoteDataTrack>& track);
  std::vector<std::shared_ptr<FrameReader>> readers() const;

  mutable std::mutex mutex_;
  DataFrameCallbackId next_id_ = 0;
  std::map<DataFrameCallbackId, std::shared_ptr<FrameReader>> readers_;
  std::map<Key, std::shared_ptr<RemoteDataTrack>> tracks_;
};

}  // namespace livekit::internal
