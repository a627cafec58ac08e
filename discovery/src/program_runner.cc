// SPDX-License-Identifier: MIT
#include "program_runner.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/connect_pipe.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/writable_pipe.hpp>
#include <cerrno>

#include "muster/discovery/settings.h"
#include "task_group.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using asio::readable_pipe;
using asio::writable_pipe;
using boost::system::error_code;
using namespace asio::experimental::awaitable_operators;

constexpr std::size_t most_complaints = 4096;

/// What posix_spawn is told; freed with its arrays.
class Spawn {
 public:
  Spawn(int out, int err) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions_, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions_, err, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setpgroup(&attributes_, 0);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~Spawn() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;

  [[nodiscard]] error_code run(std::vector<std::string>& command, pid_t& process) const {
    std::vector<char*> words;
    for (std::string& word : command) words.push_back(word.data());
    words.push_back(nullptr);
    const int failed =
        posix_spawnp(&process, words[0], &actions_, &attributes_, words.data(), environ);
    return {failed, boost::system::generic_category()};
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

/// A process that does not outlive this, nor does what it started in its group.
class Child {
 public:
  explicit Child(pid_t process) : process_(process) {}
  ~Child() {
    ::kill(-process_, SIGKILL);
    if (!reaped_) ::waitpid(process_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// A descriptor that is readable once it has ended.
  [[nodiscard]] int watch() const {
    return static_cast<int>(::syscall(SYS_pidfd_open, process_, 0));
  }
  /// After it has ended: nothing, or what was wrong.
  [[nodiscard]] std::string verdict() {
    int status = 0;
    const pid_t ended = ::waitpid(process_, &status, WNOHANG);
    reaped_ = ended == process_ || errno == ECHILD;
    if (ended != process_) return {};  // The embedding program reaps all its children itself.
    if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
      return "ended with exit status " + std::to_string(WEXITSTATUS(status));
    return {};
  }

 private:
  const pid_t process_;
  bool reaped_ = false;
};

/// Until the end, or until there is more than `most`; the rest is then not read.
asio::awaitable<void> read_all(readable_pipe& pipe, std::string& into, std::size_t most) {
  std::string piece(16384, '\0');
  while (into.size() <= most) {
    const auto [error, count] = co_await pipe.async_read_some(asio::buffer(piece), await_tuple);
    into.append(piece, 0, count);
    if (error) break;
  }
}

/// What goes to standard error is drained, and its beginning kept.
asio::awaitable<void> read_complaints(readable_pipe& pipe, std::string& into) {
  std::string piece(4096, '\0');
  while (true) {
    const auto [error, count] = co_await pipe.async_read_some(asio::buffer(piece), await_tuple);
    if (into.size() < most_complaints) into.append(piece, 0, count);
    if (error) break;
  }
}

asio::awaitable<void> time_passes(Duration duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<void> ended(asio::posix::stream_descriptor& watch) {
  (void)co_await watch.async_wait(asio::posix::stream_descriptor::wait_read, await_tuple);
}

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  text = text.substr(text.rfind('\n') + 1).substr(0, 200);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return text.empty() ? "" : ": " + text;
}

struct Pipes {
  explicit Pipes(const asio::any_io_executor& executor)
      : out(executor), err(executor), out_end(executor), err_end(executor) {}
  error_code connect() {
    error_code error;
    asio::connect_pipe(out, out_end, error);
    if (!error) asio::connect_pipe(err, err_end, error);
    return error;
  }
  readable_pipe out, err;
  writable_pipe out_end, err_end;
};

}  // namespace

asio::awaitable<Result<std::string>> run_program(RunProgram question) {
  const auto executor = co_await asio::this_coro::executor;
  const std::string what = "'" + question.command.at(0) + "'";
  Pipes pipes(executor);
  error_code failed = pipes.connect();
  pid_t process = 0;
  if (!failed) {
    const Spawn spawn(pipes.out_end.native_handle(), pipes.err_end.native_handle());
    failed = spawn.run(question.command, process);
  }
  if (failed) {
    const Error error{failed, "cannot run " + what};
    co_return error;
  }
  pipes.out_end.close();
  pipes.err_end.close();

  Child child(process);
  asio::posix::stream_descriptor watch(executor, child.watch());
  std::string output;
  std::string complaints;
  auto drained = [](readable_pipe& err, std::string& into) -> asio::awaitable<void> {
    co_await read_complaints(err, into);
    co_await time_passes(forever);  // Never the first to end.
  };
  auto printed = [](readable_pipe& out, std::string& into, std::size_t most,
                    asio::posix::stream_descriptor& end) -> asio::awaitable<void> {
    co_await read_all(out, into, most);
    if (into.size() <= most) co_await ended(end);
  };
  const auto first = co_await (printed(pipes.out, output, question.most_bytes, watch) ||
                               drained(pipes.err, complaints) || time_passes(question.within));
  if (first.index() != 0)
    co_return bad_input(what + " did not end within " + duration_text(question.within) +
                        last_line(complaints));
  if (output.size() > question.most_bytes)
    co_return bad_input(what + " printed more than " + std::to_string(question.most_bytes) +
                        " bytes");
  const std::string wrong = child.verdict();
  if (!wrong.empty()) co_return bad_input(what + " " + wrong + last_line(complaints));
  co_return output;
}

}  // namespace muster::discovery
