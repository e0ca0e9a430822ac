#pragma once

/// @file
/// Who is told what happens in a room.

#include <livekit/room_event_types.h>
#include <livekit/visibility.h>

namespace livekit {

class Room;

/// Is told what happens in a room. Override what is of interest.
///
/// Events come one after the other on a thread of the room's, and those of the end of a session on the thread that calls Room::disconnect().
/// Each of them may call any function of the SDK and wait for it, Room::disconnect() of its own room included; other events wait meanwhile.
/// An exception that leaves one is logged and dropped.
class LIVEKIT_API RoomDelegate {
 public:
  virtual ~RoomDelegate() = default;

  /// A participant came. Those who were there before are in Room::remoteParticipants() from the start.
  virtual void onParticipantConnected(Room&, const ParticipantConnectedEvent&) {}
  /// A participant went.
  virtual void onParticipantDisconnected(Room&, const ParticipantDisconnectedEvent&) {}
  /// The room's metadata changed.
  virtual void onRoomMetadataChanged(Room&, const RoomMetadataChangedEvent&) {}
  /// The server has said its id of the room, after the join.
  virtual void onRoomSidChanged(Room&, const RoomSidChangedEvent&) {}
  /// What is known about the room changed.
  virtual void onRoomUpdated(Room&, const RoomUpdatedEvent&) {}
  /// A participant's metadata changed.
  virtual void onParticipantMetadataChanged(Room&, const ParticipantMetadataChangedEvent&) {}
  /// A participant's name changed.
  virtual void onParticipantNameChanged(Room&, const ParticipantNameChangedEvent&) {}
  /// A participant's attributes changed.
  virtual void onParticipantAttributesChanged(Room&, const ParticipantAttributesChangedEvent&) {}
  /// A participant has begun, or ceased, to encrypt the tracks that it publishes; comes before onDataTrackPublished().
  virtual void onParticipantEncryptionStatusChanged(Room&, const ParticipantEncryptionStatusChangedEvent&) {}
  /// Frames of a participant's encrypted tracks cannot be decrypted; comes once for each cause, and again when keys have changed. Or they can be
  /// again, because the sender's ratchet was followed.
  virtual void onE2eeStateChanged(Room&, const E2eeStateChangedEvent&) {}
  /// The server gave a later token.
  virtual void onTokenRefreshed(Room&, const TokenRefreshedEvent&) {}
  /// Something about participants changed; comes after the event that says what.
  virtual void onParticipantsUpdated(Room&, const ParticipantsUpdatedEvent&) {}
  /// A packet came.
  virtual void onUserPacketReceived(Room&, const UserDataPacketEvent&) {}
  /// A tone of a telephone's keypad came.
  virtual void onSipDtmfReceived(Room&, const SipDtmfReceivedEvent&) {}
  /// Somebody sends a text; comes before its handler is called.
  virtual void onTextStreamOpened(Room&, const TextStreamOpenedEvent&) {}
  /// Somebody sends bytes; comes before their handler is called.
  virtual void onByteStreamOpened(Room&, const ByteStreamOpenedEvent&) {}
  /// The room's state changed.
  virtual void onConnectionStateChanged(Room&, const ConnectionStateChangedEvent&) {}
  /// The session is over. Comes once for each that began.
  virtual void onDisconnected(Room&, const DisconnectedEvent&) {}
  /// The server ended the session; comes after onDisconnected(), last of all.
  virtual void onRoomEos(Room&, const RoomEosEvent&) {}
  /// A data track can be subscribed to; comes as well for those that were there before the join.
  virtual void onDataTrackPublished(Room&, const DataTrackPublishedEvent&) {}
  /// A data track is gone.
  virtual void onDataTrackUnpublished(Room&, const DataTrackUnpublishedEvent&) {}

  /// A participant's connection is better or worse than before.
  virtual void onConnectionQualityChanged(Room&, const ConnectionQualityChangedEvent&) {}
  /// The server has put this participant into another room; everybody of the one before has gone.
  virtual void onRoomMoved(Room&, const RoomMovedEvent&) {}

  /// @name What does not happen in this version
  /// A session whose connection breaks ends. Declared so that delegates written for LiveKit's SDK compile.
  /// @{
  virtual void onReconnecting(Room&, const ReconnectingEvent&) {}
  virtual void onReconnected(Room&, const ReconnectedEvent&) {}
  /// @}
};

}  // namespace livekit
