#pragma once

/// @file
/// What a RoomDelegate is told.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace livekit {

class Participant;
class RemoteParticipant;
class RemoteDataTrack;

/// How a room stands. The numbers are LiveKit's.
enum class ConnectionState {
  Disconnected = 0,  ///< Not in a room.
  Connected,         ///< In a room.
  Reconnecting,      ///< On the way into one.
};

/// Why a session, or a participant's stay, ended. The numbers are LiveKit's.
enum class DisconnectReason {
  Unknown = 0,         ///< Nobody said.
  ClientInitiated,     ///< It left by itself.
  DuplicateIdentity,   ///< Somebody joined with the same identity.
  ServerShutdown,      ///< The server went down.
  ParticipantRemoved,  ///< It was removed by the server's API.
  RoomDeleted,         ///< The room was deleted by the server's API.
  StateMismatch,       ///< The client was out of step with the server.
  JoinFailure,         ///< No data connection came about.
  Migration,           ///< It was asked to go to another server.
  SignalClose,         ///< The signalling connection broke.
  RoomClosed,          ///< Everybody else left.
  UserUnavailable,     ///< A telephone did not answer.
  UserRejected,        ///< A telephone refused.
  SipTrunkFailure,     ///< The telephone line failed.
  ConnectionTimeout,   ///< The server heard nothing for too long.
  MediaFailure,        ///< A media stream failed.
  AgentError,          ///< An agent failed.
};

/// How well a participant's connection does. The numbers are LiveKit's.
enum class ConnectionQuality {
  Poor = 0,   ///< Badly.
  Good,       ///< Well enough.
  Excellent,  ///< Well.
  Lost,       ///< Not at all.
};

/// How the encryption of a participant's tracks does. The numbers are LiveKit's.
enum class EncryptionState {
  New = 0,           ///< Nothing was encrypted or decrypted yet.
  Ok,                ///< It works.
  EncryptionFailed,  ///< Frames cannot be encrypted.
  DecryptionFailed,  ///< Frames cannot be decrypted: another key, index, identity or derivation.
  MissingKey,        ///< There is no key.
  KeyRatcheted,      ///< The sender has moved on to a later key of its ratchet.
  InternalError,     ///< Something else.
};

/// How a packet travels. The numbers are LiveKit's.
enum class DataPacketKind {
  Lossy = 0,  ///< Once.
  Reliable,   ///< Until it arrives.
};

/// A key and a value.
struct AttributeEntry {
  std::string key;    ///< The key.
  std::string value;  ///< The value; empty for one that was removed.

  AttributeEntry() = default;
  /// Both.
  AttributeEntry(std::string its_key, std::string its_value) : key(std::move(its_key)), value(std::move(its_value)) {}
};

/// What is known about a room. What the server has not said is empty or 0.
struct RoomInfoData {
  std::optional<std::string> sid;                              ///< The server's id of the room.
  std::string name;                                            ///< Its name.
  std::string metadata;                                        ///< What the application stored with it.
  std::uint64_t lossy_dc_buffered_amount_low_threshold = 0;    ///< 0: packets are not in this version.
  std::uint64_t reliable_dc_buffered_amount_low_threshold = 0; ///< 0: packets are not in this version.
  std::uint32_t empty_timeout = 0;                             ///< Seconds that it stays open when nobody has come.
  std::uint32_t departure_timeout = 0;                         ///< Seconds that it stays open when the last one has left.
  std::uint32_t max_participants = 0;                          ///< 0 for no limit.
  std::int64_t creation_time = 0;                              ///< Milliseconds since 1970.
  std::uint32_t num_participants = 0;                          ///< As the server counts; some seconds old.
  std::uint32_t num_publishers = 0;                            ///< As the server counts; some seconds old.
  bool active_recording = false;                               ///< Whether it is recorded.
};

/// A participant came.
struct ParticipantConnectedEvent {
  RemoteParticipant* participant = nullptr;  ///< Who. Valid during the call.
};

/// A participant went; its tracks were reported as unpublished before.
struct ParticipantDisconnectedEvent {
  RemoteParticipant* participant = nullptr;             ///< Who. Valid during the call.
  DisconnectReason reason = DisconnectReason::Unknown;  ///< Why, if the server said.
};

/// The room's metadata changed.
struct RoomMetadataChangedEvent {
  std::string old_metadata;  ///< Before.
  std::string new_metadata;  ///< Now.
};

/// The server has said its id of the room.
struct RoomSidChangedEvent {
  std::string sid;  ///< The id.
};

/// What is known about the room changed.
struct RoomUpdatedEvent {
  RoomInfoData info;  ///< As it is now.
};

/// A participant's metadata changed.
struct ParticipantMetadataChangedEvent {
  Participant* participant = nullptr;  ///< Whose. Valid during the call.
  std::string old_metadata;            ///< Before.
  std::string new_metadata;            ///< Now.
};

/// A participant's name changed.
struct ParticipantNameChangedEvent {
  Participant* participant = nullptr;  ///< Whose. Valid during the call.
  std::string old_name;                ///< Before.
  std::string new_name;                ///< Now.
};

/// A participant's attributes changed.
struct ParticipantAttributesChangedEvent {
  Participant* participant = nullptr;              ///< Whose. Valid during the call.
  std::vector<AttributeEntry> changed_attributes;  ///< Those that were added or changed; those that were removed, with an empty value.
};

/// A participant has begun, or ceased, to encrypt the tracks that it publishes.
struct ParticipantEncryptionStatusChangedEvent {
  Participant* participant = nullptr;  ///< Who. Valid during the call.
  bool is_encrypted = false;           ///< Whether it does, by the last track that it published.
};

/// Frames of a participant's encrypted tracks cannot be decrypted, or can be again with a later key.
struct E2eeStateChangedEvent {
  Participant* participant = nullptr;            ///< Whose. Valid during the call.
  EncryptionState state = EncryptionState::New;  ///< What became of them.
};

/// How well a participant's connection does.
struct ConnectionQualityChangedEvent {
  Participant* participant = nullptr;                   ///< Whose. Valid during the call.
  ConnectionQuality quality = ConnectionQuality::Good;  ///< How well.
};

/// The server gave a later token.
struct TokenRefreshedEvent {
  std::string token;  ///< For joining again when the first one has expired.
};

/// A packet came.
struct UserDataPacketEvent {
  std::vector<std::uint8_t> data;                  ///< The message.
  DataPacketKind kind = DataPacketKind::Reliable;  ///< How it travelled.
  RemoteParticipant* participant = nullptr;        ///< Who sent it; null for the server, and for somebody who is not seen. Valid during the call.
  std::string topic;                               ///< What it is about.
};

/// A tone of a telephone's keypad came.
struct SipDtmfReceivedEvent {
  int code = 0;                              ///< Its code.
  std::string digit;                         ///< The key.
  RemoteParticipant* participant = nullptr;  ///< Who sent it. Valid during the call.
};

/// Somebody sends a text; Room::registerTextStreamHandler() is the way to read it.
struct TextStreamOpenedEvent {
  std::uint64_t reader_handle = 0;   ///< A number that no other stream has.
  std::string participant_identity;  ///< Who.
};

/// Somebody sends bytes; Room::registerByteStreamHandler() is the way to read them.
struct ByteStreamOpenedEvent {
  std::uint64_t reader_handle = 0;   ///< A number that no other stream has.
  std::string participant_identity;  ///< Who.
};

/// The room is on another server.
struct RoomMovedEvent {
  RoomInfoData info;  ///< As it is now.
};

/// The connection broke and is being made anew.
struct ReconnectingEvent {};

/// The connection is there again.
struct ReconnectedEvent {};

/// Something about these participants changed.
struct ParticipantsUpdatedEvent {
  std::vector<Participant*> participants;  ///< Whose. Valid during the call.
};

/// The room's state changed.
struct ConnectionStateChangedEvent {
  ConnectionState state = ConnectionState::Disconnected;  ///< As it is now.
};

/// The session is over.
struct DisconnectedEvent {
  DisconnectReason reason = DisconnectReason::Unknown;  ///< Why.
};

/// The server ended the session, and nothing more will come of it.
struct RoomEosEvent {};

/// A data track can be subscribed to.
struct DataTrackPublishedEvent {
  std::shared_ptr<RemoteDataTrack> track;  ///< Which; keep it as long as it is of use.
};

/// A data track is gone; its streams end.
struct DataTrackUnpublishedEvent {
  std::string sid;  ///< Which.
};

}  // namespace livekit
