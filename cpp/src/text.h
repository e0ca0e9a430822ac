#pragma once

#include <cstddef>
#include <string>

#include <tramline.h>

/// Texts of the C ABI.
namespace livekit::internal {

inline tramline_str borrow(const std::string& text) { return {text.data(), text.size()}; }

inline std::string copy(const tramline_str& text) { return text.len == 0 ? std::string() : std::string(text.data, text.len); }

/// Takes the text over.
inline std::string take(tramline_string text) {
  std::string copied = text.len == 0 ? std::string() : std::string(text.data, text.len);
  tramline_string_free(text);
  return copied;
}

/// Asks `object` for a text with `ask`; empty when it has none.
template <typename Object>
std::string ask(tramline_status (*ask)(const Object*, tramline_string*), const Object* object) {
  tramline_string text{};
  return ask(object, &text) == TRAMLINE_OK ? take(text) : std::string();
}

}  // namespace livekit::internal
