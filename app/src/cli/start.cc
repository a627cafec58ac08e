// SPDX-License-Identifier: MIT
// `muster start`: runs an Instance until a signal or `muster leave` ends it.
#include <malloc.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "muster/app/instance.h"
#include "muster/cache/huge_pages.h"
#include "options.h"
#include "program_log.h"

namespace muster::app::cli {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;

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

/// SIGHUP: topologies and `connect:` of the file, read again.
asio::awaitable<void> reload(Instance& instance, const Options& options, const Log& log) {
  if (options.file.empty()) {
    log.warn("SIGHUP: there is no file to read again");
    co_return;
  }
  auto config = configure(options);
  if (!config) {
    log.error("SIGHUP: {} has mistakes; everything stays as it is", options.file);
    co_return;
  }
  const auto reloaded = co_await instance.reload(std::move(*config));
  if (reloaded)
    log.info("SIGHUP: topologies are now those of {}", options.file);
  else
    log.error("SIGHUP: {}", reloaded.error().text());
}

/// The signal; 0: it was asked to leave.
asio::awaitable<int> next_signal(asio::signal_set& signals) {
  boost::system::error_code cancelled;
  const int signal =
      co_await signals.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  co_return cancelled ? 0 : signal;
}

/// Nothing when it was told to end meanwhile.
asio::awaitable<std::optional<Result<void>>> wait_for_peers(Instance& instance,
                                                            asio::signal_set& signals) {
  auto told_to_end = [](asio::signal_set& set) -> asio::awaitable<void> {
    while (co_await next_signal(set) == SIGHUP) continue;
  };
  auto first = co_await (instance.wait_for_peers() || told_to_end(signals));
  if (first.index() == 0) co_return std::get<0>(std::move(first));
  co_return std::nullopt;
}

asio::awaitable<int> run_until_told(Instance& instance, asio::signal_set& signals,
                                    const Options& options, const Log& log) {
  const auto started = co_await instance.start();
  if (!started) {
    fail(started.error().text());
    co_await instance.stop(Instance::Leave::no);
    co_return failure;
  }
  for (const std::string& line : instance.banner()) std::puts(line.c_str());
  std::fflush(stdout);
  const auto peers = co_await wait_for_peers(instance, signals);
  if (peers && !*peers) {
    fail(peers->error().text());
    co_await instance.stop(Instance::Leave::yes);
    co_return failure;
  }
  // No co_await in a condition of `while` here: behind a &&, g++ 12 waits whatever stands before.
  int signal = 0;
  if (peers) signal = co_await next_signal(signals);
  while (signal == SIGHUP) {
    co_await reload(instance, options, log);
    signal = co_await next_signal(signals);
  }
  if (signal == 0)
    log.info("leaving: asked to");
  else
    log.info("leaving: signal {}", signal == SIGTERM ? "TERM" : "INT");
  // A second signal ends it at once.
  boost::system::error_code ignored;
  signals.clear(ignored);
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
  cache::use_huge_pages(options.program);
  std::signal(SIGPIPE, SIG_IGN);
  allow_many_connections();
  // Large blocks go back to the system at once: glibc would keep ever larger ones.
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  const Log log = program_log(config->log_level, config->log_format);
  asio::io_context loop(1);
  asio::signal_set signals(loop, SIGTERM, SIGINT, SIGHUP);
  Instance instance(loop.get_executor(), *config, log, [&signals] { signals.cancel(); });
  int status = failure;
  asio::co_spawn(loop, run_until_told(instance, signals, options, log),
                 [&status](std::exception_ptr error, int result) {
                   if (error) std::rethrow_exception(error);
                   status = result;
                 });
  loop.run();
  return status;
}

}  // namespace muster::app::cli
