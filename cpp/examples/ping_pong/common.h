#pragma once

// What ping and pong share: where to connect, when to stop, and the little JSON that they exchange.

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include <livekit/livekit.h>

namespace ping_pong {

/// Where to connect, and as whom.
struct Target {
  std::string url;
  std::string token;
};

/// From the arguments `<ws-url> <token>`, or from LIVEKIT_URL and LIVEKIT_TOKEN.
inline std::optional<Target> target(int argc, char** argv) {
  const auto variable = [](const char* name) { return std::string(std::getenv(name) != nullptr ? std::getenv(name) : ""); };
  Target target{argc > 1 ? argv[1] : variable("LIVEKIT_URL"), argc > 2 ? argv[2] : variable("LIVEKIT_TOKEN")};
  if (!target.url.empty() && !target.token.empty()) return target;
  std::cerr << "usage: " << argv[0] << " <ws-url> <token>\nor set LIVEKIT_URL and LIVEKIT_TOKEN; the identities of the tokens are ping and pong\n";
  return std::nullopt;
}

inline std::atomic<bool> is_stopped{false};

/// SIGINT and SIGTERM end the program.
inline void stopOnSignals() {
  std::signal(SIGINT, [](int) { is_stopped = true; });
  std::signal(SIGTERM, [](int) { is_stopped = true; });
}

/// Nanoseconds since 1970.
inline std::int64_t nowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// `{"<key>":<id>,"ts":<ns>}`.
inline std::vector<std::uint8_t> message(const char* key, std::uint64_t id, std::int64_t ns) {
  const std::string text = "{\"" + std::string(key) + "\":" + std::to_string(id) + ",\"ts\":" + std::to_string(ns) + "}";
  return {text.begin(), text.end()};
}

/// The number behind `"key":`; empty when there is none.
inline std::optional<std::int64_t> number(const std::vector<std::uint8_t>& json, const std::string& key) {
  const std::string text(json.begin(), json.end());
  const auto at = text.find("\"" + key + "\"");
  const auto colon = at == std::string::npos ? at : text.find(':', at);
  if (colon == std::string::npos) return std::nullopt;
  try {
    return std::stoll(text.substr(colon + 1));
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace ping_pong
