#pragma once

/// @file
/// The frames of one subscription.

#include <cstdint>
#include <memory>
#include <optional>

#include <livekit/data_track_error.h>
#include <livekit/data_track_frame.h>
#include <livekit/visibility.h>

struct tramline_stream;

namespace livekit {

/// The frames of one subscription, made by RemoteDataTrack::subscribe().
///
/// It lives behind a `shared_ptr` and is neither copied nor moved: every thread that reads or closes holds the same stream. All functions may be
/// called on any threads at any time; of several that read, each frame goes to one. Dropping the last pointer closes it, and the last stream
/// of a track unsubscribes from the server.
class LIVEKIT_API DataTrackStream {
 public:
  /// What a stream holds for its readers.
  struct Options {
    /// Frames that may wait for a reader before the oldest are dropped; unset is 16, and 0 is 1.
    std::optional<std::uint32_t> buffer_size;
  };

  virtual ~DataTrackStream();
  DataTrackStream(const DataTrackStream&) = delete;
  DataTrackStream& operator=(const DataTrackStream&) = delete;
  DataTrackStream(DataTrackStream&&) = delete;
  DataTrackStream& operator=(DataTrackStream&&) = delete;

  /// Waits for the next frame and puts it into `frame`, whose memory is used again.
  /// @return false once the stream has ended or was closed; `frame` is as it was then. terminalError() says whether it failed.
  bool read(DataTrackFrame& frame);
  /// Why the subscription could not be set up; empty while it goes on, after the end of the track or the session, and after close(). An error
  /// that came before a close stays.
  std::optional<SubscribeDataTrackError> terminalError() const;
  /// Ends the stream; idempotent. Threads that wait in read() return false, frames that wait are gone.
  void close();

 private:
  friend class RemoteDataTrack;
  /// Takes the handle over.
  explicit DataTrackStream(tramline_stream* stream) noexcept;

  struct Free {
    void operator()(tramline_stream* stream) const noexcept;
  };
  std::unique_ptr<tramline_stream, Free> stream_;
};

}  // namespace livekit
