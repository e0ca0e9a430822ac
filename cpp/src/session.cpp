#include "session.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>
#include <utility>

#include <livekit/remote_data_track.h>

#include "content.h"
#include "log.h"
#include "room_core.h"
#include "text.h"
#include "thread.h"

namespace livekit::internal {
namespace {

template <typename T, void (*free)(T*)>
struct Free {
  void operator()(T* handle) const noexcept { free(handle); }
};
template <typename T, void (*free)(T*)>
using Owned = std::unique_ptr<T, Free<T, free>>;

using OwnedEvent = Owned<tramline_event, tramline_event_free>;
using OwnedParticipant = Owned<tramline_participant, tramline_participant_free>;
using OwnedParticipants = Owned<tramline_participant_list, tramline_participant_list_free>;
using OwnedAttributes = Owned<tramline_attributes, tramline_attributes_free>;

std::vector<AttributeEntry> entries(const tramline_attributes* attributes) {
  std::vector<AttributeEntry> entries;
  for (std::size_t i = 0; i < tramline_attributes_len(attributes); ++i) {
    tramline_str key{};
    tramline_str value{};
    if (tramline_attributes_at(attributes, i, &key, &value) == TRAMLINE_OK) entries.emplace_back(copy(key), copy(value));
  }
  return entries;
}

std::unordered_map<std::string, std::string> attributesOf(const tramline_participant* participant) {
  tramline_attributes* list = nullptr;
  tramline_participant_attributes(participant, &list);
  const OwnedAttributes owned(list);
  std::unordered_map<std::string, std::string> attributes;
  for (auto& entry : entries(list)) attributes.emplace(std::move(entry.key), std::move(entry.value));
  return attributes;
}

ParticipantKind kindOf(const tramline_participant* participant) {
  switch (tramline_participant_kind_of(participant)) {
    case TRAMLINE_PARTICIPANT_INGRESS: return ParticipantKind::Ingress;
    case TRAMLINE_PARTICIPANT_EGRESS: return ParticipantKind::Egress;
    case TRAMLINE_PARTICIPANT_SIP: return ParticipantKind::Sip;
    case TRAMLINE_PARTICIPANT_AGENT: return ParticipantKind::Agent;
    default: return ParticipantKind::Standard;
  }
}

/// A number that no other participant has.
FfiHandle nextHandle() {
  static std::atomic<std::uintptr_t> last{0};
  return FfiHandle(++last);
}

/// Numbers that this version does not know are Unknown.
DisconnectReason reasonOf(std::int32_t number) {
  const bool is_known = number >= 0 && number <= static_cast<std::int32_t>(DisconnectReason::AgentError);
  return is_known ? static_cast<DisconnectReason>(number) : DisconnectReason::Unknown;
}

}  // namespace

std::shared_ptr<E2EEManager::KeyProvider> Session::makeKeys(const E2EEOptions& options) {
  const KeyProviderOptions& wanted = options.key_provider_options;
  if (options.encryption_type == EncryptionType::NONE) return nullptr;
  if (options.encryption_type != EncryptionType::GCM) {
    log(LogLevel::Error, "cannot connect: data tracks are encrypted with EncryptionType::GCM only");
    return nullptr;
  }
  tramline_key_options below{};
  tramline_key_options_defaults(&below, sizeof below);
  below.ratchet_salt = wanted.ratchet_salt.data();
  below.ratchet_salt_len = wanted.ratchet_salt.size();
  below.ratchet_window = static_cast<std::uint32_t>(std::max(wanted.ratchet_window_size, 0));
  below.ring_size = static_cast<std::uint32_t>(std::max(wanted.key_ring_size, 0));
  below.derivation = static_cast<std::int32_t>(wanted.key_derivation_function);
  tramline_keys* handle = nullptr;
  if (tramline_keys_new(&below, &handle) != TRAMLINE_OK) {
    log(LogLevel::Error, std::string("cannot connect: ") + tramline_last_error());
    return nullptr;
  }
  std::shared_ptr<E2EEManager::KeyProvider> keys(new E2EEManager::KeyProvider(wanted, handle));
  if (wanted.shared_key) keys->setSharedKey(*wanted.shared_key);
  return keys;
}

Session::Session(tramline_room* room, std::shared_ptr<E2EEManager::KeyProvider> keys) : handle_(std::make_shared<RoomHandle>(room)) {
  tramline_participant* local = nullptr;
  if (tramline_room_local_participant(room, &local) == TRAMLINE_OK) {
    const OwnedParticipant owned(local);
    local_.reset(new LocalParticipant(handle_, nextHandle(), ask(tramline_participant_sid, local), ask(tramline_participant_name, local),
                                      copy(tramline_participant_identity(local)), ask(tramline_participant_metadata, local), attributesOf(local),
                                      kindOf(local)));
  }
  if (keys) {
    encryption_.reset(new E2EEManager(std::move(keys), handle_, local_ ? local_->identity() : std::string()));
    encryption_->self_ = encryption_;
  }
  tramline_participant_list* others = nullptr;
  if (tramline_room_remote_participants(room, &others) == TRAMLINE_OK) {
    const OwnedParticipants owned(others);
    for (std::size_t i = 0; i < tramline_participant_list_len(others); ++i) addRemote(tramline_participant_list_at(others, i));
  }
}

Session::~Session() = default;

void Session::start(std::shared_ptr<RoomCore> core) {
  thread_ = startThread("livekit-events", [self = shared_from_this(), core = std::move(core)] { self->run(*core); });
}

void Session::leave() {
  if (const auto room = handle_->lock()) tramline_room_disconnect(room.get());
}

void Session::expire() {
  const RoomInfoData last = info();
  std::shared_ptr<E2EEManager> encryption;
  std::shared_ptr<LocalParticipant> local;
  std::map<std::string, std::shared_ptr<RemoteParticipant>> remotes;
  {
    const std::lock_guard lock(mutex_);
    last_info_ = last;
    encryption.swap(encryption_);
    local.swap(local_);
    remotes.swap(remotes_);
  }
  handle_->release();
}

void Session::join() {
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

RoomInfoData Session::info() const {
  const auto room = handle_->lock();
  if (!room) {
    const std::lock_guard lock(mutex_);
    return last_info_;
  }
  RoomInfoData info;
  if (auto sid = ask(tramline_room_sid, std::as_const(room).get()); !sid.empty()) info.sid = std::move(sid);
  info.name = ask<tramline_room>(tramline_room_name, room.get());
  info.metadata = ask<tramline_room>(tramline_room_metadata, room.get());
  tramline_room_info told{};
  told.struct_size = sizeof told;
  if (tramline_room_read_info(room.get(), &told) == TRAMLINE_OK) {
    info.empty_timeout = told.empty_timeout_s;
    info.departure_timeout = told.departure_timeout_s;
    info.max_participants = told.max_participants;
    info.creation_time = told.created_at_ms;
    info.num_participants = told.num_participants;
    info.num_publishers = told.num_publishers;
    info.active_recording = told.is_recorded != 0;
  }
  return info;
}

std::optional<SessionStats> Session::stats() const {
  tramline_room_stats counted{};
  counted.struct_size = sizeof counted;
  const auto room = handle_->lock();
  if (!room || tramline_room_read_stats(room.get(), &counted) != TRAMLINE_OK) return std::nullopt;
  using namespace std::chrono;
  const std::int64_t now = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
  constexpr double kMicrosecondsPerSecond = 1e6;

  const RtcTransportStats transport{{"transport", now},
                                    {counted.datagrams_sent, counted.datagrams_received, counted.bytes_sent, counted.bytes_received}};
  const RtcDataChannelStats channels{{"data-channels", now},
                                     {static_cast<std::uint32_t>(counted.messages_sent), static_cast<std::uint32_t>(counted.messages_received)}};
  const RtcCandidatePairStats pair{{"candidate-pair", now},
                                   {static_cast<double>(counted.round_trip_us) / kMicrosecondsPerSecond, static_cast<std::uint32_t>(counted.send_drops)}};
  return SessionStats{{{transport}, {channels}, {pair}}, {}};
}

std::shared_ptr<E2EEManager> Session::encryption() const {
  const std::lock_guard lock(mutex_);
  return encryption_;
}

std::shared_ptr<LocalParticipant> Session::local() const {
  const std::lock_guard lock(mutex_);
  return local_;
}

std::shared_ptr<RemoteParticipant> Session::remote(const std::string& identity) const {
  const std::lock_guard lock(mutex_);
  const auto found = remotes_.find(identity);
  return found == remotes_.end() ? nullptr : found->second;
}

std::vector<std::weak_ptr<RemoteParticipant>> Session::remotes() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::weak_ptr<RemoteParticipant>> remotes;
  for (const auto& [identity, participant] : remotes_) remotes.emplace_back(participant);
  return remotes;
}

void Session::run(RoomCore& core) {
  core.tell(*this, [](Room& room, RoomDelegate& delegate) { delegate.onConnectionStateChanged(room, {ConnectionState::Connected}); });
  if (const auto room = handle_->lock()) {
    for (;;) {
      tramline_event* event = nullptr;
      if (tramline_room_poll_event(room.get(), -1, &event) != TRAMLINE_OK) break;
      const OwnedEvent owned(event);
      try {
        handle(core, *event);
      } catch (const std::exception& error) {
        log(LogLevel::Error, std::string("an event is lost: ") + error.what());
      }
    }
  }
  // Nothing when the session has ended in another way.
  core.sessionEnded(*this, DisconnectReason::Unknown);
  is_finished_.store(true);
}

void Session::handle(RoomCore& core, const tramline_event& event) {
  tellSid(core);
  switch (event.kind) {
    case TRAMLINE_EVENT_PARTICIPANT_CONNECTED:
      handleParticipantConnected(core, event);
      break;
    case TRAMLINE_EVENT_PARTICIPANT_DISCONNECTED:
      handleParticipantDisconnected(core, event);
      break;
    case TRAMLINE_EVENT_PARTICIPANT_METADATA_CHANGED:
    case TRAMLINE_EVENT_PARTICIPANT_NAME_CHANGED:
    case TRAMLINE_EVENT_PARTICIPANT_ATTRIBUTES_CHANGED:
    case TRAMLINE_EVENT_PARTICIPANT_PERMISSIONS_CHANGED:
      handleParticipantChanged(core, event);
      break;
    case TRAMLINE_EVENT_TRACK_PUBLISHED:
      handleTrackPublished(core, event);
      break;
    case TRAMLINE_EVENT_TRACK_UNPUBLISHED:
      handleTrackUnpublished(core, event);
      break;
    case TRAMLINE_EVENT_LOCAL_TRACK_UNPUBLISHED:
      log(LogLevel::Warn, "the server ended the data track " + copy(event.track_name) + ": the token may not allow it any more");
      break;
    case TRAMLINE_EVENT_ROOM_METADATA_CHANGED: {
      const RoomMetadataChangedEvent changed{copy(event.old_value), copy(event.value)};
      core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onRoomMetadataChanged(room, changed); });
      [[fallthrough]];
    }
    case TRAMLINE_EVENT_ROOM_UPDATED: {
      const RoomUpdatedEvent updated{info()};
      core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onRoomUpdated(room, updated); });
      break;
    }
    case TRAMLINE_EVENT_TOKEN_REFRESHED: {
      const TokenRefreshedEvent refreshed{copy(event.value)};
      core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onTokenRefreshed(room, refreshed); });
      break;
    }
    case TRAMLINE_EVENT_DECRYPTION_FAILED:
    case TRAMLINE_EVENT_KEY_RATCHETED:
      handleEncryption(core, event);
      break;
    case TRAMLINE_EVENT_CONNECTION_QUALITY_CHANGED: {
      const auto participant = find(event.participant);
      if (!participant) break;
      const ConnectionQualityChangedEvent changed{participant.get(), static_cast<ConnectionQuality>(event.reason)};
      core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onConnectionQualityChanged(room, changed); });
      break;
    }
    case TRAMLINE_EVENT_ROOM_MOVED: {
      const RoomMovedEvent moved{info()};
      core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onRoomMoved(room, moved); });
      break;
    }
    case TRAMLINE_EVENT_DATA_RECEIVED:
    case TRAMLINE_EVENT_DTMF_RECEIVED:
      handlePacket(core, event);
      break;
    case TRAMLINE_EVENT_TEXT_OPENED:
    case TRAMLINE_EVENT_BYTES_OPENED:
      handleContent(core, event);
      break;
    case TRAMLINE_EVENT_PACKET_DECRYPTION_FAILED:
      log(LogLevel::Warn, "packets of " + copy(event.identity) + " are dropped: " + copy(event.detail));
      break;
    case TRAMLINE_EVENT_EVENTS_LOST:
      log(LogLevel::Warn, std::to_string(event.count) + " events were dropped because the delegate is slow; what is in the room now was told of");
      break;
    case TRAMLINE_EVENT_DISCONNECTED:
      log(LogLevel::Info, "the session has ended: " + copy(event.detail));
      core.sessionEnded(*this, reasonOf(event.reason));
      break;
    default:
      break;
  }
}

void Session::handleParticipantConnected(RoomCore& core, const tramline_event& event) {
  const auto participant = addRemote(event.participant);
  const ParticipantConnectedEvent connected{participant.get()};
  core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onParticipantConnected(room, connected); });
}

void Session::handleParticipantDisconnected(RoomCore& core, const tramline_event& event) {
  std::shared_ptr<RemoteParticipant> participant;
  {
    const std::lock_guard lock(mutex_);
    const auto found = remotes_.find(copy(tramline_participant_identity(event.participant)));
    if (found == remotes_.end()) return;
    participant = std::move(found->second);
    remotes_.erase(found);
  }
  participant->reason_ = reasonOf(tramline_participant_disconnect_reason(event.participant));
  told_encrypted_.erase(participant->identity());
  const ParticipantDisconnectedEvent disconnected{participant.get(), participant->reason_};
  core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onParticipantDisconnected(room, disconnected); });
}

void Session::handleParticipantChanged(RoomCore& core, const tramline_event& event) {
  const auto participant = find(event.participant);
  if (!participant) return;
  const std::string before = copy(event.old_value);
  const std::string now = copy(event.value);
  switch (event.kind) {
    case TRAMLINE_EVENT_PARTICIPANT_METADATA_CHANGED: {
      participant->metadata_ = now;
      const ParticipantMetadataChangedEvent changed{participant.get(), before, now};
      core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onParticipantMetadataChanged(room, changed); });
      break;
    }
    case TRAMLINE_EVENT_PARTICIPANT_NAME_CHANGED: {
      participant->name_ = now;
      const ParticipantNameChangedEvent changed{participant.get(), before, now};
      core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onParticipantNameChanged(room, changed); });
      break;
    }
    case TRAMLINE_EVENT_PARTICIPANT_ATTRIBUTES_CHANGED: {
      const ParticipantAttributesChangedEvent changed{participant.get(), entries(event.attributes)};
      for (const auto& [key, value] : changed.changed_attributes) {
        if (value.empty()) {
          participant->attributes_.erase(key);
        } else {
          participant->attributes_[key] = value;
        }
      }
      core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onParticipantAttributesChanged(room, changed); });
      break;
    }
    default:
      break;
  }
  const ParticipantsUpdatedEvent updated{{participant.get()}};
  core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onParticipantsUpdated(room, updated); });
}

void Session::handleTrackPublished(RoomCore& core, const tramline_event& event) {
  tramline_remote_track* handle = tramline_remote_track_clone(event.track);
  if (handle == nullptr) return;
  const std::shared_ptr<RemoteDataTrack> track(new RemoteDataTrack(handle));
  tellEncryptionStatus(core, *track);
  core.trackPublished(*this, track);
  const DataTrackPublishedEvent published{track};
  core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onDataTrackPublished(room, published); });
}

void Session::handleTrackUnpublished(RoomCore& core, const tramline_event& event) {
  tramline_track_info told{};
  told.struct_size = sizeof told;
  if (tramline_remote_track_info(event.track, &told) != TRAMLINE_OK) return;
  const DataTrackUnpublishedEvent unpublished{copy(told.sid)};
  core.trackUnpublished(unpublished.sid);
  core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onDataTrackUnpublished(room, unpublished); });
}

void Session::handlePacket(RoomCore& core, const tramline_event& event) {
  const auto sender = remote(copy(event.identity));
  if (event.kind == TRAMLINE_EVENT_DTMF_RECEIVED) {
    const SipDtmfReceivedEvent received{static_cast<int>(event.count), copy(event.value), sender.get()};
    core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onSipDtmfReceived(room, received); });
    return;
  }
  const auto kind = (event.flags & TRAMLINE_FLAG_RELIABLE) != 0 ? DataPacketKind::Reliable : DataPacketKind::Lossy;
  const UserDataPacketEvent received{{event.data, event.data + event.len}, kind, sender.get(), copy(event.value)};
  core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onUserPacketReceived(room, received); });
}

void Session::handleContent(RoomCore& core, const tramline_event& event) {
  const std::string topic = copy(event.value);
  const std::string identity = copy(event.identity);
  const std::uint64_t number = ++contents_;
  tramline_content_reader* reader = nullptr;
  if (tramline_event_take_reader(&event, &reader) != TRAMLINE_OK) return;
  if (event.kind == TRAMLINE_EVENT_TEXT_OPENED) {
    const std::shared_ptr<TextStreamReader> text(new TextStreamReader(textInfo(reader), reader));
    core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onTextStreamOpened(room, {number, identity}); });
    if (const auto handler = core.textHandlers().find(topic)) core.handle(*this, "text stream", [&] { handler(text, identity); });
  } else {
    const std::shared_ptr<ByteStreamReader> bytes(new ByteStreamReader(byteInfo(reader), reader));
    core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onByteStreamOpened(room, {number, identity}); });
    if (const auto handler = core.byteHandlers().find(topic)) core.handle(*this, "byte stream", [&] { handler(bytes, identity); });
  }
}

void Session::handleEncryption(RoomCore& core, const tramline_event& event) {
  const auto participant = remote(copy(tramline_remote_track_publisher(event.track)));
  if (!participant) return;
  E2eeStateChangedEvent changed{participant.get(), EncryptionState::KeyRatcheted};
  if (event.kind == TRAMLINE_EVENT_DECRYPTION_FAILED) {
    log(LogLevel::Warn, copy(event.detail));
    changed.state = event.reason == TRAMLINE_DROP_NO_KEY ? EncryptionState::MissingKey : EncryptionState::DecryptionFailed;
  }
  core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onE2eeStateChanged(room, changed); });
}

void Session::tellEncryptionStatus(RoomCore& core, const RemoteDataTrack& track) {
  const bool is_encrypted = track.info().uses_e2ee;
  bool& told = told_encrypted_[track.publisherIdentity()];
  const auto participant = remote(track.publisherIdentity());
  if (told == is_encrypted || !participant) return;
  told = is_encrypted;
  const ParticipantEncryptionStatusChangedEvent changed{participant.get(), is_encrypted};
  core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onParticipantEncryptionStatusChanged(room, changed); });
}

void Session::tellSid(RoomCore& core) {
  if (!told_sid_.empty()) return;
  const auto sid = info().sid;
  if (!sid) return;
  told_sid_ = *sid;
  const RoomSidChangedEvent changed{*sid};
  core.tell(*this, [&](Room& room, RoomDelegate& delegate) { delegate.onRoomSidChanged(room, changed); });
}

std::shared_ptr<RemoteParticipant> Session::addRemote(const tramline_participant* participant) {
  std::string identity = copy(tramline_participant_identity(participant));
  std::string sid = ask(tramline_participant_sid, participant);
  const std::lock_guard lock(mutex_);
  auto& known = remotes_[identity];
  // Seen already when it came between the join and the first look.
  if (!known || known->sid() != sid) {
    known = std::make_shared<RemoteParticipant>(nextHandle(), std::move(sid), ask(tramline_participant_name, participant), std::move(identity),
                                                ask(tramline_participant_metadata, participant), attributesOf(participant), kindOf(participant),
                                                DisconnectReason::Unknown);
  }
  return known;
}

std::shared_ptr<Participant> Session::find(const tramline_participant* participant) const {
  if (tramline_participant_is_local(participant)) return local();
  return remote(copy(tramline_participant_identity(participant)));
}

}  // namespace livekit::internal
