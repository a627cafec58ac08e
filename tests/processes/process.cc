// SPDX-License-Identifier: MIT
#include "process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> merged_environment(const Environment& changes) {
  Environment all;
  for (char** entry = environ; *entry; ++entry) {
    const std::string text = *entry;
    const auto equals = text.find('=');
    if (equals != std::string::npos) all[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : changes) all[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : all) lines.push_back(name + "=" + value);
  return lines;
}

[[noreturn]] void become(const std::vector<char*>& command, const std::vector<char*>& environment,
                         int log, const char* directory) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, 0);
  dup2(log, 1);
  dup2(log, 2);
  if (*directory != '\0' && chdir(directory) != 0) _exit(126);
  execvpe(command[0], command.data(), environment.data());
  _exit(127);
}

// Keeps the port bound as long as this process lives, so that it is not handed out twice; who
// reuses addresses, as all servers here do, may listen on it.
bool reserve(std::uint16_t port) {
  const int kept = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const bool free = bind(kept, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int yes = 1;
  setsockopt(kept, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (!free) close(kept);
  return free;
}

}  // namespace

Process::Process(const std::vector<std::string>& command, const Environment& environment,
                 std::filesystem::path log, const std::filesystem::path& directory)
    : log_(std::move(log)) {
  auto words = command;
  auto lines = merged_environment(environment);
  const auto arguments = pointers_to(words);
  const auto variables = pointers_to(lines);
  const int file = open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) throw std::runtime_error("cannot write " + log_.string());
  pid_ = fork();
  if (pid_ == 0) become(arguments, variables, file, directory.c_str());
  close(file);
  if (pid_ < 0) throw std::runtime_error("cannot fork");
}

Process::~Process() { kill_hard(); }

bool Process::running() {
  if (status_) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return false;
}

void Process::signal(int number) const {
  if (!status_) kill(pid_, number);
}

std::optional<int> Process::wait(std::chrono::milliseconds within) {
  (void)eventually(within, [&] { return !running(); });
  return status_;
}

void Process::kill_hard() {
  signal(SIGKILL);
  (void)wait(10s);
}

std::string Process::output() const {
  std::ifstream file(log_, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Finished run(const std::vector<std::string>& command, const Environment& environment) {
  const TemporaryDirectory directory;
  Process process(command, environment, directory.path() / "output");
  const auto status = process.wait(30s);
  if (!status) process.kill_hard();
  return {status.value_or(-1), process.output()};
}

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "muster-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error("cannot make a temporary directory");
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::uint16_t free_port() { return free_ports(1); }

// Tests run side by side: a counter in a file that all of them share hands out every port once
// before any comes again. Below the kernel's own ephemeral range (32768), so that no outgoing
// connection takes one away.
std::uint16_t free_ports(int count) {
  constexpr int first = 20000, last = 32000;
  const auto counter =
      std::filesystem::temp_directory_path() / ("muster-test-ports-" + std::to_string(getuid()));
  const int file = open(counter.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || flock(file, LOCK_EX) != 0)
    throw std::runtime_error("cannot lock " + counter.string());
  int next = first;
  if (pread(file, &next, sizeof next, 0) != sizeof next) next = first;
  int run_length = 0;
  while (run_length < count) {
    if (next < first || next >= last) next = first, run_length = 0;
    run_length = reserve(static_cast<std::uint16_t>(next)) ? run_length + 1 : 0;
    ++next;
  }
  if (pwrite(file, &next, sizeof next, 0) != sizeof next) throw std::runtime_error("no ports");
  close(file);
  return static_cast<std::uint16_t>(next - count);
}

void pause_briefly() { std::this_thread::sleep_for(20ms); }

}  // namespace muster::testing
