// SPDX-License-Identifier: MIT
#include "muster/discovery/topologies.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <cassert>
#include <random>
#include <set>

#include "muster/discovery/clock.h"
#include "muster/discovery/settings.h"
#include "strategy_shell.h"
#include "task_group.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;

constexpr Duration look_again = std::chrono::milliseconds(200);  // Plumbing that tells nothing.

std::uint64_t seed_or_chance(std::uint64_t seed) {
  if (seed != 0) return seed;
  std::random_device chance;
  return (static_cast<std::uint64_t>(chance()) << 32) | chance();
}

}  // namespace

class Topologies::Shell : private TopologySink {
 public:
  Shell(asio::any_io_executor executor, Plumbing& plumbing, Options options)
      : executor_(std::move(executor)),
        plumbing_(plumbing),
        options_(std::move(options)),
        seeds_(seed_or_chance(options_.seed)),
        machine_({.self = options_.context.self,
                  .seed = seeds_(),
                  .redial = options_.redial,
                  .dial_deadline = options_.dial_deadline},
                 *this),
        timer_(executor_),
        tasks_(executor_),
        alive_(std::make_shared<Shell*>(this)),
        guests_gone_(executor_) {}

  ~Shell() override {
    assert(strategies_.empty() && tasks_.size() == 0 && guests_ == 0 && "stop() was not awaited");
  }

  Result<void> add(const TopologyPlan& plan) {
    if (!alive_) return bad_input("topologies are stopping");
    const auto [it, is_new] = strategies_.try_emplace(plan.name);
    if (!is_new) return bad_input("there is a topology '" + plan.name + "' already");
    Running& running = it->second;
    running.plan = plan;
    running.log = options_.log.about(plan.name);
    machine_.add(plan.name);
    if (!std::exchange(is_woken_, true)) tasks_.spawn(wake_loop());
    begin(running);
    return {};
  }

  asio::awaitable<Result<void>> remove(std::string name) {
    Running* const running = find(name);
    if (!running) co_return refused(name);
    const Guest guest(*this);
    const auto removed = strategies_.extract(name);
    machine_.remove(name);
    removed.mapped().log.info("removed");
    timer_.cancel();
    if (removed.mapped().shell) co_await removed.mapped().shell->stop(LastWords::yes);
    co_return Result<void>();
  }

  asio::awaitable<Result<void>> pause(std::string name) {
    Running* const running = find(name);
    if (!running) co_return refused(name);
    if (running->paused) co_return bad_input("topology '" + name + "' is paused already");
    const Guest guest(*this);
    running->paused = true;
    running->log.info("paused");
    machine_.pause(name, true);
    co_await end_shell_of(name, LastWords::yes);
    co_return Result<void>();
  }

  Result<void> resume(const std::string& name) {
    Running* const running = find(name);
    if (!running) return refused(name);
    if (!running->paused) return bad_input("topology '" + name + "' is not paused");
    running->paused = false;
    running->log.info("resumed");
    machine_.pause(name, false);
    begin(*running);
    timer_.cancel();
    return {};
  }

  asio::awaitable<Result<void>> refresh(std::string name) {
    Running* const running = find(name);
    if (!running) co_return refused(name);
    if (running->paused) co_return bad_input("topology '" + name + "' is paused");
    const Guest guest(*this);
    machine_.refresh(read_clock(), name);
    timer_.cancel();
    const bool still_there = co_await end_shell_of(name, LastWords::no);
    if (!still_there) co_return bad_input("topology '" + name + "' was removed meanwhile");
    begin(strategies_.at(name));
    co_return Result<void>();
  }

  asio::awaitable<Result<void>> wait_for(WaitFor whom, Duration within) {
    const Guest guest(*this);
    const Instant end = after(read_clock().mono, within);
    while (alive_) {
      const auto linked = plumbing_.list_nodes();
      if (are_linked(whom, linked)) co_return Result<void>();
      const Instant now = read_clock().mono;
      if (now >= end) co_return bad_input(whom_we_miss(whom, linked, within));
      Looker looker(*this, std::min(end, now + look_again));
      co_await looker.timer.async_wait(await_tuple);
    }
    co_return bad_input("topologies are stopping");
  }

  asio::awaitable<void> stop() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    alive_.reset();  // Completions of the plumbing find nobody any more.
    look_now();
    while (!strategies_.empty()) {
      const auto running = strategies_.extract(strategies_.begin());
      if (running.mapped().shell) co_await running.mapped().shell->stop(LastWords::yes);
    }
    while (guests_ > 0) {
      guests_gone_.expires_at(never);
      co_await guests_gone_.async_wait(await_tuple);
    }
    co_await tasks_.stop();
  }

  void left(const NodeName& peer) {
    machine_.left(read_clock(), peer);
    timer_.cancel();
  }

  void links_changed() {
    if (std::exchange(links_changed_, true)) return;
    later(alive_, executor_, [](Shell& shell) {
      shell.links_changed_ = false;
      shell.machine_.links_changed(read_clock());
      shell.look_now();
    });
  }

  [[nodiscard]] std::vector<TopologyStatus> status() const {
    auto all = machine_.status();
    for (TopologyStatus& topology : all) {
      const auto running = strategies_.find(topology.name);
      if (running == strategies_.end()) continue;  // Stopped.
      topology.strategy = running->second.plan.strategy;
      if (running->second.shell) topology.counters.merge(running->second.shell->counters());
    }
    return all;
  }

 private:
  using LastWords = StrategyShell::LastWords;

  struct Running {
    TopologyPlan plan = {};
    Log log = {};
    std::unique_ptr<StrategyShell> shell = {};  // None while paused, and while one is ending.
    bool paused = false;
  };

  /// A call under way: stop() waits for it.
  class Guest {
   public:
    explicit Guest(Shell& shell) : shell_(shell) { ++shell_.guests_; }
    ~Guest() {
      if (--shell_.guests_ == 0) shell_.guests_gone_.cancel();
    }
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;

   private:
    Shell& shell_;
  };

  /// Waits until something may have changed.
  struct Looker {
    Looker(Shell& owner, Instant until)
        : shell(owner), timer(owner.executor_, timer_deadline(until)) {
      shell.lookers_.insert(&timer);
    }
    ~Looker() { shell.lookers_.erase(&timer); }
    Looker(const Looker&) = delete;
    Looker& operator=(const Looker&) = delete;

    Shell& shell;
    asio::steady_timer timer;
  };

  void begin(Running& running) {
    running.shell = std::make_unique<StrategyShell>(
        executor_, running.log,
        [this, name = running.plan.name](Pass pass) { take(name, std::move(pass)); });
    StrategyContext context = options_.context;
    context.topology = running.plan.name;
    context.seed = seeds_();
    running.shell->start(running.plan.make, context);
  }

  /// Null also while another call ends its strategy.
  Running* find(const std::string& name) {
    const auto found = strategies_.find(name);
    const bool busy = found == strategies_.end() || (!found->second.shell && !found->second.paused);
    return busy ? nullptr : &found->second;
  }

  [[nodiscard]] Error refused(const std::string& name) const {
    if (!alive_) return bad_input("topologies are stopping");
    if (strategies_.contains(name))
      return bad_input("topology '" + name + "' is being changed at this moment");
    std::vector<std::string> names;
    for (const auto& [known, unused] : strategies_) names.push_back(known);
    return bad_input("there is no topology '" + name + "'" + did_you_mean(name, names));
  }

  /// False where the topology went away meanwhile.
  asio::awaitable<bool> end_shell_of(std::string name, LastWords last_words) {
    const auto shell = std::move(strategies_.at(name).shell);
    if (shell) co_await shell->stop(last_words);
    co_return strategies_.contains(name);
  }

  [[nodiscard]] static bool are_linked(const WaitFor& whom, const std::set<NodeName>& linked) {
    return linked.size() >= whom.peers &&
           std::ranges::all_of(whom.names, [&](const auto& name) { return linked.contains(name); });
  }

  [[nodiscard]] std::string whom_we_miss(const WaitFor& whom, const std::set<NodeName>& linked,
                                         Duration within) const {
    std::string text = "after " + duration_text(within) + ": " + std::to_string(linked.size()) +
                       " of " + std::to_string(std::max(whom.peers, whom.names.size())) +
                       " peers are linked";
    for (const NodeName& name : whom.names)
      if (!linked.contains(name)) text += "; " + name.text() + " is not";
    for (const TopologyStatus& topology : machine_.status()) {
      if (!topology.unknown_reason.empty())
        text += "; topology " + topology.name + ": " + topology.unknown_reason;
      for (const PeerStatus& peer : topology.peers)
        if (!peer.reason.empty()) text += "; " + peer.name.text() + ": " + peer.reason;
    }
    return text;
  }

  void look_now() {
    for (asio::steady_timer* looker : lookers_) looker->cancel();
  }

  /// On the executor, unless stopped by then.  Safe from any thread and from within the machine.
  template <class Work>
  static void later(std::weak_ptr<Shell*> weak, const asio::any_io_executor& executor, Work work) {
    asio::post(executor, [weak = std::move(weak), work = std::move(work)] {
      const auto alive = weak.lock();
      if (!alive) return;
      work(**alive);
      (*alive)->timer_.cancel();
    });
  }

  void take(const std::string& topology, Pass pass) {
    const auto running = strategies_.find(topology);
    if (running != strategies_.end() && !running->second.plan.prune) pass.disconnects = false;
    if (options_.on_pass) options_.on_pass(topology, pass);
    machine_.pass(read_clock(), topology, std::move(pass));
    timer_.cancel();
  }

  asio::awaitable<void> wake_loop() {
    while (true) {
      timer_.expires_at(timer_deadline(machine_.next_wake()));
      co_await timer_.async_wait(await_tuple);
      const Now now = read_clock();
      if (alive_ && now.mono >= machine_.next_wake()) machine_.wake(now);
    }
  }

  void connect(AttemptId id, const Peer& peer, Duration within) override {
    plumbing_.connect(
        peer, within,
        [weak = std::weak_ptr(alive_), executor = executor_, id](const DialOutcome& outcome) {
          later(weak, executor, [id, outcome](Shell& shell) {
            shell.machine_.connected(read_clock(), id, outcome);
          });
        });
  }
  void disconnect(AttemptId id, const NodeName& name) override {
    plumbing_.disconnect(
        name, [weak = std::weak_ptr(alive_), executor = executor_, id](const DialOutcome& outcome) {
          later(weak, executor, [id, outcome](Shell& shell) {
            shell.machine_.disconnected(read_clock(), id, outcome);
          });
        });
  }
  std::set<NodeName> list_nodes() override { return plumbing_.list_nodes(); }
  void happened(const ConnectEvent& event) override {
    if (options_.on_event) options_.on_event(event);
  }
  void note(const std::string& topology, Level level, std::string text) override {
    const auto running = strategies_.find(topology);
    (running == strategies_.end() ? options_.log.about(topology) : running->second.log)
        .write(level, text);
  }

  const asio::any_io_executor executor_;
  Plumbing& plumbing_;
  const Options options_;
  std::mt19937_64 seeds_;
  TopologyMachine machine_;
  asio::steady_timer timer_;
  TaskGroup tasks_;
  std::map<std::string, Running> strategies_;
  std::shared_ptr<Shell*> alive_;
  std::size_t guests_ = 0;
  asio::steady_timer guests_gone_;
  std::set<asio::steady_timer*> lookers_;  // Of those that wait for links.
  bool links_changed_ = false;
  bool is_woken_ = false;
};

Topologies::Topologies(asio::any_io_executor executor, Plumbing& plumbing, Options options)
    : shell_(std::make_unique<Shell>(std::move(executor), plumbing, std::move(options))) {}
Topologies::~Topologies() = default;

Result<void> Topologies::add(const TopologyPlan& plan) { return shell_->add(plan); }
asio::awaitable<Result<void>> Topologies::remove(std::string topology) {
  return shell_->remove(std::move(topology));
}
asio::awaitable<Result<void>> Topologies::pause(std::string topology) {
  return shell_->pause(std::move(topology));
}
Result<void> Topologies::resume(const std::string& topology) { return shell_->resume(topology); }
asio::awaitable<Result<void>> Topologies::refresh(std::string topology) {
  return shell_->refresh(std::move(topology));
}
asio::awaitable<Result<void>> Topologies::wait_for(WaitFor whom, Duration within) {
  return shell_->wait_for(std::move(whom), within);
}
void Topologies::links_changed() { shell_->links_changed(); }
void Topologies::left(const NodeName& peer) { shell_->left(peer); }
std::vector<TopologyStatus> Topologies::status() const { return shell_->status(); }
asio::awaitable<void> Topologies::stop() { return shell_->stop(); }

}  // namespace muster::discovery
