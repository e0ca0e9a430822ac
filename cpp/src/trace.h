#pragma once

#include <cstdint>

/// Spans for the time line of startTracing().
namespace livekit::internal {

/// A span from its construction to its destruction, in a category such as "livekit.room". Costs one atomic load while nothing is traced.
class TraceSpan {
 public:
  TraceSpan(const char* category, const char* name) noexcept;
  ~TraceSpan();
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

 private:
  const char* category_;
  const char* name_;
  /// Negative when nothing is traced.
  std::int64_t start_us_ = -1;
};

}  // namespace livekit::internal
