#pragma once

/// @file
/// Who is in the room.

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

#include <livekit/ffi_handle.h>
#include <livekit/room_event_types.h>
#include <livekit/visibility.h>

namespace livekit {

namespace internal {
class Session;
}

/// What a participant is.
enum class ParticipantKind {
  Standard = 0,  ///< An ordinary client.
  Ingress,       ///< Brings streams in.
  Egress,        ///< Records or streams out.
  Sip,           ///< A telephone.
  Agent,         ///< A program that takes part.
};

/// A participant of a room: the one that the session is, or another one.
///
/// The texts change on the thread that calls the room's delegate, right before it is told. Read them in a delegate, or while nothing changes them.
class LIVEKIT_API Participant {
 public:
  /// Made by the room.
  Participant(FfiHandle handle, std::string sid, std::string name, std::string identity, std::string metadata,
              std::unordered_map<std::string, std::string> attributes, ParticipantKind kind, DisconnectReason reason)
      : handle_(std::move(handle)),
        sid_(std::move(sid)),
        name_(std::move(name)),
        identity_(std::move(identity)),
        metadata_(std::move(metadata)),
        attributes_(std::move(attributes)),
        kind_(kind),
        reason_(reason) {}
  virtual ~Participant() = default;
  Participant(const Participant&) = delete;
  Participant& operator=(const Participant&) = delete;

  /// The server's id of this stay in the room.
  const std::string& sid() const noexcept { return sid_; }
  /// The name for display.
  const std::string& name() const noexcept { return name_; }
  /// Unique in the room, chosen by whoever made the token. Does not change.
  const std::string& identity() const noexcept { return identity_; }
  /// What the application stored with it.
  const std::string& metadata() const noexcept { return metadata_; }
  /// Keys and values that the application stored with it.
  const std::unordered_map<std::string, std::string>& attributes() const noexcept { return attributes_; }
  /// What it is. Does not change.
  ParticipantKind kind() const noexcept { return kind_; }
  /// Why it left; Unknown while it is there, and when the server did not say.
  DisconnectReason disconnectReason() const noexcept { return reason_; }
  /// A number that no other participant of this process has.
  std::uintptr_t ffiHandleId() const noexcept { return handle_.get(); }

 private:
  friend class internal::Session;

  FfiHandle handle_;
  std::string sid_;
  std::string name_;
  std::string identity_;
  std::string metadata_;
  std::unordered_map<std::string, std::string> attributes_;
  ParticipantKind kind_;
  DisconnectReason reason_;
};

}  // namespace livekit
