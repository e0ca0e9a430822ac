#pragma once

/// @file
/// End-to-end encryption of data tracks.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <livekit/visibility.h>

struct tramline_keys;

namespace livekit {

namespace internal {
class RoomHandle;
class Session;
}  // namespace internal

/// Whether frames are encrypted. The numbers are LiveKit's.
enum class EncryptionType {
  NONE = 0,    ///< They are not.
  GCM = 1,     ///< With AES-GCM, which is what data tracks know.
  CUSTOM = 2,  ///< In a way of the application's own; connecting fails with it.
};

/// How keys are derived. Every participant of a room needs the same.
enum class KeyDerivationFunction {
  PBKDF2 = 0,  ///< For passphrases; takes milliseconds for each key.
  HKDF = 1,    ///< For keys that are random already; takes microseconds.
};

/// The salt of the derivation and of the ratchet that LiveKit's clients have.
inline constexpr const char* kDefaultRatchetSalt = "LKFrameEncryptionKey";
/// How many steps a sender's ratchet may be ahead, as in LiveKit's clients.
inline constexpr int kDefaultRatchetWindowSize = 16;
/// Frames that do not decrypt are dropped one by one; there is no number of them that turns decryption off.
inline constexpr int kDefaultFailureTolerance = -1;
/// Slots for keys of each participant.
inline constexpr int kDefaultKeyRingSize = 16;
/// The derivation that LiveKit's clients have.
inline constexpr KeyDerivationFunction kDefaultKeyDerivationFunction = KeyDerivationFunction::PBKDF2;

/// Keys, and what is made of them.
struct LIVEKIT_API KeyProviderOptions {
  /// The key that all participants share; more keys can be set later.
  std::optional<std::vector<std::uint8_t>> shared_key;
  /// The salt of the derivation and of the ratchet.
  std::vector<std::uint8_t> ratchet_salt{kDefaultRatchetSalt, kDefaultRatchetSalt + 20};
  /// How many steps a sender's ratchet may be ahead of the key here, 0 to 16. With 0 a frame that does not decrypt costs one attempt.
  int ratchet_window_size = kDefaultRatchetWindowSize;
  /// -1: a key is tried however many frames have failed. Other values mean the same here.
  int failure_tolerance = kDefaultFailureTolerance;
  /// Slots for keys of each participant, 1 to 256.
  int key_ring_size = kDefaultKeyRingSize;
  /// How keys are derived.
  KeyDerivationFunction key_derivation_function = kDefaultKeyDerivationFunction;
};

/// End-to-end encryption of a room.
struct LIVEKIT_API E2EEOptions {
  /// The keys.
  KeyProviderOptions key_provider_options;
  /// The way.
  EncryptionType encryption_type = EncryptionType::GCM;
};

/// The encryption of a session. With it, data tracks are published encrypted, and encrypted ones can be read. Any thread.
class LIVEKIT_API E2EEManager {
 public:
  /// The keys of a session: one ring of numbered slots for each participant, and one that all share. An index is taken modulo the ring's size.
  class LIVEKIT_API KeyProvider {
   public:
    ~KeyProvider();
    KeyProvider(const KeyProvider&) = delete;
    KeyProvider& operator=(const KeyProvider&) = delete;

    /// What it was made of.
    const KeyProviderOptions& options() const { return options_; }
    /// Sets the key that all participants share; the next frames are sent with it.
    void setSharedKey(const std::vector<std::uint8_t>& key, int key_index = 0);
    /// The shared key as it was set, or what its ratchet has made of it; empty when there is none.
    std::vector<std::uint8_t> exportSharedKey(int key_index = 0) const;
    /// Replaces the shared key by the one that its ratchet makes of it, and returns that; empty when there is none.
    std::vector<std::uint8_t> ratchetSharedKey(int key_index = 0);
    /// Sets the key of one participant, the local one included.
    void setKey(const std::string& participant_identity, const std::vector<std::uint8_t>& key, int key_index = 0);
    /// The key of one participant, or the shared one when it has none; empty when there is neither.
    std::vector<std::uint8_t> exportKey(const std::string& participant_identity, int key_index = 0) const;
    /// As ratchetSharedKey(), for the key of one participant.
    std::vector<std::uint8_t> ratchetKey(const std::string& participant_identity, int key_index = 0);

   private:
    friend class E2EEManager;
    friend class internal::Session;
    /// Takes the handle over.
    KeyProvider(KeyProviderOptions options, tramline_keys* keys);

    struct Free {
      void operator()(tramline_keys* keys) const noexcept;
    };
    KeyProviderOptions options_;
    std::unique_ptr<tramline_keys, Free> keys_;
  };

  /// How the local participant's frames are encrypted. There is one for all its tracks.
  class LIVEKIT_API FrameCryptor {
   public:
    /// A description; those that do something come from frameCryptors().
    FrameCryptor(std::uint64_t room_handle, std::string participant_identity, int key_index, bool enabled);

    /// Whose frames.
    const std::string& participantIdentity() const noexcept { return identity_; }
    /// The index of the key that was chosen here; at first 0.
    int keyIndex() const noexcept { return key_index_; }
    /// Whether tracks to come are encrypted.
    bool enabled() const noexcept { return is_enabled_; }
    /// Whether tracks to come are encrypted.
    void setEnabled(bool enabled);
    /// Fixes the index of the key that frames are sent with.
    void setKeyIndex(int key_index);

   private:
    friend class E2EEManager;

    std::string identity_;
    int key_index_;
    bool is_enabled_;
    std::weak_ptr<E2EEManager> manager_;
  };

  ~E2EEManager();
  E2EEManager(const E2EEManager&) = delete;
  E2EEManager& operator=(const E2EEManager&) = delete;

  /// Whether tracks to come are published encrypted; true from the start.
  bool enabled() const;
  /// Whether tracks to come are published encrypted. Those that are published stay as they are, and encrypted ones of others can be read all the same.
  void setEnabled(bool enabled);
  /// The keys; empty once the session has ended.
  std::weak_ptr<KeyProvider> keyProvider() { return keys_; }
  /// @copydoc keyProvider()
  std::weak_ptr<const KeyProvider> keyProvider() const { return keys_; }

  /// One, of the local participant.
  std::vector<FrameCryptor> frameCryptors() const;

 private:
  friend class internal::Session;
  E2EEManager(std::shared_ptr<KeyProvider> keys, std::shared_ptr<internal::RoomHandle> room, std::string identity);

  const std::shared_ptr<KeyProvider> keys_;
  const std::shared_ptr<internal::RoomHandle> room_;
  const std::string identity_;
  std::atomic<bool> is_enabled_{true};
  std::atomic<int> key_index_{0};
  /// Itself, for what it gives out.
  std::weak_ptr<E2EEManager> self_;
};

}  // namespace livekit
