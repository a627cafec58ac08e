// SPDX-License-Identifier: MIT
//
// What stands behind Cache: owns the machine, its timer and its store; performs what the machine
// asks, and decides nothing.
//
// Threads: the node's strand, but for call(), call_blocking() and local().
// Stop: what is still open is answered with an error; what was not stored yet is stored; then the
// storage thread ends.
#pragma once

#include <atomic>
#include <boost/asio.hpp>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "lmdb_store.h"
#include "local_tables.h"
#include "muster/cache/cache.h"
#include "muster/node/node.h"

namespace muster::cache {

class Cache::Impl final : public CacheEffects, public std::enable_shared_from_this<Cache::Impl> {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;
  /// Runs within a turn of the node's loop and calls its argument once.
  template <class T>
  using Work = std::function<void(Now, Done<T>)>;

  Impl(node::Node& node, CacheSettings settings, Log log);

  // On the strand.
  boost::asio::awaitable<Result<void>> open();
  boost::asio::awaitable<Result<void>> start();
  boost::asio::awaitable<Result<void>> wait_for_tables(Duration progress);
  boost::asio::awaitable<Result<void>> hand_off(Duration limit);
  boost::asio::awaitable<std::vector<TableStatus>> status();
  Result<void> create_table(Now now, const TableDefinition& definition);
  boost::asio::awaitable<void> stop();
  void add_handler(Cache::EventHandler handler) { handlers_.push_back(std::move(handler)); }
  void add_change_handler(Cache::EventHandler handler) {
    change_handlers_.push_back(std::move(handler));
  }
  [[nodiscard]] CacheMachine* machine() { return machine_.get(); }

  // Any thread.
  [[nodiscard]] const LocalTables& local() const { return local_; }
  [[nodiscard]] node::Node& node() { return node_; }
  /// Completes on the awaiting executor.
  template <class T>
  boost::asio::awaitable<Result<T>> call(Work<T> work);
  template <class T>
  Result<T> call_blocking(Work<T> work);

  // CacheEffects.
  void store(StoreBatch batch) override;
  void report(Now now, const CacheEvent& event) override;
  [[nodiscard]] bool wants_changes() const override { return !change_handlers_.empty(); }

 private:
  enum class Life : std::uint8_t { idle, started, stopping, stopped };

  static constexpr std::size_t calls_in_turn_max = 16;

  /// A completion that waits for its result, and keeps the executor that it belongs to at work.
  template <class Handler, class Executor>
  struct Pending {
    Handler handler;
    boost::asio::executor_work_guard<Executor> guard;
    bool done = false;

    Pending(Handler waiting, const Executor& executor)
        : handler(std::move(waiting)), guard(executor) {}
  };

  template <class T>
  void begin(const Work<T>& work, Done<T> finish);
  [[nodiscard]] static Now clocks();
  [[nodiscard]] Result<void> why_not() const;
  [[nodiscard]] Result<void> open_store();
  [[nodiscard]] Result<void> open_machine();
  void end_of_turn(Now at);
  void publish(Now at);
  void arm();
  void durable(const std::vector<StoreAnswer>& answers);
  void disk_changed(DiskState state, const std::string& why);
  boost::asio::awaitable<void> store_the_rest();
  boost::asio::awaitable<void> close_store();
  boost::asio::awaitable<void> stop_store();
  boost::asio::awaitable<void> until(boost::asio::steady_timer& signal);
  [[nodiscard]] std::string progress_text() const;
  void log_event(const CacheEvent& event) const;

  node::Node& node_;
  CacheSettings settings_;
  Log log_;
  std::unique_ptr<LmdbStore> store_;  // Outlives the machine, which reads from it.
  std::unique_ptr<CacheMachine> machine_;
  std::vector<Cache::EventHandler> handlers_;
  std::vector<Cache::EventHandler> change_handlers_;
  LocalTables local_;
  std::list<std::function<void()>> open_calls_;  // What stop() answers with an error.
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer stored_;     // Cancelled when the store has answered.
  boost::asio::steady_timer timer_ran_;  // Cancelled when the last handler of timer_ has run.
  boost::asio::steady_timer finished_;   // Cancelled when stop() is through.
  Instant armed_ = never;
  int timer_waits_ = 0;
  std::size_t calls_in_turn_ = 0;
  std::size_t batches_out_ = 0;
  DiskState disk_ = DiskState::good;
  Life life_ = Life::idle;
};

template <class T>
boost::asio::awaitable<Result<T>> Cache::Impl::call(Work<T> work) {
  namespace asio = boost::asio;
  auto start = [self = shared_from_this(), &work](auto handler) {
    using Handler = decltype(handler);
    auto executor = asio::get_associated_executor(handler, self->node_.strand());
    auto pending =
        std::make_shared<Pending<Handler, decltype(executor)>>(std::move(handler), executor);
    auto finish = [pending, executor](Result<T> result) {
      if (std::exchange(pending->done, true)) return;
      asio::post(executor, [pending, result = std::move(result)]() mutable {
        pending->guard.reset();
        std::move(pending->handler)(std::move(result));
      });
    };
    // Never at once: the caller may stand within the machine.
    asio::post(self->node_.strand(), [self, work = std::move(work), finish = std::move(finish)] {
      self->begin<T>(work, finish);
    });
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Result<T>)>(
      std::move(start), asio::use_awaitable);
}

template <class T>
Result<T> Cache::Impl::call_blocking(Work<T> work) {
  if (node_.strand().running_in_this_thread()) {
    return bad_input(
        "a blocking call from the node's own thread would wait for itself; use the awaitable one");
  }
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto future = promise->get_future();
  boost::asio::post(node_.strand(), [self = shared_from_this(), work = std::move(work), promise] {
    auto once = std::make_shared<bool>(false);
    self->begin<T>(work, [promise, once](Result<T> result) {
      if (!std::exchange(*once, true)) promise->set_value(std::move(result));
    });
  });
  return future.get();
}

template <class T>
void Cache::Impl::begin(const Work<T>& work, Done<T> finish) {
  if (auto running = why_not(); !running) return finish(running.error());
  const auto open = open_calls_.emplace(open_calls_.end());
  *open = [this, finish] { finish(why_not().error()); };
  auto finished = std::make_shared<bool>(false);
  auto done = [this, open, finish = std::move(finish), finished](Result<T> result) {
    if (life_ != Life::started || std::exchange(*finished, true)) return;  // stop() answered.
    open_calls_.erase(open);
    finish(std::move(result));
  };
  work(clocks(), done);
  // What else is ready comes into the same turn, up to what gives the peers something to do while
  // this node goes on.
  if (++calls_in_turn_ < calls_in_turn_max) return node_.turn_soon();
  node_.turn([](Now) {});
}

}  // namespace muster::cache
