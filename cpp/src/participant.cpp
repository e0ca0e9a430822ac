#include <exception>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include <livekit/local_participant.h>
#include <livekit/remote_participant.h>
#include <tramline.h>

#include "errors.h"
#include "log.h"
#include "room_handle.h"
#include "schema.h"
#include "text.h"
#include "trace.h"

namespace livekit {

using PublishResult = Result<std::shared_ptr<LocalDataTrack>, PublishDataTrackError>;

namespace {

/// Why a call on `room` failed. A room that has ended is null.
std::string problem(const std::shared_ptr<tramline_room>& room) {
  return room ? tramline_last_error() : "the session has ended; connect again first";
}

/// For calls without a result.
void expectOk(const std::shared_ptr<tramline_room>& room, const char* call, tramline_status status) {
  if (status != TRAMLINE_OK) throw std::runtime_error("LocalParticipant::" + std::string(call) + "(): " + problem(room));
}

}  // namespace

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
  tramline_publish_options below{};
  tramline_publish_options_defaults(&below, sizeof below);
  below.name = internal::borrow(options.name);
  if (options.schema) below.schema = internal::below(*options.schema);
  if (options.frame_encoding) below.frame_encoding = internal::below(*options.frame_encoding);
  below.priority = static_cast<std::int32_t>(options.priority);
  below.repair = static_cast<std::int32_t>(options.repair);
  tramline_local_track* track = nullptr;
  const tramline_status status = tramline_room_publish(room.get(), &below, &track);
  if (status != TRAMLINE_OK) return PublishResult::failure(internal::publishError(status));
  return PublishResult::success(std::shared_ptr<LocalDataTrack>(new LocalDataTrack(track)));
} catch (const std::exception& error) {
  return PublishResult::failure(PublishDataTrackError{PublishDataTrackErrorCode::INTERNAL, error.what()});
}

void LocalParticipant::publishData(const std::vector<std::uint8_t>& payload, bool reliable, const std::vector<std::string>& destination_identities,
                                   const std::string& topic) {
  if (payload.empty()) return;
  const auto room = room_->lock();
  std::vector<tramline_str> destinations;
  destinations.reserve(destination_identities.size());
  for (const auto& identity : destination_identities) destinations.push_back(internal::borrow(identity));
  tramline_data_packet packet{};
  tramline_data_packet_defaults(&packet, sizeof packet);
  packet.data = payload.data();
  packet.len = payload.size();
  packet.topic = internal::borrow(topic);
  packet.destinations = destinations.data();
  packet.destination_count = destinations.size();
  packet.reliable = reliable ? 1 : 0;
  expectOk(room, "publishData", tramline_room_publish_data(room.get(), &packet));
}

void LocalParticipant::publishDtmf(int code, const std::string& digit) {
  const auto room = room_->lock();
  expectOk(room, "publishDtmf",
           tramline_room_publish_dtmf(room.get(), static_cast<std::uint32_t>(code), digit.data(), digit.size(), nullptr, 0));
}

void LocalParticipant::unpublishDataTrack(const std::shared_ptr<LocalDataTrack>& track) {
  if (track) track->unpublishDataTrack();
}

bool LocalParticipant::defineSchema(const DataTrackSchemaId& schema, const std::string& definition) {
  const auto room = room_->lock();
  const auto id = internal::below(schema);
  const tramline_status status = tramline_room_define_schema(room.get(), &id, definition.data(), definition.size());
  if (status == TRAMLINE_OK) return true;
  internal::log(LogLevel::Error, "cannot define the schema " + schema.name + ": " + problem(room));
  return false;
}

std::optional<std::string> LocalParticipant::getSchema(const DataTrackSchemaId& schema, const std::string& participant_identity) {
  const auto room = room_->lock();
  const auto id = internal::below(schema);
  tramline_string definition{};
  const tramline_status status =
      tramline_room_fetch_schema(room.get(), &id, participant_identity.data(), participant_identity.size(), &definition);
  if (status == TRAMLINE_OK) return internal::take(definition);
  internal::log(LogLevel::Error, "cannot get the schema " + schema.name + " of " + participant_identity + ": " + problem(room));
  return std::nullopt;
}

void LocalParticipant::setMetadata(const std::string& metadata) {
  const auto room = room_->lock();
  expectOk(room, "setMetadata", tramline_room_set_metadata(room.get(), metadata.data(), metadata.size()));
}

void LocalParticipant::setName(const std::string& name) {
  const auto room = room_->lock();
  expectOk(room, "setName", tramline_room_set_name(room.get(), name.data(), name.size()));
}

void LocalParticipant::setAttributes(const std::unordered_map<std::string, std::string>& attributes) {
  const auto room = room_->lock();
  std::vector<tramline_attribute> below;
  below.reserve(attributes.size());
  for (const auto& [key, value] : attributes) below.push_back({internal::borrow(key), internal::borrow(value)});
  expectOk(room, "setAttributes", tramline_room_set_attributes(room.get(), below.data(), below.size()));
}

}  // namespace livekit
