#include <livekit/e2ee.h>

#include <utility>

#include <tramline.h>

#include "log.h"
#include "room_handle.h"

namespace livekit {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// What `ask` gives; empty when there is no key.
template <typename Ask>
Bytes ask(Ask&& ask) {
  tramline_bytes key{};
  const tramline_status status = ask(&key);
  if (status != TRAMLINE_OK) {
    if (status != TRAMLINE_ERR_NOT_FOUND) internal::log(LogLevel::Error, std::string("cannot read a key: ") + tramline_last_error());
    return {};
  }
  Bytes copied(key.data, key.data + key.len);
  tramline_bytes_free(key);
  return copied;
}

void report(tramline_status status) {
  if (status != TRAMLINE_OK) internal::log(LogLevel::Error, std::string("cannot set a key: ") + tramline_last_error());
}

std::uint32_t slot(int index) { return static_cast<std::uint32_t>(index); }

}  // namespace

E2EEManager::KeyProvider::KeyProvider(KeyProviderOptions options, tramline_keys* keys) : options_(std::move(options)), keys_(keys) {}

E2EEManager::KeyProvider::~KeyProvider() = default;

void E2EEManager::KeyProvider::Free::operator()(tramline_keys* keys) const noexcept { tramline_keys_free(keys); }

void E2EEManager::KeyProvider::setSharedKey(const Bytes& key, int key_index) {
  report(tramline_keys_set_shared(keys_.get(), key.data(), key.size(), slot(key_index)));
}

Bytes E2EEManager::KeyProvider::exportSharedKey(int key_index) const {
  return ask([&](tramline_bytes* key) { return tramline_keys_export_shared(keys_.get(), slot(key_index), key); });
}

Bytes E2EEManager::KeyProvider::ratchetSharedKey(int key_index) {
  return ask([&](tramline_bytes* key) { return tramline_keys_ratchet_shared(keys_.get(), slot(key_index), key); });
}

void E2EEManager::KeyProvider::setKey(const std::string& participant_identity, const Bytes& key, int key_index) {
  report(tramline_keys_set(keys_.get(), participant_identity.data(), participant_identity.size(), key.data(), key.size(), slot(key_index)));
}

Bytes E2EEManager::KeyProvider::exportKey(const std::string& participant_identity, int key_index) const {
  return ask([&](tramline_bytes* key) {
    return tramline_keys_export(keys_.get(), participant_identity.data(), participant_identity.size(), slot(key_index), key);
  });
}

Bytes E2EEManager::KeyProvider::ratchetKey(const std::string& participant_identity, int key_index) {
  return ask([&](tramline_bytes* key) {
    return tramline_keys_ratchet(keys_.get(), participant_identity.data(), participant_identity.size(), slot(key_index), key);
  });
}

E2EEManager::FrameCryptor::FrameCryptor(std::uint64_t, std::string participant_identity, int key_index, bool enabled)
    : identity_(std::move(participant_identity)), key_index_(key_index), is_enabled_(enabled) {}

void E2EEManager::FrameCryptor::setEnabled(bool enabled) {
  is_enabled_ = enabled;
  if (const auto manager = manager_.lock()) manager->setEnabled(enabled);
}

void E2EEManager::FrameCryptor::setKeyIndex(int key_index) {
  key_index_ = key_index;
  const auto manager = manager_.lock();
  if (!manager) return;
  manager->key_index_ = key_index;
  report(tramline_keys_set_sender_index(manager->keys_->keys_.get(), key_index));
}

E2EEManager::E2EEManager(std::shared_ptr<KeyProvider> keys, std::shared_ptr<internal::RoomHandle> room, std::string identity)
    : keys_(std::move(keys)), room_(std::move(room)), identity_(std::move(identity)) {}

E2EEManager::~E2EEManager() = default;

bool E2EEManager::enabled() const { return is_enabled_.load(); }

void E2EEManager::setEnabled(bool enabled) {
  is_enabled_.store(enabled);
  const auto room = room_->lock();
  if (room && tramline_room_set_encrypting(room.get(), enabled) != TRAMLINE_OK) {
    internal::log(LogLevel::Error, std::string("cannot switch encryption: ") + tramline_last_error());
  }
}

std::vector<E2EEManager::FrameCryptor> E2EEManager::frameCryptors() const {
  FrameCryptor local(0, identity_, key_index_.load(), enabled());
  local.manager_ = self_;
  return {local};
}

}  // namespace livekit
