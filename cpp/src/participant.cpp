#include <exception>
#include <memory>
#include <utility>

#include <livekit/local_participant.h>
#include <livekit/remote_participant.h>
#include <tramline.h>

#include "errors.h"
#include "room_handle.h"
#include "text.h"
#include "trace.h"

namespace livekit {

using PublishResult = Result<std::shared_ptr<LocalDataTrack>, PublishDataTrackError>;

RemoteParticipant::~RemoteParticipant() = default;

std::string RemoteParticipant::toString() const { return "RemoteParticipant(identity=" + identity() + ", sid=" + sid() + ", name=" + name() + ")"; }

std::ostream& operator<<(std::ostream& out, const RemoteParticipant& participant) { return out << participant.toString(); }

LocalParticipant::LocalParticipant(std::shared_ptr<internal::RoomHandle> room, FfiHandle handle, std::string sid, std::string name,
                                   std::string identity, std::string metadata, std::unordered_map<std::string, std::string> attributes,
                                   ParticipantKind kind)
    : Participant(std::move(handle), std::move(sid), std::move(name), std::move(identity), std::move(metadata), std::move(attributes), kind,
                  DisconnectReason::Unknown),
      room_(std::move(room)) {}

LocalParticipant::~LocalParticipant() = default;

PublishResult LocalParticipant::publishDataTrack(const std::string& name) {
  DataTrackPublishOptions options;
  options.name = name;
  return publishDataTrack(options);
}

PublishResult LocalParticipant::publishDataTrack(const DataTrackPublishOptions& options) try {
  const internal::TraceSpan span("livekit.data_track", "publish");
  const auto room = room_->lock();
  if (!room) {
    return PublishResult::failure(PublishDataTrackError{PublishDataTrackErrorCode::DISCONNECTED, "the session has ended; connect again and publish then"});
  }
  if (options.schema || options.frame_encoding) {
    // Better than a track whose frames nobody knows how to read.
    return PublishResult::failure(PublishDataTrackError{PublishDataTrackErrorCode::INTERNAL, "this version cannot publish a schema or a frame encoding; leave both unset"});
  }
  tramline_publish_options below{};
  tramline_publish_options_defaults(&below, sizeof below);
  below.name = internal::borrow(options.name);
  tramline_local_track* track = nullptr;
  const tramline_status status = tramline_room_publish(room.get(), &below, &track);
  if (status != TRAMLINE_OK) return PublishResult::failure(internal::publishError(status));
  return PublishResult::success(std::shared_ptr<LocalDataTrack>(new LocalDataTrack(track)));
} catch (const std::exception& error) {
  return PublishResult::failure(PublishDataTrackError{PublishDataTrackErrorCode::INTERNAL, error.what()});
}

void LocalParticipant::unpublishDataTrack(const std::shared_ptr<LocalDataTrack>& track) {
  if (track) track->unpublishDataTrack();
}

}  // namespace livekit
