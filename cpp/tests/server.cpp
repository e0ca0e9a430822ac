#include "server.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace testing_server {
namespace {

std::string program() {
  const char* named = std::getenv("TRAMLINE_BIN");
  return named != nullptr ? named : TRAMLINE_BIN;
}

std::string readLine(int from) {
  std::string line;
  char next = 0;
  for (;;) {
    const ssize_t got = read(from, &next, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got != 1 || next == '\n') return line;
    line.push_back(next);
  }
}

/// The text behind `"name":"` in one line of JSON without escapes.
std::string field(const std::string& json, const std::string& name) {
  const std::string key = "\"" + name + "\":";
  const auto at = json.find(key);
  if (at == std::string::npos) throw std::runtime_error("the server said: " + json);
  const auto begin = json.find('"', at + key.size()) + 1;
  return json.substr(begin, json.find('"', begin) - begin);
}

Extra g_server;

class Environment : public testing::Environment {
 public:
  void SetUp() override { g_server = startServer(); }
  void TearDown() override { stopServer(g_server.pid); }
};

const testing::Environment* const g_environment = testing::AddGlobalTestEnvironment(new Environment);

}  // namespace

Extra startServer() {
  int fds[2];
  if (pipe(fds) != 0) throw std::runtime_error("no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, fds[0]);
  posix_spawn_file_actions_addclose(&actions, fds[1]);
  std::string words[] = {program(), "--log", "warn", "serve", "--dev", "--port", "0", "--bind", "127.0.0.1", "--json"};
  char* argv[std::size(words) + 1] = {};
  for (std::size_t i = 0; i < std::size(words); ++i) argv[i] = words[i].data();
  Extra server;
  const int failed = posix_spawn(&server.pid, argv[0], &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(fds[1]);
  if (failed != 0) throw std::runtime_error("cannot start " + words[0] + "; build it with `cargo build`, or name it in TRAMLINE_BIN");
  // Left open: the server would not like to write into nothing.
  server.url = field(readLine(fds[0]), "url");
  return server;
}

void stopServer(int pid) {
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

const std::string& url() { return g_server.url; }

std::string token(const std::string& room, const std::string& identity, const std::string& options) {
  const std::string command = program() + " token --room " + room + " --identity " + identity + " " + options;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  const std::string token = readLine(fileno(pipe));
  pclose(pipe);
  return token;
}

std::string freshRoom() {
  static std::atomic<int> last{0};
  return "room-" + std::to_string(++last);
}

}  // namespace testing_server
