// SPDX-License-Identifier: MIT
//
// What stands behind Cache: owns the machine, its timer and its store; performs what the machine
// asks, and decides nothing.
//
// Threads: the node's strand, but for call(), call_blocking() and local().
// Stop: what is still open is answered with an error; nothing is heard from others any more, so
// that what is left to store has an end; it is stored; then the storage thread ends.
#pragma once

#include <atomic>
#include <boost/asio.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "heap_ahead.h"
#include "lmdb_store.h"
#include "local_tables.h"
#include "muster/cache/cache.h"
#include "muster/node/node.h"

namespace muster::cache {

class Cache::Impl final : public CacheEffects, public std::enable_shared_from_this<Cache::Impl> {
 public:
  /// Answers a call.  What comes when it was answered already, by stop() say, is dropped.
  template <class T>
  struct Done {
    Impl* impl = nullptr;
    std::uint64_t call = 0;
    void operator()(Result<T>&& result) const { impl->answer<T>(call, std::move(result)); }
  };

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
  /// Runs `work(Impl&, Now, Done<T>)` within a turn of the node's loop.  Completes on the awaiting
  /// executor.
  template <class T, class Work>
  boost::asio::awaitable<Result<T>> call(Work work);
  template <class T, class Work>
  Result<T> call_blocking(Work work);

  // CacheEffects.
  void store(StoreBatch batch) override;
  void report(Now now, const CacheEvent& event) override;
  [[nodiscard]] bool wants_changes() const override { return !change_handlers_.empty(); }

 private:
  enum class Life : std::uint8_t { idle, started, stopping, stopped };

  static constexpr std::size_t calls_in_turn_max = 16;

  /// A call from its start until it is answered, which is the end of it.
  class Call {
   public:
    virtual ~Call() = default;
    virtual void work(Impl& impl, Now now, std::uint64_t number) = 0;
    virtual void fail(std::unique_ptr<Call> self, Error error) = 0;
  };
  template <class T>
  class Answerable : public Call {
   public:
    virtual void answer(std::unique_ptr<Call> self, Result<T>&& result) = 0;
    void fail(std::unique_ptr<Call> self, Error error) final {
      answer(std::move(self), std::move(error));
    }
  };
  template <class T, class Work>
  class Working : public Answerable<T> {
   public:
    explicit Working(Work work) : work_(std::move(work)) {}
    void work(Impl& impl, Now now, std::uint64_t number) final {
      Work work = std::move(work_);  // Answered within, this call may be gone before it returns.
      work(impl, now, Done<T>{&impl, number});
    }

   private:
    Work work_;
  };
  template <class T, class Work>
  class Awaited;
  template <class T, class Work>
  class Blocking;

  void begin(std::unique_ptr<Call> call);
  template <class T>
  void answer(std::uint64_t number, Result<T>&& result);
  [[nodiscard]] Result<void> why_not() const;
  [[nodiscard]] Result<void> may_begin() const;
  [[nodiscard]] Result<void> open_store();
  [[nodiscard]] Result<void> open_machine();
  void end_of_turn(Now at);
  void publish(Now at);
  void arm();
  void durable(const std::vector<StoreAnswer>& answers);
  void disk_changed(DiskState state, const std::string& why);
  boost::asio::awaitable<void> store_the_rest();
  boost::asio::awaitable<bool> disk_answers();
  boost::asio::awaitable<void> close_store();
  boost::asio::awaitable<bool> stop_store();
  boost::asio::awaitable<void> until(boost::asio::steady_timer& signal);
  [[nodiscard]] std::string progress_text() const;
  void log_event(const CacheEvent& event) const;

  node::Node& node_;
  CacheSettings settings_;
  Log log_;
  std::shared_ptr<LmdbStore> store_;  // Outlives the machine, which reads from it.
  std::unique_ptr<CacheMachine> machine_;
  std::vector<Cache::EventHandler> handlers_;
  std::vector<Cache::EventHandler> change_handlers_;
  LocalTables local_;
  // What stop() answers with an error.
  boost::unordered_flat_map<std::uint64_t, std::unique_ptr<Call>> open_calls_;
  std::uint64_t calls_ = 0;  // Ever begun.
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer stored_;  // Cancelled when the store has answered, or the disk changed.
  boost::asio::steady_timer timer_ran_;  // Cancelled when the last handler of timer_ has run.
  boost::asio::steady_timer finished_;   // Cancelled when stop() is through.
  Instant armed_ = never;
  int timer_waits_ = 0;
  std::size_t calls_in_turn_ = 0;
  std::size_t batches_out_ = 0;
  DiskState disk_ = DiskState::good;
  Life life_ = Life::idle;
  HeapAhead heap_;
};

/// Keeps the executor that its completion belongs to at work.
template <class T, class Work>
class Cache::Impl::Awaited final : public Working<T, Work> {
 public:
  using Handler = typename boost::asio::async_result<boost::asio::use_awaitable_t<>,
                                                     void(Result<T>)>::handler_type;
  using Working<T, Work>::Working;

  template <class Executor>
  void awaited_by(Handler handler, const Executor& otherwise) {
    guard_.emplace(boost::asio::get_associated_executor(handler, otherwise));
    handler_.emplace(std::move(handler));
  }
  void answer(std::unique_ptr<Call> self, Result<T>&& result) override {
    result_ = std::move(result);
    // Until post() has returned: where the handler ends the last work, the caller may destroy its
    // threads.
    const auto guard = std::move(*guard_);
    boost::asio::post(guard.get_executor(), [this, self = std::move(self)]() mutable {
      Handler handler = std::move(*handler_);
      Result<T> answered = std::move(result_);
      self.reset();
      std::move(handler)(std::move(answered));
    });
  }

 private:
  std::optional<Handler> handler_;
  std::optional<boost::asio::executor_work_guard<typename Handler::executor_type>> guard_;
  Result<T> result_ = Error();
};

template <class T, class Work>
class Cache::Impl::Blocking final : public Working<T, Work> {
 public:
  using Working<T, Work>::Working;
  std::future<Result<T>> future() { return promise_.get_future(); }
  void answer(std::unique_ptr<Call>, Result<T>&& result) override {
    promise_.set_value(std::move(result));
  }

 private:
  std::promise<Result<T>> promise_;
};

template <class T, class Work>
boost::asio::awaitable<Result<T>> Cache::Impl::call(Work work) {
  namespace asio = boost::asio;
  auto made = std::make_unique<Awaited<T, Work>>(std::move(work));
  auto start = [self = shared_from_this(), call = std::move(made)](auto handler) mutable {
    call->awaited_by(std::move(handler), self->node_.strand());
    // Never at once: the caller may stand within the machine.
    asio::post(self->node_.strand(),
               [self, call = std::move(call)]() mutable { self->begin(std::move(call)); });
  };
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Result<T>)>(std::move(start),
                                                                              asio::use_awaitable);
}

template <class T, class Work>
Result<T> Cache::Impl::call_blocking(Work work) {
  if (node_.strand().running_in_this_thread()) {
    return bad_input(
        "a blocking call from the node's own thread would wait for itself; use the awaitable one");
  }
  auto call = std::make_unique<Blocking<T, Work>>(std::move(work));
  auto future = call->future();
  boost::asio::post(node_.strand(), [self = shared_from_this(), call = std::move(call)]() mutable {
    self->begin(std::move(call));
  });
  return future.get();
}

template <class T>
void Cache::Impl::answer(std::uint64_t number, Result<T>&& result) {
  const auto found = open_calls_.find(number);
  if (found == open_calls_.end()) return;  // stop() answered.
  auto call = std::move(found->second);
  open_calls_.erase(found);
  auto& waiting = static_cast<Answerable<T>&>(*call);
  waiting.answer(std::move(call), std::move(result));
}

}  // namespace muster::cache
