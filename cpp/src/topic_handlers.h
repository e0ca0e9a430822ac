#pragma once

#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace livekit::internal {

/// Handlers by topic.
template <typename Handler>
class TopicHandlers {
 public:
  void add(const std::string& topic, Handler handler) {
    const std::lock_guard lock(mutex_);
    if (!handlers_.emplace(topic, std::move(handler)).second) {
      throw std::runtime_error("the topic \"" + topic + "\" has a handler already; unregister that one first");
    }
  }

  void remove(const std::string& topic) {
    Handler removed;
    const std::lock_guard lock(mutex_);
    const auto found = handlers_.find(topic);
    if (found == handlers_.end()) return;
    // What it holds goes after the lock, not under it.
    removed.swap(found->second);
    handlers_.erase(found);
  }

  /// Empty when there is none.
  Handler find(const std::string& topic) const {
    const std::lock_guard lock(mutex_);
    const auto found = handlers_.find(topic);
    return found == handlers_.end() ? Handler() : found->second;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Handler> handlers_;
};

}  // namespace livekit::internal
