#pragma once

/// @file
/// A value or an error, without exceptions.

#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>

namespace livekit {

/// What a call came to: the value it was made for, or why there is none.
///
/// Ask with ok() first. Taking the side that is not there is a mistake of the caller's and throws `std::logic_error`.
template <typename T, typename E>
class [[nodiscard]] Result {
 public:
  /// A result that holds `value`.
  template <typename U = T, typename = std::enable_if_t<std::is_constructible_v<T, U&&>>>
  static Result success(U&& value) {
    return Result(std::in_place_index<0>, std::forward<U>(value));
  }

  /// A result that holds `error`.
  template <typename F = E, typename = std::enable_if_t<std::is_constructible_v<E, F&&>>>
  static Result failure(F&& error) {
    return Result(std::in_place_index<1>, std::forward<F>(error));
  }

  /// Whether there is a value.
  bool ok() const noexcept { return either_.index() == 0; }
  /// Whether there is an error.
  bool hasError() const noexcept { return !ok(); }
  /// Whether there is a value.
  explicit operator bool() const noexcept { return ok(); }

  /// The value. @throws std::logic_error when there is an error instead.
  T& value() & { return expectValue(*this); }
  /// @copydoc value()
  const T& value() const& { return expectValue(*this); }
  /// @copydoc value()
  T&& value() && { return std::move(expectValue(*this)); }
  /// @copydoc value()
  const T&& value() const&& { return std::move(expectValue(*this)); }

  /// The error. @throws std::logic_error when there is a value instead.
  E& error() & { return expectError(*this); }
  /// @copydoc error()
  const E& error() const& { return expectError(*this); }
  /// @copydoc error()
  E&& error() && { return std::move(expectError(*this)); }
  /// @copydoc error()
  const E&& error() const&& { return std::move(expectError(*this)); }

 private:
  // By index, so that T and E may be the same type.
  template <std::size_t I, typename U>
  Result(std::in_place_index_t<I> side, U&& value) : either_(side, std::forward<U>(value)) {}

  template <typename Self>
  static auto& expectValue(Self& self) {
    if (auto* value = std::get_if<0>(&self.either_)) return *value;
    throw std::logic_error("Result::value() of a result that holds an error; ask ok() first");
  }

  template <typename Self>
  static auto& expectError(Self& self) {
    if (auto* error = std::get_if<1>(&self.either_)) return *error;
    throw std::logic_error("Result::error() of a result that holds a value; ask hasError() first");
  }

  std::variant<T, E> either_;
};

/// What a call without a value came to.
template <typename E>
class [[nodiscard]] Result<void, E> {
 public:
  /// A result without an error.
  static Result success() { return Result(); }

  /// A result that holds `error`.
  template <typename F = E, typename = std::enable_if_t<std::is_constructible_v<E, F&&>>>
  static Result failure(F&& error) {
    Result result;
    result.error_.emplace(std::forward<F>(error));
    return result;
  }

  /// Whether it went well.
  bool ok() const noexcept { return !error_.has_value(); }
  /// Whether there is an error.
  bool hasError() const noexcept { return error_.has_value(); }
  /// Whether it went well.
  explicit operator bool() const noexcept { return ok(); }

  /// Nothing. @throws std::logic_error when there is an error.
  void value() const {
    if (hasError()) throw std::logic_error("Result::value() of a result that holds an error; ask ok() first");
  }

  /// The error. @throws std::logic_error when there is none.
  E& error() & { return expectError(*this); }
  /// @copydoc error()
  const E& error() const& { return expectError(*this); }
  /// @copydoc error()
  E&& error() && { return std::move(expectError(*this)); }
  /// @copydoc error()
  const E&& error() const&& { return std::move(expectError(*this)); }

 private:
  Result() = default;

  template <typename Self>
  static auto& expectError(Self& self) {
    if (self.error_) return *self.error_;
    throw std::logic_error("Result::error() of a result that went well; ask hasError() first");
  }

  std::optional<E> error_;
};

}  // namespace livekit
