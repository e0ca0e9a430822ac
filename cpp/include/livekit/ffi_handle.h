#pragma once

/// @file
/// The numbers that stand for participants.

#include <cstdint>

#include <livekit/visibility.h>

namespace livekit {

/// Owns the number of an object, from its making to its end. 0 is none.
///
/// Here for programs that name it: what a participant needs of the library it holds by itself, and the number is only told apart from others.
class LIVEKIT_API FfiHandle {
 public:
  /// Takes `handle` over.
  explicit FfiHandle(std::uintptr_t handle = 0) noexcept : handle_(handle) {}
  FfiHandle(const FfiHandle&) = delete;
  FfiHandle& operator=(const FfiHandle&) = delete;
  /// Takes what `other` has; that is invalid afterwards.
  FfiHandle(FfiHandle&& other) noexcept : handle_(other.release()) {}
  /// Takes what `other` has; that is invalid afterwards.
  FfiHandle& operator=(FfiHandle&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~FfiHandle() = default;

  /// Gives up what it has and takes `handle` over.
  void reset(std::uintptr_t handle = 0) noexcept { handle_ = handle; }
  /// Hands the number out and is invalid afterwards.
  [[nodiscard]] std::uintptr_t release() noexcept {
    const std::uintptr_t handle = handle_;
    handle_ = 0;
    return handle;
  }
  /// Whether it has one.
  [[nodiscard]] bool valid() const noexcept { return handle_ != 0; }
  /// The number; 0 for none.
  [[nodiscard]] std::uintptr_t get() const noexcept { return handle_; }
  /// Whether it has one.
  explicit operator bool() const noexcept { return valid(); }

 private:
  std::uintptr_t handle_;
};

}  // namespace livekit
