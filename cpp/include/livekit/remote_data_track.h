#pragma once

/// @file
/// A track of another participant.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <livekit/data_track_error.h>
#include <livekit/data_track_info.h>
#include <livekit/data_track_stream.h>
#include <livekit/result.h>
#include <livekit/visibility.h>

struct tramline_remote_track;

namespace livekit {

namespace internal {
class Session;
}

/// How the packets of a track become frames again, for all its streams.
struct DataTrackPipelineOptions {
  /// Frames of several packets that may be under way at once, which is what reordering on the network asks for. Unset leaves it as it is, at
  /// first 8; with 1 it is as in LiveKit's clients, where the start of a frame gives up the one before. 0 is 1.
  std::optional<std::uint32_t> max_partial_frames;
};

/// A data track of another participant. Comes with RoomDelegate::onDataTrackPublished(); holding it costs nothing until it is subscribed to.
class LIVEKIT_API RemoteDataTrack {
 public:
  ~RemoteDataTrack();
  RemoteDataTrack(const RemoteDataTrack&) = delete;
  RemoteDataTrack& operator=(const RemoteDataTrack&) = delete;

  /// What it is. Does not change.
  const DataTrackInfo& info() const noexcept { return info_; }
  /// Who publishes it.
  const std::string& publisherIdentity() const noexcept { return publisher_; }
  /// Whether it is still published, as far as this side knows.
  bool isPublished() const;
  /// Sets how its packets become frames, for present and later streams, from the next packet on.
  void setPipelineOptions(const DataTrackPipelineOptions& options);

  /// Subscribes, without waiting for the server: DataTrackStream::read() does that, and DataTrackStream::terminalError() says it when the
  /// subscription could not be set up.
  ///
  /// Streams of one track are independent of each other, and only the first one asks the server.
  Result<std::shared_ptr<DataTrackStream>, SubscribeDataTrackError> subscribe(const DataTrackStream::Options& options = {});

 private:
  friend class internal::Session;
  /// Takes the handle over.
  explicit RemoteDataTrack(tramline_remote_track* track);

  struct Free {
    void operator()(tramline_remote_track* track) const noexcept;
  };
  std::unique_ptr<tramline_remote_track, Free> track_;
  DataTrackInfo info_;
  std::string publisher_;
};

}  // namespace livekit
