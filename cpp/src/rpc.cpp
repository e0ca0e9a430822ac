#include <algorithm>
#include <exception>
#include <memory>
#include <stdexcept>
#include <utility>

#include <livekit/local_participant.h>
#include <livekit/rpc_error.h>
#include <tramline.h>

#include "hand_over.h"
#include "log.h"
#include "room_handle.h"
#include "text.h"
#include "trace.h"

namespace livekit {
namespace {

const char* messageOf(RpcError::ErrorCode code) {
  switch (code) {
    case RpcError::ErrorCode::APPLICATION_ERROR: return "Application error in method handler";
    case RpcError::ErrorCode::CONNECTION_TIMEOUT: return "Connection timeout";
    case RpcError::ErrorCode::RESPONSE_TIMEOUT: return "Response timeout";
    case RpcError::ErrorCode::RECIPIENT_DISCONNECTED: return "Recipient disconnected";
    case RpcError::ErrorCode::RESPONSE_PAYLOAD_TOO_LARGE: return "Response payload too large";
    case RpcError::ErrorCode::SEND_FAILED: return "Failed to send";
    case RpcError::ErrorCode::UNSUPPORTED_METHOD: return "Method not supported at destination";
    case RpcError::ErrorCode::RECIPIENT_NOT_FOUND: return "Recipient not found";
    case RpcError::ErrorCode::REQUEST_PAYLOAD_TOO_LARGE: return "Request payload too large";
    case RpcError::ErrorCode::UNSUPPORTED_SERVER: return "RPC not supported by server";
    case RpcError::ErrorCode::UNSUPPORTED_VERSION: return "Unsupported RPC version";
  }
  return "";
}

/// A registered handler.
class Method {
 public:
  explicit Method(LocalParticipant::RpcHandler handler) : handler_(std::move(handler)) { internal::handOver(this); }

  static void run(void* method, tramline_rpc_call* call) noexcept {
    internal::takeOver(method);
    static_cast<const Method*>(method)->answer(call);
    internal::handOver(method);
  }
  static void release(void* method) noexcept {
    internal::takeOver(method);
    delete static_cast<Method*>(method);
  }

 private:
  void answer(tramline_rpc_call* call) const noexcept {
    const std::unique_ptr<tramline_rpc_call, decltype(&tramline_rpc_call_free)> owned(call, tramline_rpc_call_free);
    const internal::TraceSpan span("livekit.callback", "rpc");
    try {
      tramline_rpc_call_info info{};
      info.struct_size = sizeof info;
      tramline_rpc_call_read_info(call, &info);
      constexpr double kMillisecondsPerSecond = 1e3;
      const auto answer = handler_({internal::copy(info.request_id), internal::copy(info.caller), internal::copy(info.payload),
                                    static_cast<double>(info.response_timeout_ms) / kMillisecondsPerSecond});
      const std::string payload = answer.value_or("");
      if (tramline_rpc_call_answer(call, payload.data(), payload.size()) != TRAMLINE_OK) {
        fail(call, RpcError::builtIn(RpcError::ErrorCode::APPLICATION_ERROR, tramline_last_error()));
      }
    } catch (const RpcError& error) {
      fail(call, error);
    } catch (const std::exception& error) {
      fail(call, RpcError::builtIn(RpcError::ErrorCode::APPLICATION_ERROR, error.what()));
    } catch (...) {
      fail(call, RpcError::builtIn(RpcError::ErrorCode::APPLICATION_ERROR));
    }
  }

  static void fail(const tramline_rpc_call* call, const RpcError& error) noexcept {
    const auto& message = error.message();
    const auto& data = error.data();
    if (tramline_rpc_call_fail(call, error.code(), message.data(), message.size(), data.data(), data.size()) != TRAMLINE_OK) {
      internal::log(LogLevel::Warn, std::string("an RPC error was not sent: ") + tramline_last_error());
    }
  }

  const LocalParticipant::RpcHandler handler_;
};

}  // namespace

RpcError::RpcError(std::uint32_t code, std::string message, std::string data)
    : std::runtime_error(message), code_(code), message_(std::move(message)), data_(std::move(data)) {}

RpcError::RpcError(ErrorCode code, std::string message, std::string data)
    : RpcError(static_cast<std::uint32_t>(code), std::move(message), std::move(data)) {}

RpcError::~RpcError() = default;

RpcError RpcError::builtIn(ErrorCode code, const std::string& data) { return RpcError(code, messageOf(code), data); }

std::string LocalParticipant::performRpc(const std::string& destination_identity, const std::string& method, const std::string& payload,
                                         const std::optional<double>& response_timeout) {
  const internal::TraceSpan span("livekit.rpc", "performRpc");
  const auto room = room_->lock();
  if (!room) throw RpcError::builtIn(RpcError::ErrorCode::SEND_FAILED, "the session has ended; connect again first");
  constexpr double kMillisecondsPerSecond = 1e3;
  const std::int64_t timeout = response_timeout ? static_cast<std::int64_t>(std::max(*response_timeout, 0.0) * kMillisecondsPerSecond) : -1;
  tramline_string response{};
  tramline_rpc_error error{};
  const tramline_status status =
      tramline_room_perform_rpc(room.get(), destination_identity.data(), destination_identity.size(), method.data(), method.size(), payload.data(),
                                payload.size(), timeout, &response, &error);
  if (status == TRAMLINE_OK) return internal::take(response);
  if (status != TRAMLINE_ERR_RPC) throw RpcError::builtIn(RpcError::ErrorCode::SEND_FAILED, tramline_last_error());
  std::string message = internal::take(error.message);
  throw RpcError(error.code, std::move(message), internal::take(error.data));
}

void LocalParticipant::registerRpcMethod(const std::string& method, RpcHandler handler) {
  const auto room = room_->lock();
  if (!room) throw std::runtime_error("LocalParticipant::registerRpcMethod(): the session has ended; connect again first");
  if (!handler) throw std::runtime_error("LocalParticipant::registerRpcMethod(): the handler is empty; unregisterRpcMethod() takes one away");
  auto registered = std::make_unique<Method>(std::move(handler));
  const tramline_status status =
      tramline_room_register_rpc(room.get(), method.data(), method.size(), Method::run, registered.get(), Method::release);
  if (status != TRAMLINE_OK) throw std::runtime_error(std::string("LocalParticipant::registerRpcMethod(): ") + tramline_last_error());
  static_cast<void>(registered.release());
}

void LocalParticipant::unregisterRpcMethod(const std::string& method) {
  if (const auto room = room_->lock()) tramline_room_unregister_rpc(room.get(), method.data(), method.size());
}

}  // namespace livekit
