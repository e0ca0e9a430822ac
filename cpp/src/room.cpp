#include <livekit/room.h>

#include <limits>
#include <stdexcept>
#include <utility>

#include "process.h"
#include "room_core.h"

namespace livekit {

Room::Room() : core_(std::make_shared<internal::RoomCore>(*this)) { internal::addRoom(core_); }

Room::~Room() {
  if (core_->isForked()) {
    // Its threads are not in this process, and its locks may be held by them: it is left as it is.
    static_cast<void>(new std::shared_ptr<internal::RoomCore>(std::move(core_)));
    return;
  }
  core_->close();
}

void Room::setDelegate(RoomDelegate* delegate) { core_->setDelegate(delegate); }

bool Room::connect(const std::string& url, const std::string& token, const RoomOptions& options) { return core_->connect(url, token, options); }

bool Room::disconnect(DisconnectReason reason) { return core_->disconnect(reason); }

RoomInfoData Room::roomInfo() const { return core_->info(); }

ConnectionState Room::connectionState() const { return core_->state(); }

std::weak_ptr<LocalParticipant> Room::localParticipant() const {
  const auto session = core_->session();
  return session ? session->local() : nullptr;
}

std::weak_ptr<RemoteParticipant> Room::remoteParticipant(const std::string& identity) const {
  const auto session = core_->session();
  return session ? session->remote(identity) : nullptr;
}

std::vector<std::weak_ptr<RemoteParticipant>> Room::remoteParticipants() const {
  const auto session = core_->session();
  return session ? session->remotes() : std::vector<std::weak_ptr<RemoteParticipant>>();
}

std::weak_ptr<E2EEManager> Room::e2eeManager() const {
  const auto session = core_->session();
  return session ? session->encryption() : nullptr;
}

std::future<SessionStats> Room::getStats() const {
  const auto session = core_->session();
  auto stats = session ? session->stats() : std::nullopt;
  if (!stats) throw std::runtime_error("Room::getStats(): the room is not connected");
  std::promise<SessionStats> promise;
  promise.set_value(std::move(*stats));
  return promise.get_future();
}

void Room::registerTextStreamHandler(const std::string& topic, TextStreamHandler handler) {
  if (!core_->isForked()) core_->textHandlers().add(topic, std::move(handler));
}

void Room::unregisterTextStreamHandler(const std::string& topic) {
  if (!core_->isForked()) core_->textHandlers().remove(topic);
}

void Room::registerByteStreamHandler(const std::string& topic, ByteStreamHandler handler) {
  if (!core_->isForked()) core_->byteHandlers().add(topic, std::move(handler));
}

void Room::unregisterByteStreamHandler(const std::string& topic) {
  if (!core_->isForked()) core_->byteHandlers().remove(topic);
}

DataFrameCallbackId Room::addOnDataFrameCallback(const std::string& participant_identity, const std::string& track_name, DataFrameCallback callback) {
  if (core_->isForked()) return std::numeric_limits<DataFrameCallbackId>::max();
  return core_->frames().add(participant_identity, track_name, std::move(callback));
}

void Room::removeOnDataFrameCallback(DataFrameCallbackId id) {
  if (!core_->isForked()) core_->frames().remove(id);
}

}  // namespace livekit
