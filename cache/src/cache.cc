// SPDX-License-Identifier: MIT
//
// Owns the machine, its timer and its store; performs what the machine asks and decides nothing.
#include "muster/cache/cache.h"

#include <algorithm>
#include <atomic>
#include <boost/asio.hpp>
#include <cassert>
#include <chrono>
#include <future>
#include <list>
#include <random>

#include "lmdb_store.h"
#include "muster/node/node.h"

namespace muster::cache {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto time_refresh = 2ms;  // How old time() may be.

/// The image of a cache without a directory.
class EmptyImage final : public StoreImage {
 public:
  [[nodiscard]] std::vector<std::string> tables() const override { return {}; }
  Result<void> for_each(std::string_view, Space, const Visit&) const override { return {}; }
};

Error stopped_error() { return {asio::error::operation_aborted, "the cache is stopping"}; }

Error own_thread_error() {
  return bad_input(
      "a blocking call from the node's own thread would wait for itself; use the awaitable one");
}

/// A completion that waits for its result, and keeps the executor that it belongs to at work.
template <class Handler, class Executor>
struct Pending {
  Handler handler;
  asio::executor_work_guard<Executor> guard;
  bool done = false;

  Pending(Handler waiting, const Executor& executor)
      : handler(std::move(waiting)), guard(executor) {}
};

bool wants_disk(const TableDefinition& table) { return table.storage != Storage::ram_copies; }

}  // namespace

class Cache::Impl : public CacheEffects, public std::enable_shared_from_this<Cache::Impl> {
 public:
  Impl(node::Node& node, CacheSettings settings, Log log)
      : node_(node), settings_(std::move(settings)), log_(std::move(log)), timer_(node.strand()) {}

  node::Node& node_;
  CacheSettings settings_;
  Log log_;
  std::unique_ptr<CacheMachine> machine_;
  std::vector<Cache::EventHandler> handlers_;

  // ---- life

  Result<void> open() {
    if (machine_) return {};
    if (!settings_.directory.empty()) {
      LmdbStore::Options options;
      options.environment.directory = settings_.directory;
      auto store = LmdbStore::open(std::move(options), log_);
      if (!store) return store.error();
      store_ = std::move(*store);
    } else if (const auto table = std::ranges::find_if(settings_.tables, wants_disk);
               table != settings_.tables.end()) {
      return bad_input("table " + table->name + " is kept as " +
                       std::string(to_string(table->storage)) +
                       " but the cache has no directory; name one or use ram_copies");
    }
    const EmptyImage nothing;
    const StoreImage* image = store_ ? static_cast<const StoreImage*>(store_.get()) : &nothing;
    auto machine = CacheMachine::open(settings_.machine, settings_.tables, image, node_.fabric(),
                                      *this, std::random_device{}());
    if (!machine) {
      store_.reset();
      return machine.error();
    }
    machine_ = std::move(*machine);
    if (store_)
      store_->run([weak = weak_from_this()](std::vector<StoreAnswer> answers) {
        if (auto self = weak.lock()) self->durable(std::move(answers));
      });
    return {};
  }

  void start() {
    node_.fabric().attach(cache_service, machine_.get());
    node_.at_turn_end([self = shared_from_this()](Now now) { self->end_of_turn(now); });
    node_.turn([this](Now now) {
      started_ = true;
      machine_->start(now);
    });
    refresh_time();
  }

  asio::awaitable<void> stop() {
    if (std::exchange(stopped_, true)) co_return;
    timer_.cancel();
    refresh_.cancel();
    while (waits_ > 0) co_await asio::post(node_.strand(), asio::use_awaitable);
    if (!machine_) co_return;
    if (started_) {
      node_.turn([this](Now now) { machine_->flush(now); });
      node_.fabric().attach(cache_service, nullptr);
    }
    for (auto& open : open_calls_) open();
    open_calls_.clear();
    if (store_) co_await close_store();
  }

  // ---- calls

  /// Runs `work` within a turn of the node's loop; `work` must call its argument exactly once, or
  /// stop() does with an error.  Completes on the awaiting executor.
  template <class T>
  asio::awaitable<Result<T>> call(std::function<void(Now, std::function<void(Result<T>)>)> work) {
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
      asio::dispatch(self->node_.strand(),
                     [self, work = std::move(work), finish = std::move(finish)] {
                       self->begin<T>(work, finish);
                     });
    };
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Result<T>)>(
        std::move(start), asio::use_awaitable);
  }

  template <class T>
  Result<T> call_blocking(std::function<void(Now, std::function<void(Result<T>)>)> work) {
    if (node_.strand().running_in_this_thread()) return own_thread_error();
    auto promise = std::make_shared<std::promise<Result<T>>>();
    auto future = promise->get_future();
    asio::post(node_.strand(), [self = shared_from_this(), work = std::move(work), promise] {
      auto once = std::make_shared<bool>(false);
      self->begin<T>(work, [promise, once](Result<T> result) {
        if (!std::exchange(*once, true)) promise->set_value(std::move(result));
      });
    });
    return future.get();
  }

  asio::awaitable<Result<void>> wait_for_tables(Duration progress) {
    asio::steady_timer tick(node_.strand());
    std::string seen;
    auto last_progress = std::chrono::steady_clock::now();
    while (!stopped_) {
      if (machine_->ready()) co_return Result<void>();
      const auto now = std::chrono::steady_clock::now();
      const std::string state = progress_text();
      if (state != seen) last_progress = now;
      seen = state;
      if (now - last_progress >= progress)
        co_return Error{asio::error::timed_out, "waiting for tables without progress: " + state};
      tick.expires_after(5ms);
      boost::system::error_code ignored;
      co_await tick.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    co_return stopped_error();
  }

  [[nodiscard]] std::vector<TableStatus> status_now() const { return machine_->status(now()); }

  // The public calls, as they run on the strand.
  asio::awaitable<Result<void>> open_here() { co_return open(); }
  asio::awaitable<Result<void>> start_here() {
    if (auto opened = open(); !opened) co_return opened;
    start();
    co_return Result<void>();
  }
  asio::awaitable<std::vector<TableStatus>> status_here() {
    co_return machine_ ? status_now() : std::vector<TableStatus>();
  }

  // ---- reads without the loop

  [[nodiscard]] Timestamp time() const {
    return Timestamp(std::chrono::microseconds(time_us_.load(std::memory_order_relaxed)));
  }

  // ---- CacheEffects

  void store(StoreBatch batch) override {
    if (store_) store_->submit(std::move(batch));
  }

  void report(Now now, const CacheEvent& event) override {
    log_event(event);
    for (const auto& handler : handlers_) handler(now, event);
  }

  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  [[nodiscard]] static Now now() {
    return {.mono = std::chrono::steady_clock::now(),
            .wall = std::chrono::time_point_cast<std::chrono::microseconds>(
                std::chrono::system_clock::now())};
  }

  template <class T>
  void begin(const std::function<void(Now, std::function<void(Result<T>)>)>& work,
             std::function<void(Result<T>)> finish) {
    if (stopped_ || !started_)
      return finish(stopped_ ? stopped_error() : bad_input("the cache is not started"));
    const auto open = open_calls_.emplace(open_calls_.end(), [finish] { finish(stopped_error()); });
    auto finished = std::make_shared<bool>(false);
    auto done = [this, open, finish = std::move(finish), finished](Result<T> result) {
      if (stopped_ || std::exchange(*finished, true)) return;  // stop() answered already.
      open_calls_.erase(open);
      finish(std::move(result));
    };
    node_.turn([&](Now at) { work(at, done); });
  }

  void end_of_turn(Now at) {
    if (stopped_) return;
    publish_time(at);
    machine_->flush(at);
    arm();
  }

  void arm() {
    const Instant due = machine_->next_wake();
    if (due == armed_ || due == never) return;
    if (armed_ != never && due > armed_) return;  // An early wake is harmless and arms again.
    armed_ = due;
    timer_.expires_at(due);
    ++waits_;
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      --self->waits_;
      if (error || self->stopped_) return;
      self->armed_ = never;
      self->node_.turn([&](Now at) { self->machine_->wake(at); });
    });
  }

  void publish_time(Now at) {
    time_us_.store(node_.fabric().cluster_time(at).time_since_epoch().count(),
                   std::memory_order_relaxed);
  }

  // An idle node has no turns, and time() must go on.
  void refresh_time() {
    publish_time(now());
    refresh_.expires_after(time_refresh);
    ++waits_;
    refresh_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      --self->waits_;
      if (!error && !self->stopped_) self->refresh_time();
    });
  }

  void durable(std::vector<StoreAnswer> answers) {
    asio::post(node_.strand(), [self = shared_from_this(), answers = std::move(answers)] {
      if (self->stopped_) return;
      self->node_.turn([&](Now at) {
        for (const StoreAnswer& answer : answers)
          self->machine_->stored(at, answer.table, answer.number, answer.failed);
      });
    });
  }

  // Closing waits for the last commit: not on the loop.
  asio::awaitable<void> close_store() {
    asio::thread_pool waiter(1);
    co_await asio::co_spawn(waiter, stop_store(), asio::use_awaitable);
    waiter.join();
  }

  asio::awaitable<void> stop_store() {
    store_->stop();
    co_return;
  }

  [[nodiscard]] std::string progress_text() const {
    std::string text;
    for (const TableStatus& table : status_now())
      if (table.readiness != Readiness::ready)
        text += (text.empty() ? "" : "; ") + table.definition.name + " " + table.detail;
    return text;
  }

  void log_event(const CacheEvent& event) const {
    using Kind = CacheEvent::Kind;
    switch (event.kind) {
      case Kind::written:
      case Kind::deleted:
      case Kind::expired:
        return;  // Keys are credentials.
      case Kind::alarm:
        return log_.error("table {}: {}", event.table, event.detail);
      case Kind::inconsistent_database:
      case Kind::apart:
      case Kind::not_ready:
        return log_.warn("table {}: {}", event.table, event.detail);
      case Kind::joining:
      case Kind::joined:
      case Kind::initiated:
      case Kind::ready:
      case Kind::healed:
        return log_.info("table {}: {}", event.table, event.detail);
    }
  }

  std::unique_ptr<LmdbStore> store_;
  std::list<std::function<void()>> open_calls_;  // What stop() answers with an error.
  asio::steady_timer timer_;
  asio::steady_timer refresh_{node_.strand()};
  Instant armed_ = never;
  int waits_ = 0;  // Timer handlers that have yet to run.
  std::atomic<std::int64_t> time_us_{0};
  bool started_ = false, stopped_ = false;
};

// Runs `work` on the node's strand and comes back to where the caller was.
template <class T>
asio::awaitable<T> Cache::on_strand(Impl& impl, asio::awaitable<T> work) {
  co_return co_await asio::co_spawn(impl.node_.strand(), std::move(work), asio::use_awaitable);
}

Cache::Cache(node::Node& node, CacheSettings settings, Log log)
    : impl_(std::make_shared<Impl>(node, std::move(settings), std::move(log))) {}

Cache::~Cache() = default;

asio::awaitable<Result<void>> Cache::open() {
  co_return co_await on_strand(*impl_, impl_->open_here());
}

asio::awaitable<Result<void>> Cache::start() {
  co_return co_await on_strand(*impl_, impl_->start_here());
}

asio::awaitable<Result<void>> Cache::wait_for_tables(Duration progress) {
  co_return co_await on_strand(*impl_, impl_->wait_for_tables(progress));
}

asio::awaitable<void> Cache::stop() { co_await on_strand(*impl_, impl_->stop()); }

asio::awaitable<Result<Written>> Cache::put(std::string table, Key key, std::string value,
                                            std::optional<Duration> ttl) {
  Put put;
  put.key = std::move(key);
  put.value = std::move(value);
  put.ttl = ttl;
  Write write;
  write.puts.push_back(std::move(put));
  co_return co_await this->write(std::move(table), std::move(write), WriteOptions());
}

asio::awaitable<Result<Written>> Cache::write(std::string table, Write write,
                                              WriteOptions options) {
  std::function<void(Now, std::function<void(Result<Written>)>)> work =
      [impl = impl_, table = std::move(table), write = std::move(write), options](
          Now now, const auto& done) {
        impl->machine_->write(now, table, write, options,
                              [done](Now, Result<Written> written) { done(std::move(written)); });
      };
  co_return co_await impl_->call<Written>(std::move(work));
}

asio::awaitable<Result<Written>> Cache::erase(std::string table, Key key, WriteOptions options) {
  Write write;
  write.deletes.push_back(std::move(key));
  co_return co_await this->write(std::move(table), std::move(write), options);
}

asio::awaitable<Result<Written>> Cache::touch(std::string table, Key key,
                                              std::optional<Duration> ttl, WriteOptions options) {
  std::function<void(Now, std::function<void(Result<Written>)>)> work =
      [impl = impl_, table = std::move(table), key = std::move(key), ttl, options](
          Now now, const auto& done) {
        impl->machine_->touch(now, table, key, ttl, options,
                              [done](Now, Result<Written> written) { done(std::move(written)); });
      };
  co_return co_await impl_->call<Written>(std::move(work));
}

asio::awaitable<Result<std::optional<std::string>>> Cache::take(std::string table, Key key,
                                                                WriteOptions options) {
  using Value = std::optional<std::string>;
  std::function<void(Now, std::function<void(Result<Value>)>)> work =
      [impl = impl_, table = std::move(table), key = std::move(key), options](Now now,
                                                                              const auto& done) {
        impl->machine_->take(now, table, key, options,
                             [done](Now, Result<Value> value) { done(std::move(value)); });
      };
  co_return co_await impl_->call<Value>(std::move(work));
}

namespace {

Result<std::optional<std::string>> value_of(Result<std::optional<Table::Found>> found) {
  if (!found) return found.error();
  if (!*found) return std::optional<std::string>();
  return std::optional<std::string>(std::move((*found)->value));
}

}  // namespace

asio::awaitable<Result<std::optional<std::string>>> Cache::get(std::string table, Key key) {
  using Value = std::optional<std::string>;
  std::function<void(Now, std::function<void(Result<Value>)>)> work =
      [impl = impl_, table = std::move(table), key = std::move(key)](Now now, const auto& done) {
        impl->machine_->get(now, table, key,
                            [done](Now, Result<std::optional<Table::Found>> found) {
                              done(value_of(std::move(found)));
                            });
      };
  co_return co_await impl_->call<Value>(std::move(work));
}

asio::awaitable<Result<std::vector<std::pair<Key, std::string>>>> Cache::all(std::string table,
                                                                             Pattern pattern,
                                                                             std::size_t limit) {
  using List = std::vector<std::pair<Key, std::string>>;
  std::function<void(Now, std::function<void(Result<List>)>)> work =
      [impl = impl_, table = std::move(table), pattern = std::move(pattern), limit](
          Now now, const auto& done) {
        impl->machine_->all(now, table, pattern, limit,
                            [done](Now, Result<List> list) { done(std::move(list)); });
      };
  co_return co_await impl_->call<List>(std::move(work));
}

asio::awaitable<Result<void>> Cache::create_table(TableDefinition definition) {
  std::function<void(Now, std::function<void(Result<void>)>)> work =
      [impl = impl_, definition = std::move(definition)](Now now, const auto& done) {
        done(impl->machine_->create_table(now, definition));
      };
  co_return co_await impl_->call<void>(std::move(work));
}

Result<Written> Cache::write_blocking(std::string table, Write write, WriteOptions options) {
  return impl_->call_blocking<Written>([impl = impl_, table = std::move(table),
                                        write = std::move(write),
                                        options](Now now, const auto& done) {
    impl->machine_->write(now, table, write, options,
                          [done](Now, Result<Written> written) { done(std::move(written)); });
  });
}

Result<std::optional<std::string>> Cache::get_blocking(std::string table, Key key) {
  using Value = std::optional<std::string>;
  return impl_->call_blocking<Value>([impl = impl_, table = std::move(table), key = std::move(key)](
                                         Now now, const auto& done) {
    impl->machine_->get(now, table, key, [done](Now, Result<std::optional<Table::Found>> found) {
      done(value_of(std::move(found)));
    });
  });
}

std::optional<Table::Found> Cache::find_local(std::string_view table, std::string_view key) const {
  const auto copy = impl_->machine_->table(table);
  return copy ? copy->find(key, impl_->time()) : std::nullopt;
}

std::shared_ptr<const Table> Cache::table(std::string_view name) const {
  return impl_->machine_->table(name);
}

Timestamp Cache::time() const { return impl_->time(); }

asio::awaitable<std::vector<TableStatus>> Cache::status() const {
  co_return co_await on_strand(*impl_, impl_->status_here());
}

void Cache::on_event(EventHandler handler) { impl_->handlers_.push_back(std::move(handler)); }

node::Node& Cache::node() const { return impl_->node_; }

CacheMachine& Cache::machine() {
  assert(impl_->machine_);
  return *impl_->machine_;
}

}  // namespace muster::cache
