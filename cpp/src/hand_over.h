#pragma once

/// What passes through the library to a thread of its own comes there after everything that was done before it was handed over. ThreadSanitizer does
/// not see that, since Rust is not instrumented: these tell it. Nothing in any other build.
#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif

namespace livekit::internal {

inline void handOver([[maybe_unused]] void* what) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(what);
#endif
}

inline void takeOver([[maybe_unused]] void* what) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(what);
#endif
}

}  // namespace livekit::internal
