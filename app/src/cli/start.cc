// SPDX-License-Identifier: MIT
// `muster start`: runs an Instance until a signal or `muster leave` ends it.
#include <malloc.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "muster/app/instance.h"
#include "options.h"
#include "program_log.h"

namespace muster::app::cli {

namespace asio = boost::asio;

int fail(const std::string& message) {
  std::fprintf(stderr, "muster: %s\n", message.c_str());
  return failure;
}

std::optional<Config> configure(const Options& options) {
  const discovery::StrategyRegistry registry;
  Problems problems;
  Config config;
  if (!options.file.empty()) {
    const auto file = Settings::load(options.file);
    if (!file) {
      fail(file.error().text());
      return std::nullopt;
    }
    config = read_config(*file, registry, problems);
    config.source = options.file;  // Also of an empty file.
  }
  const auto lookup = [](const char* name) { return std::getenv(name); };
  apply(overrides_from_environment(lookup), Origin::environment, config, problems);
  apply(options.overrides, Origin::flag, config, problems);
  finish(config, registry, problems);
  if (problems.empty()) return config;
  for (const std::string& line : problems.lines()) std::fprintf(stderr, "%s\n", line.c_str());
  return std::nullopt;
}

namespace {

asio::awaitable<int> run_until_told(Instance& instance, asio::signal_set& signals, const Log& log) {
  const auto started = co_await instance.start();
  if (!started) {
    fail(started.error().text());
    co_await instance.stop(Instance::Leave::no);
    co_return failure;
  }
  for (const std::string& line : instance.banner()) std::puts(line.c_str());
  std::fflush(stdout);
  boost::system::error_code cancelled;
  const int signal =
      co_await signals.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  if (cancelled)
    log.info("leaving: asked to");
  else
    log.info("leaving: signal {}", signal == SIGTERM ? "TERM" : "INT");
  // A second signal ends it at once.
  signals.clear(cancelled);
  co_await instance.stop(Instance::Leave::yes);
  co_return success;
}

}  // namespace

namespace {

/// Each client and link is a file descriptor; the soft limit is often 1024.
void allow_many_connections() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int start(const Options& options) {
  const auto config = configure(options);
  if (!config) return failure;
  std::signal(SIGPIPE, SIG_IGN);
  allow_many_connections();
  // Large blocks go back to the system at once: glibc would keep ever larger ones.
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  const Log log = program_log(config->log_level, config->log_format);
  asio::io_context loop(1);
  asio::signal_set signals(loop, SIGTERM, SIGINT);
  Instance instance(loop.get_executor(), *config, log, [&signals] { signals.cancel(); });
  int status = failure;
  asio::co_spawn(loop, run_until_told(instance, signals, log),
                 [&status](std::exception_ptr error, int result) {
                   if (error) std::rethrow_exception(error);
                   status = result;
                 });
  loop.run();
  return status;
}

}  // namespace muster::app::cli
