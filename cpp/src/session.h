#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <livekit/e2ee.h>
#include <livekit/local_participant.h>
#include <livekit/remote_data_track.h>
#include <livekit/remote_participant.h>
#include <livekit/room_event_types.h>
#include <livekit/stats.h>
#include <tramline.h>

#include "room_handle.h"

namespace livekit::internal {

class RoomCore;

/// One stay in a room: who is there, and the thread that brings its events.
class Session : public std::enable_shared_from_this<Session> {
 public:
  /// Keys for a session to come; null when it is not encrypted, or, with a line in the log, the options are no good.
  static std::shared_ptr<E2EEManager::KeyProvider> makeKeys(const E2EEOptions& options);
  static const tramline_keys* handleOf(const E2EEManager::KeyProvider& keys) { return keys.keys_.get(); }

  /// Takes the handle over, and looks who is there. `keys` may be null.
  Session(tramline_room* room, std::shared_ptr<E2EEManager::KeyProvider> keys);
  ~Session();

  /// Starts the thread. It holds the core as long as it runs.
  void start(std::shared_ptr<RoomCore> core);
  /// Sends what was accepted, tells the server, and ends; the thread ends by itself then.
  void leave();
  /// Participants expire, and the session's handle goes.
  void expire();
  /// Whether the thread has nothing more to do.
  bool isFinished() const { return is_finished_.load(); }
  /// After the end: the thread is gone, unless this is it, which goes soon.
  void join();

  RoomInfoData info() const;
  /// Empty once the session has ended.
  std::optional<SessionStats> stats() const;
  /// Null when there is none, and after the end.
  std::shared_ptr<E2EEManager> encryption() const;
  std::shared_ptr<LocalParticipant> local() const;
  std::shared_ptr<RemoteParticipant> remote(const std::string& identity) const;
  std::vector<std::weak_ptr<RemoteParticipant>> remotes() const;

 private:
  void run(RoomCore& core);
  void handle(RoomCore& core, const tramline_event& event);
  void handleParticipantConnected(RoomCore& core, const tramline_event& event);
  void handleParticipantDisconnected(RoomCore& core, const tramline_event& event);
  void handleParticipantChanged(RoomCore& core, const tramline_event& event);
  void handleTrackPublished(RoomCore& core, const tramline_event& event);
  void handleTrackUnpublished(RoomCore& core, const tramline_event& event);
  void handlePacket(RoomCore& core, const tramline_event& event);
  void handleContent(RoomCore& core, const tramline_event& event);
  void handleEncryption(RoomCore& core, const tramline_event& event);
  void tellSid(RoomCore& core);
  void tellEncryptionStatus(RoomCore& core, const RemoteDataTrack& track);

  std::shared_ptr<RemoteParticipant> addRemote(const tramline_participant* participant);
  std::shared_ptr<Participant> find(const tramline_participant* participant) const;

  const std::shared_ptr<RoomHandle> handle_;
  mutable std::mutex mutex_;
  std::shared_ptr<E2EEManager> encryption_;
  std::shared_ptr<LocalParticipant> local_;
  std::map<std::string, std::shared_ptr<RemoteParticipant>> remotes_;
  /// What info() says after the end.
  RoomInfoData last_info_;
  /// How many texts and bytes came; only on the thread.
  std::uint64_t contents_ = 0;
  /// What the delegate knows; only on the thread.
  std::string told_sid_;
  /// Who publishes encrypted tracks; only on the thread.
  std::map<std::string, bool> told_encrypted_;
  std::atomic<bool> is_finished_{false};
  std::thread thread_;
};

}  // namespace livekit::internal
