#include "errors.h"

#include <string>

namespace livekit::internal {
namespace {

static_assert(TRAMLINE_ERR_PUBLISH_INVALID_SCHEMA - 100 == static_cast<int>(PublishDataTrackErrorCode::INVALID_SCHEMA));
static_assert(TRAMLINE_ERR_PUSH_INTERNAL - 200 == static_cast<int>(LocalDataTrackTryPushErrorCode::INTERNAL));
static_assert(TRAMLINE_ERR_SUBSCRIBE_INTERNAL - 300 == static_cast<int>(SubscribeDataTrackErrorCode::INTERNAL));

bool isBetween(tramline_status status, int first, int last) { return status >= first && status <= last; }

/// What went wrong before the call reached the track.
template <typename Code>
Code general(tramline_status status) {
  switch (status) {
    case TRAMLINE_ERR_NULL:
    case TRAMLINE_ERR_FORKED:
      return Code::INVALID_HANDLE;
    default:
      return Code::INTERNAL;
  }
}

std::string message(tramline_status status) {
  const char* said = tramline_last_error();
  return *said != '\0' ? said : tramline_status_name(status);
}

}  // namespace

PublishDataTrackError publishError(tramline_status status) {
  using Code = PublishDataTrackErrorCode;
  Code code = general<Code>(status);
  if (isBetween(status, 100, 110)) code = static_cast<Code>(tramline_status_livekit_code(status));
  if (status == TRAMLINE_ERR_DISCONNECTED) code = Code::DISCONNECTED;
  if (status == TRAMLINE_ERR_INVALID_UTF8) code = Code::INVALID_NAME;
  return {code, message(status)};
}

LocalDataTrackTryPushError pushError(tramline_status status) {
  using Code = LocalDataTrackTryPushErrorCode;
  Code code = general<Code>(status);
  if (isBetween(status, 200, 299)) code = static_cast<Code>(tramline_status_livekit_code(status));
  return {code, message(status)};
}

SubscribeDataTrackError subscribeError(tramline_status status) {
  using Code = SubscribeDataTrackErrorCode;
  Code code = general<Code>(status);
  if (isBetween(status, 300, 399)) code = static_cast<Code>(tramline_status_livekit_code(status));
  if (status == TRAMLINE_ERR_DISCONNECTED) code = Code::DISCONNECTED;
  // What programs written for LiveKit's SDK look for.
  if (status == TRAMLINE_ERR_SUBSCRIBE_UNPUBLISHED) code = Code::INTERNAL;
  return {code, message(status)};
}

bool isSubscribeFailure(tramline_status status) {
  switch (status) {
    case TRAMLINE_OK:
    case TRAMLINE_TIMED_OUT:
    case TRAMLINE_EMPTY:
    case TRAMLINE_ENDED:
    case TRAMLINE_CLOSED:
    case TRAMLINE_ERR_DISCONNECTED:
      return false;
    default:
      return true;
  }
}

}  // namespace livekit::internal
