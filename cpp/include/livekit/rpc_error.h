#pragma once

/// @file
/// Why a call of a method failed.

#include <cstdint>
#include <stdexcept>
#include <string>

#include <livekit/visibility.h>

namespace livekit {

/// Why a call failed; thrown by LocalParticipant::performRpc(), and by a handler that wants its caller to get it.
class LIVEKIT_API RpcError : public std::runtime_error {
 public:
  /// The failures that a handler does not throw itself. The numbers are LiveKit's.
  enum class ErrorCode : std::uint32_t {
    APPLICATION_ERROR = 1500,           ///< The handler failed in an unforeseen way.
    CONNECTION_TIMEOUT = 1501,          ///< The other side did not confirm the request.
    RESPONSE_TIMEOUT = 1502,            ///< It confirmed the request and did not answer in time.
    RECIPIENT_DISCONNECTED = 1503,      ///< It left the room.
    RESPONSE_PAYLOAD_TOO_LARGE = 1504,  ///< The answer is longer than this side takes.
    SEND_FAILED = 1505,                 ///< The request was not sent.
    UNSUPPORTED_METHOD = 1400,          ///< The method is not registered there.
    RECIPIENT_NOT_FOUND = 1401,         ///< There is no such participant.
    REQUEST_PAYLOAD_TOO_LARGE = 1402,   ///< The payload is longer than the other side takes.
    UNSUPPORTED_SERVER = 1403,          ///< The server is too old.
    UNSUPPORTED_VERSION = 1404,         ///< The request is of another version.
  };

  /// With a number of the application's; at most 256 bytes of the message travel, and 15 KiB of the data.
  RpcError(std::uint32_t code, std::string message, std::string data = {});
  /// With one of the known numbers.
  RpcError(ErrorCode code, std::string message, std::string data = {});
  RpcError(const RpcError&) = default;
  RpcError& operator=(const RpcError&) = default;
  ~RpcError() override;

  /// The number.
  std::uint32_t code() const noexcept { return code_; }
  /// In words.
  const std::string& message() const noexcept { return message_; }
  /// More, for the application; empty for none.
  const std::string& data() const noexcept { return data_; }

  /// One of the known failures, in LiveKit's words.
  static RpcError builtIn(ErrorCode code, const std::string& data = {});

 private:
  std::uint32_t code_;
  std::string message_;
  std::string data_;
};

}  // namespace livekit
