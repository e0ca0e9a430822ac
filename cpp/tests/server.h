#pragma once

#include <string>

/// The project's own server, one for all tests of a program.
namespace testing_server {

/// ws:// and the port that it took.
const std::string& url();
/// A token for `room`. `options` are those of `tramline token`, such as "--no-subscribe".
std::string token(const std::string& room, const std::string& identity, const std::string& options = "");
/// A room that no other test has.
std::string freshRoom();
/// Starts a second server and returns when it answers; its pid for stopServer().
struct Extra {
  int pid = -1;
  std::string url;
};
Extra startServer();
void stopServer(int pid);

}  // namespace testing_server
