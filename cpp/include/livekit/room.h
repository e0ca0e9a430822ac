#pragma once

/// @file
/// A room.

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <livekit/data_stream.h>
#include <livekit/e2ee.h>
#include <livekit/local_participant.h>
#include <livekit/remote_data_track.h>
#include <livekit/remote_participant.h>
#include <livekit/room_delegate.h>
#include <livekit/room_event_types.h>
#include <livekit/stats.h>
#include <livekit/visibility.h>

namespace livekit {

namespace internal {
class RoomCore;
}

/// A STUN or TURN server. Without effect, see RoomOptions::rtc_config.
struct IceServer {
  std::string url;         ///< Where it is.
  std::string username;    ///< Who asks.
  std::string credential;  ///< And may.
};

/// Settings of WebRTC. Without effect, see RoomOptions::rtc_config.
struct RtcConfig {
  int ice_transport_type = 0;          ///< LiveKit's number.
  int continual_gathering_policy = 0;  ///< LiveKit's number.
  std::vector<IceServer> ice_servers;  ///< STUN and TURN servers.
};

/// How to join a room.
struct RoomOptions {
  /// Has no effect on data tracks: those are subscribed to one by one.
  bool auto_subscribe = true;
  /// Has no effect on data tracks.
  std::optional<bool> adaptive_stream;
  /// Has no effect on data tracks.
  bool dynacast = false;
  /// Encrypts data tracks end to end, and reads encrypted ones.
  std::optional<E2EEOptions> encryption;
  /// Has no effect: data goes to the server's own addresses. It is logged when it is set.
  std::optional<RtcConfig> rtc_config;
  /// How often to try again when the server cannot be reached; unset is not at all. Each try has the time of `connect_timeout`.
  std::optional<std::uint32_t> join_retries;
  /// One WebRTC connection for both directions, as current servers know it; a server that does not know it gets two all the same.
  bool single_peer_connection = true;
  /// Time for connecting as a whole; unset is 15 s.
  std::optional<std::chrono::milliseconds> connect_timeout;
  /// Names of other SDKs, for the server's statistics; not sent.
  std::optional<std::string> other_sdks;
};

/// Takes the frames of a track, and their time stamps.
using DataFrameCallback = std::function<void(const std::vector<std::uint8_t>& payload, std::optional<std::uint64_t> user_timestamp)>;
/// Stands for a callback that was added. Never used twice in one room; its greatest value stands for none.
using DataFrameCallbackId = std::uint64_t;

/// A participant's stay in a room, one after another.
///
/// Connect with connect(), publish with localParticipant(), subscribe to what RoomDelegate::onDataTrackPublished() tells of or with
/// addOnDataFrameCallback(), and leave with disconnect(). All functions but the destructor may be called from any thread at any time.
class LIVEKIT_API Room {
 public:
  Room();
  /// Leaves, and waits until neither the delegate nor a frame callback runs any more, except for the one that destroys the room.
  ~Room();
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  /// Tells `delegate` from now on, or nobody for null. Not owned.
  ///
  /// When this returns, the one before is not told anything any more, except when it is the one that calls this.
  void setDelegate(RoomDelegate* delegate);

  /// Joins the room that `token` names, on the server at `url` (ws://, wss://, http:// or https://), and waits until data can be sent and
  /// received.
  /// @return false when that failed, which is logged; the same room may be connected again.
  /// @throws std::runtime_error when it is connected, or being connected.
  bool connect(const std::string& url, const std::string& token, const RoomOptions& options);

  /// Leaves: sends what was accepted before, tells the server, and ends. RoomDelegate::onDisconnected() is called inside. Participants expire, tracks
  /// and streams end. May be called in a delegate and in a frame callback. May be connected again.
  /// @return true when this call did it, false when there was nothing to do.
  bool disconnect(DisconnectReason reason = DisconnectReason::ClientInitiated);

  /// What is known about the room; of the last one after the end.
  RoomInfoData roomInfo() const;
  /// How it stands.
  ConnectionState connectionState() const;

  /// The participant that the session is; empty outside of one.
  std::weak_ptr<LocalParticipant> localParticipant() const;
  /// The other participant of that identity; empty when there is none.
  std::weak_ptr<RemoteParticipant> remoteParticipant(const std::string& identity) const;
  /// The other participants, as they are now.
  std::vector<std::weak_ptr<RemoteParticipant>> remoteParticipants() const;

  /// The encryption of the session; empty outside of one, and unless RoomOptions::encryption was given.
  std::weak_ptr<E2EEManager> e2eeManager() const;

  /// What the connection has counted. The future is ready.
  /// @throws std::runtime_error when the room is not connected.
  std::future<SessionStats> getStats() const;

  /// Hands the texts of `topic` to `handler`, on the thread of the delegate, in this session and later ones. Texts without a handler are thrown away.
  /// @throws std::runtime_error when the topic has one already.
  void registerTextStreamHandler(const std::string& topic, TextStreamHandler handler);
  /// Takes the handler away; nothing when there is none.
  void unregisterTextStreamHandler(const std::string& topic);
  /// As registerTextStreamHandler(), for bytes.
  void registerByteStreamHandler(const std::string& topic, ByteStreamHandler handler);
  /// Takes the handler away; nothing when there is none.
  void unregisterByteStreamHandler(const std::string& topic);

  /// Subscribes to the track `track_name` of the participant `participant_identity` whenever it is published, and hands its frames to `callback`,
  /// on a thread of its own. Before or after the track is there, and across sessions. At most 20 at once get frames.
  /// @return what removeOnDataFrameCallback() takes; the greatest value when `callback` is empty.
  DataFrameCallbackId addOnDataFrameCallback(const std::string& participant_identity, const std::string& track_name, DataFrameCallback callback);
  /// Takes a callback away; nothing for an unknown id. When this returns, it does not run any more, except when it is the one that calls this.
  void removeOnDataFrameCallback(DataFrameCallbackId id);

 private:
  std::shared_ptr<internal::RoomCore> core_;
};

}  // namespace livekit
