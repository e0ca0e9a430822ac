#pragma once

/// @file
/// The participant that the session is.

#include <memory>
#include <string>

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
  /// Ends `track` for everybody, as LocalDataTrack::unpublishDataTrack() does; nothing for null.
  void unpublishDataTrack(const std::shared_ptr<LocalDataTrack>& track);

 private:
  friend class internal::Session;
  LocalParticipant(std::shared_ptr<internal::RoomHandle> room, FfiHandle handle, std::string sid, std::string name, std::string identity,
                   std::string metadata, std::unordered_map<std::string, std::string> attributes, ParticipantKind kind);

  std::shared_ptr<internal::RoomHandle> room_;
};

}  // namespace livekit
