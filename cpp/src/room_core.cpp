#include "room_core.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <tramline.h>
#include <unistd.h>

#include "process.h"
#include "text.h"

namespace livekit::internal {
namespace {

/// Whether the next try may go better.
bool isWorthARetry(tramline_status status) {
  return status == TRAMLINE_ERR_CONNECT_UNREACHABLE || status == TRAMLINE_ERR_CONNECT_TRANSPORT || status == TRAMLINE_ERR_CONNECT_TIMEOUT;
}

tramline_room* open(const std::string& url, const std::string& token, const RoomOptions& options, const tramline_keys* keys) {
  tramline_room_options below{};
  tramline_room_options_defaults(&below, sizeof below);
  if (options.connect_timeout) below.connect_timeout_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(options.connect_timeout->count(), 0));
  below.single_peer_connection = options.single_peer_connection ? 1 : 0;
  below.keys = keys;
  if (options.rtc_config) log(LogLevel::Warn, "RoomOptions::rtc_config has no effect: data goes to the server's own addresses");
  tramline_room* room = nullptr;
  for (std::uint32_t retries = options.join_retries.value_or(0);; --retries) {
    const tramline_status status = tramline_room_connect(url.data(), url.size(), token.data(), token.size(), &below, &room);
    if (status == TRAMLINE_OK) return room;
    log(LogLevel::Error, std::string("cannot connect: ") + tramline_last_error());
    if (retries == 0 || !isWorthARetry(status)) return nullptr;
  }
}

}  // namespace

RoomCore::RoomCore(Room& room) : process_(getpid()), room_(&room) {}

bool RoomCore::connect(const std::string& url, const std::string& token, const RoomOptions& options) {
  const TraceSpan span("livekit.room", "connect");
  if (isForked()) {
    log(LogLevel::Error, "cannot connect: the room was made before a fork; make one in this process");
    return false;
  }
  const std::uint64_t run = currentRun();
  {
    const std::lock_guard lock(mutex_);
    if (state_ != ConnectionState::Disconnected) {
      throw std::runtime_error("Room::connect(): the room is connected, or being connected; disconnect() it first");
    }
    if (run != 0) state_ = ConnectionState::Reconnecting;
  }
  if (run == 0) {
    log(LogLevel::Error, "cannot connect: call livekit::initialize() first");
    return false;
  }
  std::shared_ptr<Session> session;
  try {
    reap(false);
    auto keys = options.encryption ? Session::makeKeys(*options.encryption) : nullptr;
    const bool has_keys = keys != nullptr;
    const bool needs_keys = options.encryption && options.encryption->encryption_type != EncryptionType::NONE;
    tramline_room* room = has_keys == needs_keys ? open(url, token, options, has_keys ? Session::handleOf(*keys) : nullptr) : nullptr;
    if (room != nullptr) {
      std::unique_ptr<tramline_room, decltype(&tramline_room_free)> owned(room, tramline_room_free);
      session = std::make_shared<Session>(owned.get(), std::move(keys));
      static_cast<void>(owned.release());
    }
    const std::lock_guard lock(mutex_);
    if (session && currentRun() == run) {
      session->start(shared_from_this());
      session_ = session;
      state_ = ConnectionState::Connected;
      return true;
    }
  } catch (const std::exception& error) {
    log(LogLevel::Error, std::string("cannot connect: ") + error.what());
  }
  if (session) {
    // Shut down meanwhile, or there is no thread for its events.
    session->leave();
    session->expire();
  }
  const std::lock_guard lock(mutex_);
  state_ = ConnectionState::Disconnected;
  return false;
}

bool RoomCore::disconnect(DisconnectReason reason) {
  const TraceSpan span("livekit.room", "disconnect");
  if (isForked()) return false;
  const auto session = takeSession();
  if (!session) return false;
  session->leave();
  endSession(*session);
  tellEnd([](Room& room, RoomDelegate& delegate) { delegate.onConnectionStateChanged(room, {ConnectionState::Disconnected}); });
  tellEnd([&](Room& room, RoomDelegate& delegate) { delegate.onDisconnected(room, {reason}); });
  return true;
}

void RoomCore::sessionEnded(Session& ended, DisconnectReason reason) {
  {
    const std::lock_guard lock(mutex_);
    if (session_.get() != &ended) return;
  }
  const auto session = takeSession();
  // Somebody disconnects at the same time, and was first.
  if (!session) return;
  endSession(*session);
  tellEnd([](Room& room, RoomDelegate& delegate) { delegate.onConnectionStateChanged(room, {ConnectionState::Disconnected}); });
  tellEnd([&](Room& room, RoomDelegate& delegate) { delegate.onDisconnected(room, {reason}); });
  tellEnd([](Room& room, RoomDelegate& delegate) { delegate.onRoomEos(room, {}); });
}

void RoomCore::shutDown() {
  if (isForked()) return;
  if (const auto session = takeSession()) {
    session->leave();
    endSession(*session);
  }
  gate_.wait();
  frames_.wait();
}

void RoomCore::close() {
  disconnect(DisconnectReason::ClientInitiated);
  {
    const std::lock_guard lock(mutex_);
    room_ = nullptr;
    delegate_ = nullptr;
  }
  gate_.wait();
  frames_.stopAll();
  reap(true);
}

bool RoomCore::isForked() const { return getpid() != process_; }

void RoomCore::setDelegate(RoomDelegate* delegate) {
  if (isForked()) return;
  {
    const std::lock_guard lock(mutex_);
    delegate_ = delegate;
  }
  gate_.wait();
}

RoomInfoData RoomCore::info() const {
  if (isForked()) return {};
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    session = session_ ? session_ : last_;
  }
  return session ? session->info() : RoomInfoData();
}

ConnectionState RoomCore::state() const {
  if (isForked()) return ConnectionState::Disconnected;
  const std::lock_guard lock(mutex_);
  return state_;
}

std::shared_ptr<Session> RoomCore::session() const {
  if (isForked()) return nullptr;
  const std::lock_guard lock(mutex_);
  return session_;
}

void RoomCore::trackPublished(const Session& session, const std::shared_ptr<RemoteDataTrack>& track) {
  const std::lock_guard lock(mutex_);
  if (session_.get() == &session) frames_.trackPublished(track);
}

std::shared_ptr<Session> RoomCore::takeSession() {
  const std::lock_guard lock(mutex_);
  auto session = std::exchange(session_, nullptr);
  if (session) {
    last_ = session;
    retired_.push_back(session);
  }
  return session;
}

void RoomCore::endSession(Session& session) {
  session.expire();
  frames_.sessionEnded();
  const std::lock_guard lock(mutex_);
  state_ = ConnectionState::Disconnected;
}

void RoomCore::reap(bool all) {
  std::vector<std::shared_ptr<Session>> ended;
  {
    const std::lock_guard lock(mutex_);
    const auto first = std::partition(retired_.begin(), retired_.end(), [&](const auto& session) { return !all && !session->isFinished(); });
    ended.assign(first, retired_.end());
    retired_.erase(first, retired_.end());
  }
  for (const auto& session : ended) session->join();
}

}  // namespace livekit::internal
