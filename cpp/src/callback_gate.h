#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

namespace livekit::internal {

/// Lets callbacks run until it is told to wait for them. A callback may wait for its own gate: what it waits for are the others.
class CallbackGate {
 public:
  /// Held while a callback runs.
  class Pass {
   public:
    explicit Pass(CallbackGate& gate) : gate_(gate) {
      const std::lock_guard lock(gate_.mutex_);
      inside().push_back(&gate_);
      ++gate_.running_;
    }
    ~Pass() {
      const std::lock_guard lock(gate_.mutex_);
      inside().pop_back();
      --gate_.running_;
      gate_.changed_.notify_all();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    CallbackGate& gate_;
  };

  /// Whether this thread is in a callback that passed here.
  bool isInside() const { return depth() != 0; }

  /// Returns when no callback runs that had passed, those apart in which somebody waits here as well.
  void wait() {
    const std::size_t own = depth();
    std::unique_lock lock(mutex_);
    waiting_inside_ += own;
    changed_.notify_all();
    changed_.wait(lock, [this] { return running_ == waiting_inside_; });
    waiting_inside_ -= own;
  }

 private:
  static std::vector<const CallbackGate*>& inside() {
    thread_local std::vector<const CallbackGate*> gates;
    return gates;
  }

  std::size_t depth() const {
    const auto& gates = inside();
    return static_cast<std::size_t>(std::count(gates.begin(), gates.end(), this));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t running_ = 0;
  /// Callbacks that run, and wait here.
  std::size_t waiting_inside_ = 0;
};

}  // namespace livekit::internal
