#pragma once

/// @file
/// Another participant.

#include <ostream>
#include <string>

#include <livekit/participant.h>

namespace livekit {

/// Another participant of the room. The room owns it: keep a `weak_ptr`.
class LIVEKIT_API RemoteParticipant : public Participant {
 public:
  using Participant::Participant;
  ~RemoteParticipant() override;
  /// Identity, sid and name, for a log.
  std::string toString() const;
};

/// Writes toString().
LIVEKIT_API std::ostream& operator<<(std::ostream& out, const RemoteParticipant& participant);

}  // namespace livekit
