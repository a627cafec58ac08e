// SPDX-License-Identifier: MIT
#include "cache_shell.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "muster/discovery/clock.h"

namespace muster::cache {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

bool wants_disk(const TableDefinition& table) { return table.storage != Storage::ram_copies; }

}  // namespace

Cache::Impl::Impl(node::Node& node, CacheSettings settings, Log log)
    : node_(node),
      settings_(std::move(settings)),
      log_(std::move(log)),
      timer_(node.strand()),
      stored_(node.strand(), never),
      timer_ran_(node.strand(), never),
      finished_(node.strand(), never) {}

// --- Life ------------------------------------------------------------------------------------

asio::awaitable<Result<void>> Cache::Impl::open() {
  if (machine_) co_return Result<void>();
  if (auto opened = open_store(); !opened) co_return opened;
  if (store_) heap_.expect();
  if (auto opened = open_machine(); !opened) {
    store_.reset();
    co_return opened;
  }
  publish(read_clock());
  if (store_) {
    // On the storage thread: carries what it says over, and no more than that.
    store_->run(
        [weak = weak_from_this(), strand = node_.strand()](std::vector<StoreAnswer> answers) {
          asio::post(strand, [weak, answers = std::move(answers)] {
            if (const auto self = weak.lock()) self->durable(answers);
          });
        },
        [weak = weak_from_this(), strand = node_.strand()](DiskState state, std::string why) {
          asio::post(strand, [weak, state, why = std::move(why)] {
            if (const auto self = weak.lock()) self->disk_changed(state, why);
          });
        });
  }
  co_return Result<void>();
}

Result<void> Cache::Impl::open_store() {
  if (settings_.directory.empty()) {
    const auto table = std::ranges::find_if(settings_.tables, wants_disk);
    if (table == settings_.tables.end()) return {};
    return bad_input(fmt::format(
        "table {} is kept as {} but the cache has no directory; name one or use ram_copies",
        table->name, to_string(table->storage)));
  }
  LmdbStore::Options options;
  options.environment.directory = settings_.directory;
  auto store = LmdbStore::open(std::move(options), log_);
  if (!store) return store.error();
  store_ = std::move(*store);
  return {};
}

Result<void> Cache::Impl::open_machine() {
  auto machine = CacheMachine::open(settings_.machine, settings_.tables, store_.get(),
                                    node_.fabric(), *this, std::random_device{}());
  if (!machine) return machine.error();
  machine_ = std::move(*machine);
  return {};
}

asio::awaitable<Result<void>> Cache::Impl::start() {
  if (auto opened = co_await open(); !opened) co_return opened;
  if (life_ != Life::idle) co_return bad_input("the cache was started already");
  life_ = Life::started;
  node_.fabric().attach(cache_service, machine_.get());
  node_.at_turn_end([weak = weak_from_this()](Now at) {
    if (const auto self = weak.lock()) self->end_of_turn(at);
  });
  node_.turn([this](Now at) { machine_->start(at); });
  co_return Result<void>();
}

asio::awaitable<void> Cache::Impl::stop() {
  if (life_ == Life::stopped) co_return;
  if (life_ == Life::stopping) co_return co_await until(finished_);
  const bool was_started = life_ == Life::started;
  life_ = Life::stopping;
  for (auto& [number, call] : std::exchange(open_calls_, {})) {
    Call& waiting = *call;
    waiting.fail(std::move(call), why_not().error());
  }
  if (was_started) node_.fabric().attach(cache_service, nullptr);
  timer_.cancel();
  if (timer_waits_ > 0) co_await until(timer_ran_);
  if (was_started) co_await store_the_rest();
  if (store_) co_await close_store();
  life_ = Life::stopped;
  finished_.cancel();
}

void Cache::Impl::begin(std::unique_ptr<Call> call) {
  Call& begun = *call;
  if (auto may = may_begin(); !may) return begun.fail(std::move(call), may.error());
  const std::uint64_t number = ++calls_;
  open_calls_.emplace(number, std::move(call));
  begun.work(*this, read_clock(), number);
  // What else is ready comes into the same turn, up to what gives the peers something to do while
  // this node goes on.
  if (++calls_in_turn_ < calls_in_turn_max) return node_.turn_soon();
  node_.turn([](Now) {});
}

/// Until somebody cancels `signal`.
asio::awaitable<void> Cache::Impl::until(asio::steady_timer& signal) {
  boost::system::error_code ignored;
  co_await signal.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

/// The machine gathers rows for a moment before it stores them: that moment has passed now.  What
/// others were told is here is among them, and the last turn tells them what is on disk.
asio::awaitable<void> Cache::Impl::store_the_rest() {
  while (disk_ == DiskState::good) {
    if (batches_out_ > 0) {
      if (!co_await disk_answers()) co_return;
      continue;
    }
    node_.turn([this](Now at) {
      at.mono = after(at.mono, settings_.machine.store_every);
      machine_->flush(at);
    });
    if (batches_out_ == 0) co_return;
  }
}

/// False: it has not for as long as stop() has patience.
asio::awaitable<bool> Cache::Impl::disk_answers() {
  const std::size_t before = batches_out_;
  stored_.expires_after(settings_.disk_patience);
  co_await until(stored_);
  stored_.expires_at(never);
  co_return batches_out_ < before || disk_ != DiskState::good;
}

/// The storage thread ends after its last commit: not on the loop.
asio::awaitable<void> Cache::Impl::close_store() {
  asio::thread_pool waiter(1);
  const bool ended = co_await asio::co_spawn(waiter, stop_store(), asio::use_awaitable);
  waiter.join();
  if (ended) co_return;
  log_.error("the disk of {} does not answer: what was not stored yet is given up",
             settings_.directory.string());
}

asio::awaitable<bool> Cache::Impl::stop_store() {
  const bool hangs = batches_out_ > 0 && disk_ == DiskState::good;  // It was waited for already.
  co_return store_->stop_within(hangs ? Duration() : settings_.disk_patience, store_);
}

Result<void> Cache::Impl::why_not() const {
  switch (life_) {
    case Life::idle:
      return bad_input("the cache is not started");
    case Life::started:
      return {};
    case Life::stopping:
    case Life::stopped:
      break;
  }
  return Error{asio::error::operation_aborted, "the cache is stopping"};
}

Result<void> Cache::Impl::may_begin() const {
  if (open_calls_.size() < settings_.calls_max) return why_not();
  return Error{make_error_code(boost::system::errc::resource_unavailable_try_again),
               fmt::format("too many calls of the cache are open ({})", open_calls_.size())};
}

asio::awaitable<Result<void>> Cache::Impl::wait_for_tables(Duration progress) {
  asio::steady_timer tick(node_.strand());
  std::string seen;
  auto last_progress = std::chrono::steady_clock::now();
  while (life_ == Life::started) {
    if (machine_->ready()) co_return Result<void>();
    const auto moment = std::chrono::steady_clock::now();
    std::string state = progress_text();
    if (state != seen) last_progress = moment;
    seen = std::move(state);
    if (moment - last_progress >= progress) {
      co_return Error{
          asio::error::timed_out,
          fmt::format("waited for tables, {} s without progress: {}",
                      std::chrono::duration_cast<std::chrono::seconds>(progress).count(), seen)};
    }
    tick.expires_after(5ms);
    boost::system::error_code ignored;
    co_await tick.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  co_return why_not();
}

asio::awaitable<Result<void>> Cache::Impl::hand_off(Duration limit) {
  asio::steady_timer tick(node_.strand());
  const auto end = std::chrono::steady_clock::now() + limit;
  while (life_ == Life::started) {
    const std::vector<std::string> reasons = machine_->not_handed_off();
    if (reasons.empty()) co_return Result<void>();
    if (std::chrono::steady_clock::now() >= end) {
      co_return Error{asio::error::timed_out, fmt::format("{}", fmt::join(reasons, "; "))};
    }
    tick.expires_after(5ms);
    boost::system::error_code ignored;
    co_await tick.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  co_return why_not();
}

asio::awaitable<std::vector<TableStatus>> Cache::Impl::status() {
  co_return machine_ ? machine_->status(read_clock()) : std::vector<TableStatus>();
}

Result<void> Cache::Impl::create_table(Now now, const TableDefinition& definition) {
  auto created = machine_->create_table(now, definition);
  publish(now);  // before the caller, perhaps on another thread, is answered
  return created;
}

// --- Turns, timers, storage --------------------------------------------------------------------

void Cache::Impl::end_of_turn(Now at) {
  calls_in_turn_ = 0;
  if (life_ != Life::started) return;
  machine_->flush(at);
  publish(at);
  arm();
  heap_.look();
}

void Cache::Impl::publish(Now at) {
  local_.set_time(at, node_.fabric().cluster_time(at));
  local_.publish(*machine_);
}

void Cache::Impl::arm() {
  const Instant due = machine_->next_wake();
  if (due == armed_ || due == never) return;
  if (armed_ != never && due > armed_) return;  // An early wake is harmless and arms again.
  armed_ = due;
  timer_.expires_at(timer_deadline(due));
  ++timer_waits_;
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (--self->timer_waits_ == 0) self->timer_ran_.cancel();
    if (error || self->life_ != Life::started) return;
    self->armed_ = never;
    self->node_.turn([&](Now at) { self->machine_->wake(at); });
  });
}

void Cache::Impl::store(StoreBatch batch) {
  if (!store_) return;
  if (life_ == Life::stopping) batch.urgent = true;
  ++batches_out_;
  store_->submit(std::move(batch));
}

void Cache::Impl::durable(const std::vector<StoreAnswer>& answers) {
  batches_out_ -= answers.size();
  stored_.cancel();
  node_.turn([&](Now at) {
    for (const StoreAnswer& answer : answers) {
      machine_->stored(at, answer.table, answer.number);
    }
  });
}

void Cache::Impl::disk_changed(DiskState state, const std::string& why) {
  disk_ = state;
  stored_.cancel();
  node_.turn([&](Now at) { machine_->disk_changed(at, state, why); });
}

// --- What is said ------------------------------------------------------------------------------

void Cache::Impl::report(Now at, const CacheEvent& event) {
  log_event(event);
  if (event.kind == CacheEvent::Kind::joining) heap_.expect();
  const bool written = event.kind == CacheEvent::Kind::written;
  const bool deleted = event.kind == CacheEvent::Kind::deleted;
  if (!written) {
    for (const auto& handler : handlers_) handler(at, event);
  }
  if (!written && !deleted) return;
  for (const auto& handler : change_handlers_) handler(at, event);
}

std::string Cache::Impl::progress_text() const {
  std::string text;
  for (const TableStatus& table : machine_->status(read_clock())) {
    if (table.readiness == Readiness::ready) continue;
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", table.definition.name, table.detail);
  }
  return text;
}

void Cache::Impl::log_event(const CacheEvent& event) const {
  using Kind = CacheEvent::Kind;
  const std::string& self = node_.fabric().self().name.text();
  const std::string by_peer = event.peer.empty() ? "" : " " + event.peer.text();
  const std::string because = event.detail.empty() ? "" : ": " + event.detail;
  switch (event.kind) {
    case Kind::written:
    case Kind::deleted:
    case Kind::expired:
      return;  // Keys are credentials.
    case Kind::initiated:
      return log_.info("table {} initiated on {}{}", event.table, self, because);
    case Kind::joining:
      return log_.info("table {} joins{} for {}{}", event.table, by_peer, self, because);
    case Kind::joined:
      return log_.info("table {}: {} for {}", event.table, event.detail, self);
    case Kind::ready:
      return log_.info("table {} is ready on {}{}", event.table, self, because);
    case Kind::not_ready:
      return log_.warn("table {} is not ready on {}{}", event.table, self, because);
    case Kind::inconsistent_database:
      return log_.warn("inconsistent_database({}, {}, [{}])", event.detail, event.peer.text(),
                       event.table);
    case Kind::apart:
      return log_.warn("table {} is apart from{}{}", event.table, by_peer, because);
    case Kind::healed:
      return log_.debug("table {} healed with{}{}", event.table, by_peer, because);
    case Kind::alarm:
      return log_.error("table {}{}", event.table, because);
  }
}

}  // namespace muster::cache
