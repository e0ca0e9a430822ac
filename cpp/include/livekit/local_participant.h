#pragma once

/// @file
/// The participant that the session is.

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include <livekit/data_track_error.h>
#include <livekit/data_track_options.h>
#include <livekit/data_track_schema.h>
#include <livekit/local_data_track.h>
#include <livekit/participant.h>
#include <livekit/result.h>
#include <livekit/visibility.h>

namespace livekit {

namespace internal {
class RoomHandle;
}

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

  /// Ends `track` for everybody, as LocalDataTrack::unpublishDataTrack() does; nothing for null.
  void unpublishDataTrack(const std::shared_ptr<LocalDataTrack>& track);

 private:
  friend class internal::Session;
  LocalParticipant(std::shared_ptr<internal::RoomHandle> room, FfiHandle handle, std::string sid, std::string name, std::string identity,
                   std::string metadata, std::unordered_map<std::string, std::string> attributes, ParticipantKind kind);

  std::shared_ptr<internal::RoomHandle> room_;
};

}  // namespace livekit
