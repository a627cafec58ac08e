// SPDX-License-Identifier: MIT
#include "muster/unsplit/unsplit.h"

#include <boost/asio.hpp>
#include <optional>
#include <utility>

#include "muster/cache/cache.h"
#include "muster/discovery/clock.h"
#include "muster/node/node.h"

namespace muster::unsplit {

namespace asio = boost::asio;

class Unsplit::Impl : public std::enable_shared_from_this<Unsplit::Impl> {
 public:
  Impl(cache::Cache& cache, UnsplitOptions options, Log log)
      : cache_(cache),
        log_(std::move(log)),
        machine_(
            std::move(options), [this](Now, const Heal& heal) { tell(heal); },
            [this](node::BootId boot) { return name_of(boot); }),
        timer_(cache.node().strand()) {}

  /// On the strand, where the cache may be at work already: what it loaded is being stored.
  void attach() {
    machine_.attach(cache_.machine());
    cache_.on_event([weak = weak_from_this()](Now now, const cache::CacheEvent& event) {
      const auto self = weak.lock();
      if (!self) return;  // The cache outlives us, and is stopped after us.
      self->machine_.on_event(now, event);
      self->arm();
    });
    arm();
  }

  /// `work` on the strand; completes on the awaiting executor.
  template <class T>
  asio::awaitable<T> on_strand(std::function<void(std::function<void(T)>)> work) {
    auto start = [this, &work](auto handler) {
      auto shared = std::make_shared<decltype(handler)>(std::move(handler));
      auto executor = asio::get_associated_executor(*shared, cache_.node().strand());
      auto finish = [shared, executor, guard = asio::make_work_guard(executor)](T value) {
        asio::dispatch(executor, [shared, value = std::move(value)]() mutable {
          std::move (*shared)(std::move(value));
        });
      };
      asio::dispatch(cache_.node().strand(),
                     [work = std::move(work), finish = std::move(finish)] { work(finish); });
    };
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(T)>(
        std::move(start), asio::use_awaitable);
  }

  asio::awaitable<void> stop() {
    auto self = shared_from_this();
    std::function<void(std::function<void(bool)>)> work =
        [self](const std::function<void(bool)>& done) {
          self->stopped_ = true;
          self->timer_.cancel();
          self->cache_.machine().set_healer(nullptr);
          done(true);
        };
    co_await on_strand<bool>(std::move(work));
  }

  cache::Cache& cache_;
  Log log_;
  UnsplitMachine machine_;
  std::vector<std::function<void(const Heal&)>> handlers_;

 private:
  void arm() {
    const Instant due = machine_.next_wake();
    if (stopped_ || (armed_ && due >= *armed_)) return;
    armed_ = due;
    timer_.expires_at(timer_deadline(due));  // Cancels the wait before it.
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self || self->stopped_) return;
      self->armed_.reset();
      self->cache_.node().turn([&](Now now) { self->machine_.wake(now); });
      self->arm();
    });
  }

  void tell(const Heal& heal) {
    if (heal.verdict == cache::Verdict::apart && heal.rule == Rule::unexpected)
      log_.error("{}", heal.text);
    else if (heal.verdict == cache::Verdict::apart)
      log_.warn("{}", heal.text);
    else
      log_.info("{}", heal.text);
    for (const auto& handler : handlers_) handler(heal);
    arm();
  }

  [[nodiscard]] std::string name_of(node::BootId boot) const {
    for (const auto& [name, status] : cache_.node().fabric().membership().nodes)
      if (status.newest.boot == boot) return name.text();
    return {};
  }

  asio::steady_timer timer_;
  std::optional<Instant> armed_;
  bool stopped_ = false;
};

Unsplit::Unsplit(cache::Cache& cache, UnsplitOptions options, Log log)
    : impl_(std::make_shared<Impl>(cache, std::move(options), std::move(log))) {
  asio::dispatch(cache.node().strand(), [impl = impl_] { impl->attach(); });
}

Unsplit::~Unsplit() = default;

asio::awaitable<std::vector<Heal>> Unsplit::heals() const {
  std::function<void(std::function<void(std::vector<Heal>)>)> work =
      [impl = impl_](const auto& done) { done(impl->machine_.heals()); };
  co_return co_await impl_->on_strand<std::vector<Heal>>(std::move(work));
}

asio::awaitable<Unsplit::Totals> Unsplit::totals() const {
  std::function<void(std::function<void(Totals)>)> work = [impl = impl_](const auto& done) {
    done(impl->machine_.totals());
  };
  co_return co_await impl_->on_strand<Totals>(std::move(work));
}

asio::awaitable<std::vector<JournalEntry>> Unsplit::journal(std::string table) const {
  std::function<void(std::function<void(std::vector<JournalEntry>)>)> work =
      [impl = impl_, table = std::move(table)](const auto& done) {
        done(impl->machine_.journal(table));
      };
  co_return co_await impl_->on_strand<std::vector<JournalEntry>>(std::move(work));
}

asio::awaitable<Result<void>> Unsplit::replay(std::string table, std::string row) {
  std::function<void(std::function<void(Result<void>)>)> work =
      [impl = impl_, table = std::move(table), row = std::move(row)](const auto& done) {
        impl->cache_.node().turn([&](Now now) {
          impl->machine_.replay(now, table, row,
                                [done](Now, Result<void> result) { done(std::move(result)); });
        });
      };
  co_return co_await impl_->on_strand<Result<void>>(std::move(work));
}

void Unsplit::on_heal(std::function<void(const Heal&)> handler) {
  impl_->handlers_.push_back(std::move(handler));
}

asio::awaitable<void> Unsplit::stop() { co_await impl_->stop(); }

}  // namespace muster::unsplit
