#include <livekit/data_track_stream.h>

#include <tramline.h>

#include "errors.h"
#include "trace.h"

namespace livekit {
namespace {

/// A frame that was read, given back at the end.
class Received {
 public:
  Received() { tramline_frame_defaults(&frame_, sizeof frame_); }
  ~Received() { tramline_frame_release(&frame_); }
  Received(const Received&) = delete;
  Received& operator=(const Received&) = delete;

  tramline_frame* operator->() { return &frame_; }
  tramline_frame* place() { return &frame_; }

 private:
  tramline_frame frame_{};
};

}  // namespace

DataTrackStream::DataTrackStream(tramline_stream* stream) noexcept : stream_(stream) {}

DataTrackStream::~DataTrackStream() = default;

void DataTrackStream::Free::operator()(tramline_stream* stream) const noexcept { tramline_stream_free(stream); }

bool DataTrackStream::read(DataTrackFrame& frame) {
  const internal::TraceSpan span("livekit.stream", "read");
  Received received;
  if (tramline_stream_read(stream_.get(), -1, received.place()) != TRAMLINE_OK) return false;
  frame.payload.assign(received->data, received->data + received->len);
  frame.user_timestamp.reset();
  if (received->has_user_timestamp != 0) frame.user_timestamp = received->user_timestamp;
  return true;
}

std::optional<SubscribeDataTrackError> DataTrackStream::terminalError() const {
  const tramline_status status = tramline_stream_status(stream_.get());
  if (!internal::isSubscribeFailure(status)) return std::nullopt;
  return internal::subscribeError(status);
}

void DataTrackStream::close() { tramline_stream_close(stream_.get()); }

}  // namespace livekit
