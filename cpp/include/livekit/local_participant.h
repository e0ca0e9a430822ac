#pragma once

/// @file
/// The participant that the session is.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <livekit/data_track_error.h>
#include <livekit/data_track_options.h>
#include <livekit/data_track_schema.h>
#include <livekit/local_data_track.h>
#include <livekit/participant.h>
#include <livekit/result.h>
#include <livekit/visibility.h>

namespace livekit {

class BaseStreamWriter;
namespace internal {
class RoomHandle;
}

/// A call that came in, as its handler gets it.
struct RpcInvocationData {
  std::string request_id;           ///< The caller's id of the call.
  std::string caller_identity;      ///< Who calls.
  std::string payload;              ///< What the caller gave.
  double response_timeout_sec = 0;  ///< How long the caller waits, in seconds.
};

/// The participant that the session is. The room owns it: keep a `weak_ptr`.
///
/// All calls may be made from any thread, delegates and frame callbacks included, and wait for the server's answer.
class LIVEKIT_API LocalParticipant : public Participant {
 public:
  ~LocalParticipant() override;

  /// Publishes a data track, and waits until the server has agreed. Never throws.
  Result<std::shared_ptr<LocalDataTrack>, PublishDataTrackError> publishDataTrack(const std::string& name);
  /// As above, with options.
  Result<std::shared_ptr<LocalDataTrack>, PublishDataTrackError> publishDataTrack(const DataTrackPublishOptions& options);
  /// Stores the definition of a schema with the server, for those who read a track that names it. Define it before the track is published. A second
  /// definition replaces the first; the server forgets it when the participant leaves.
  /// @return false, and a line in the log, when it is too long, or the server does not store schemas.
  bool defineSchema(const DataTrackSchemaId& schema, const std::string& definition);
  /// The definition of a schema that a participant has stored, which may be this one; empty, and a line in the log, when there is none.
  std::optional<std::string> getSchema(const DataTrackSchemaId& schema, const std::string& participant_identity);

  /// Changes what the application stores with this participant, 1 byte to 512 KiB. The token needs `canUpdateOwnMetadata`. metadata() follows when
  /// the server tells everybody.
  /// @throws std::runtime_error when the server refuses, or the session has ended.
  void setMetadata(const std::string& metadata);
  /// As setMetadata(), for the name for display, 1 to 256 bytes.
  void setName(const std::string& name);
  /// As setMetadata(), for attributes: those that are not named stay, and an empty value removes one. 64 KiB in all.
  void setAttributes(const std::unordered_map<std::string, std::string>& attributes);

  /// Sends a packet, and waits: a reliable one until it has arrived at the server, a lossy one until it is on its way. Nothing for an empty payload.
  /// @throws std::runtime_error when it is longer than 64,000 bytes, the token does not allow it, or the session has ended.
  void publishData(const std::vector<std::uint8_t>& payload, bool reliable = true, const std::vector<std::string>& destination_identities = {},
                   const std::string& topic = {});
  /// Sends a tone of a telephone's keypad, `0` to `9`, `*`, `#`, `A` to `D`; otherwise as publishData().
  void publishDtmf(int code, const std::string& digit);

  /// Calls `method` of another participant, and waits for its answer, 15 s unless `response_timeout` says otherwise, in seconds.
  /// @throws RpcError with what the method threw, or why there is no answer.
  std::string performRpc(const std::string& destination_identity, const std::string& method, const std::string& payload,
                         const std::optional<double>& response_timeout = std::nullopt);
  /// Answers a call; an empty optional is an empty answer. What it throws fails the call: an RpcError as it is, anything else as APPLICATION_ERROR with
  /// its text as the data. Runs on threads of its own, several at once: it may wait, and call others.
  using RpcHandler = std::function<std::optional<std::string>(const RpcInvocationData&)>;
  /// Lets others call `method`; one that is registered already is replaced. For this session.
  /// @throws std::runtime_error when the session has ended.
  void registerRpcMethod(const std::string& method, RpcHandler handler);
  /// Calls of `method` are refused from now on; those that run go on. Unknown names are ignored.
  void unregisterRpcMethod(const std::string& method);

  /// Ends `track` for everybody, as LocalDataTrack::unpublishDataTrack() does; nothing for null.
  void unpublishDataTrack(const std::shared_ptr<LocalDataTrack>& track);

 private:
  friend class internal::Session;
  friend class BaseStreamWriter;
  LocalParticipant(std::shared_ptr<internal::RoomHandle> room, FfiHandle handle, std::string sid, std::string name, std::string identity,
                   std::string metadata, std::unordered_map<std::string, std::string> attributes, ParticipantKind kind);

  std::shared_ptr<internal::RoomHandle> room_;
};

}  // namespace livekit
