#include "server.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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
  if (pipe2(fds, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  std::string words[] = {program(), "--log", "warn", "serve", "--dev", "--port", "0", "--bind", "127.0.0.1", "--json"};
  char* argv[std::size(words) + 1] = {};
  for (std::size_t i = 0; i < std::size(words); ++i) argv[i] = words[i].data();
  Extra server;
  server.pid = fork();
  if (server.pid == 0) {
    // It goes with the tests, whichever way they end.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(fds[1], STDOUT_FILENO);
    execv(argv[0], argv);
    _exit(127);
  }
  close(fds[1]);
  if (server.pid < 0) throw std::runtime_error("no process for a server");
  const std::string said = readLine(fds[0]);
  if (said.empty()) throw std::runtime_error("cannot start " + words[0] + "; build it with `cargo build`, or name it in TRAMLINE_BIN");
  // Left open: the server would not like to write into nothing.
  server.url = field(said, "url");
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
