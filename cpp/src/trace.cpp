#include "trace.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <livekit/tracing.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace livekit {
namespace internal {
namespace {

struct Close {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

/// The trace that is being written. Never destroyed: spans may end until the process does.
struct Trace {
  std::atomic<bool> is_on{false};
  std::mutex mutex;
  std::unique_ptr<std::FILE, Close> file;
  std::vector<std::string> categories;
  bool has_events = false;
};

Trace& trace() {
  static Trace* const trace = new Trace;
  return *trace;
}

std::int64_t nowUs() {
  using namespace std::chrono;
  return duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count();
}

bool matches(const std::string& pattern, const char* category) {
  if (!pattern.empty() && pattern.back() == '*') return std::strncmp(pattern.c_str(), category, pattern.size() - 1) == 0;
  return pattern == category;
}

bool isWanted(const std::vector<std::string>& patterns, const char* category) {
  if (patterns.empty()) return true;
  for (const auto& pattern : patterns) {
    if (matches(pattern, category)) return true;
  }
  return false;
}

}  // namespace

TraceSpan::TraceSpan(const char* category, const char* name) noexcept : category_(category), name_(name) {
  if (trace().is_on.load(std::memory_order_relaxed)) start_us_ = nowUs();
}

TraceSpan::~TraceSpan() {
  if (start_us_ < 0) return;
  const std::int64_t end_us = nowUs();
  Trace& to = trace();
  const std::lock_guard lock(to.mutex);
  if (!to.file || !isWanted(to.categories, category_)) return;
  std::fprintf(to.file.get(), "%s\n{\"name\":\"%s\",\"cat\":\"%s\",\"ph\":\"X\",\"ts\":%lld,\"dur\":%lld,\"pid\":%ld,\"tid\":%ld}",
               to.has_events ? "," : "", name_, category_, static_cast<long long>(start_us_), static_cast<long long>(end_us - start_us_),
               static_cast<long>(getpid()), static_cast<long>(syscall(SYS_gettid)));
  to.has_events = true;
}

}  // namespace internal

bool startTracing(const std::string& path, const std::vector<std::string>& categories) {
  auto& to = internal::trace();
  const std::lock_guard lock(to.mutex);
  if (to.file) return false;
  to.file.reset(std::fopen(path.c_str(), "we"));
  if (!to.file) return false;
  std::fputs("{\"traceEvents\":[", to.file.get());
  to.categories = categories;
  to.has_events = false;
  to.is_on.store(true);
  return true;
}

void stopTracing() {
  auto& to = internal::trace();
  const std::lock_guard lock(to.mutex);
  to.is_on.store(false);
  if (!to.file) return;
  std::fputs("\n]}\n", to.file.get());
  to.file.reset();
}

bool isTracingEnabled() { return internal::trace().is_on.load(); }

}  // namespace livekit
