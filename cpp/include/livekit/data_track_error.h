#pragma once

/// @file
/// Why a call on a data track failed. The numbers are LiveKit's.

#include <cstdint>
#include <string>

namespace livekit {

/// Why a track was not published.
enum class PublishDataTrackErrorCode : std::uint32_t {
  UNKNOWN = 0,         ///< For a reason that has no number.
  INVALID_HANDLE = 1,  ///< The server did not like the track's handle.
  DUPLICATE_NAME = 2,  ///< This participant already publishes a track of that name.
  TIMEOUT = 3,         ///< The server did not answer in time.
  DISCONNECTED = 4,    ///< The session has ended.
  NOT_ALLOWED = 5,     ///< The token does not allow it.
  INVALID_NAME = 6,    ///< A name has 1 to 256 bytes.
  LIMIT_REACHED = 7,   ///< No more tracks in this session.
  PROTOCOL_ERROR = 8,  ///< The server's answer makes no sense.
  INTERNAL = 9,        ///< Through a fault of this side or the server's; the message says which.
  INVALID_SCHEMA = 10, ///< Schema and frame encoding do not go together, or the server does not accept them.
};

/// Why a frame was not taken.
enum class LocalDataTrackTryPushErrorCode : std::uint32_t {
  UNKNOWN = 0,            ///< For a reason that has no number.
  INVALID_HANDLE = 1,     ///< The track's handle is of no use, for instance in a child of `fork`.
  TRACK_UNPUBLISHED = 2,  ///< The track is not published any more, or the session has ended.
  QUEUE_FULL = 3,         ///< There is no room in the track's queue, and it refuses instead of dropping its oldest frames.
  INTERNAL = 4,           ///< The frame is larger than any receiver takes, or a fault of this side; the message says which.
};

/// Why a subscription was not set up.
enum class SubscribeDataTrackErrorCode : std::uint32_t {
  UNKNOWN = 0,         ///< For a reason that has no number.
  INVALID_HANDLE = 1,  ///< The track's handle is of no use, for instance in a child of `fork`.
  UNPUBLISHED = 2,     ///< LiveKit's number; the SDK says INTERNAL in this case, as LiveKit's does.
  TIMEOUT = 3,         ///< The server did not start it in time; the usual reason is a token without `canSubscribe`.
  DISCONNECTED = 4,    ///< The session has ended.
  PROTOCOL_ERROR = 5,  ///< The server's answer makes no sense.
  INTERNAL = 6,        ///< The track is not published any more, or a fault of this side; the message says which.
};

/// Why a track was not published.
struct PublishDataTrackError {
  PublishDataTrackErrorCode code = PublishDataTrackErrorCode::UNKNOWN;  ///< For the program.
  std::string message;                                                 ///< For people: what was wrong, what was expected, what to do.
};

/// Why a frame was not taken.
struct LocalDataTrackTryPushError {
  LocalDataTrackTryPushErrorCode code = LocalDataTrackTryPushErrorCode::UNKNOWN;  ///< For the program.
  std::string message;                                                           ///< For people: what was wrong, what was expected, what to do.
};

/// Why a subscription was not set up.
struct SubscribeDataTrackError {
  SubscribeDataTrackErrorCode code = SubscribeDataTrackErrorCode::UNKNOWN;  ///< For the program.
  std::string message;                                                     ///< For people: what was wrong, what was expected, what to do.
};

}  // namespace livekit
