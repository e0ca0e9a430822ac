#include "thread.h"

#include <csignal>
#include <utility>

#include <pthread.h>

namespace livekit::internal {
namespace {

/// Blocks signals on this thread, and so on those that it starts, as long as it lives.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    // Faults of the code that runs must stay visible.
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, fault);
    is_blocked_ = pthread_sigmask(SIG_BLOCK, &all, &before_) == 0;
  }
  ~BlockedSignals() {
    if (is_blocked_) pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_{};
  bool is_blocked_ = false;
};

}  // namespace

std::thread startThread(const char* name, std::function<void()> body) {
  const BlockedSignals blocked;
  return std::thread([name, body = std::move(body)]() mutable {
    pthread_setname_np(pthread_self(), name);
    body();
    // What it holds goes while the thread still counts as running.
    body = nullptr;
  });
}

}  // namespace livekit::internal
