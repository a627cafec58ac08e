// SPDX-License-Identifier: MIT
#include "muster/discovery/poller.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <exception>
#include <optional>

#include "poller_machine.h"
#include "task_group.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;

/// A blocking function and the thread that it blocks, which starts with the first call.
class Helper {
 public:
  explicit Helper(BlockingDiscoverFunction function) : function_(std::move(function)) {}

  static asio::awaitable<Result<PeerSet>> call(std::shared_ptr<Helper> self) {
    // The caller's frame must outlive the call, so nobody may cancel this wait.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer done(executor, asio::steady_timer::time_point::max());
    Result<PeerSet> result = PeerSet();
    if (!self->thread_) self->thread_.emplace(1);
    asio::post(*self->thread_, [&] {
      result = self->guarded();
      asio::post(executor, [&] { done.cancel(); });
    });
    co_await done.async_wait(await_tuple);
    co_return result;
  }

 private:
  Result<PeerSet> guarded() const {
    try {
      return function_();
    } catch (const std::exception& error) {
      return bad_input(std::string("discover() threw: ") + error.what());
    }
  }

  const BlockingDiscoverFunction function_;
  std::optional<asio::thread_pool> thread_;
};

}  // namespace

void add_poller(StrategyRegistry& registry, std::string name,
                std::function<DiscoverFunction(Fields& options)> read) {
  using namespace std::chrono_literals;
  registry.add(
      std::move(name), [read = std::move(read)](Fields& options) -> StrategyRegistry::Make {
        PollerMachine::Options polling;
        polling.interval = options.duration("polling_interval", polling.interval, 10ms, 24h);
        polling.deadline = options.duration("deadline", polling.deadline, 10ms, 1h);
        const auto call = std::make_shared<const DiscoverCall>(read(options));
        return [=](StrategySink& sink, const StrategyContext&) {
          return std::make_unique<PollerMachine>(call, polling, sink);
        };
      });
}

void add_blocking_poller(StrategyRegistry& registry, std::string name,
                         std::function<BlockingDiscoverFunction(Fields& options)> read) {
  add_poller(registry, std::move(name),
             [read = std::move(read)](Fields& options) -> DiscoverFunction {
               const auto helper = std::make_shared<Helper>(read(options));
               return [helper] { return Helper::call(helper); };
             });
}

}  // namespace muster::discovery
