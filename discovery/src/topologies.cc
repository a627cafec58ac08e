// SPDX-License-Identifier: MIT
#include "muster/discovery/topologies.h"

#include <boost/asio/post.hpp>
#include <cassert>
#include <random>

#include "clock.h"
#include "strategy_shell.h"
#include "task_group.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;

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
        alive_(std::make_shared<Shell*>(this)) {}

  ~Shell() override {
    assert(strategies_.empty() && tasks_.size() == 0 && "stop() was not awaited");
  }

  Result<void> add(const TopologyPlan& plan) {
    if (!alive_) return bad_input("topologies are stopping");
    const auto [it, is_new] = strategies_.try_emplace(plan.name);
    if (!is_new) return bad_input("there is a topology '" + plan.name + "' already");
    Running& running = it->second;
    running.strategy = plan.strategy;
    running.log = options_.log.about(plan.name);
    running.shell = std::make_unique<StrategyShell>(
        executor_, running.log,
        [this, name = plan.name](Pass pass) { take(name, std::move(pass)); });
    machine_.add(plan.name);
    if (!std::exchange(is_woken_, true)) tasks_.spawn(wake_loop());
    StrategyContext context = options_.context;
    context.topology = plan.name;
    context.seed = seeds_();
    running.shell->start(plan.make, context);
    return {};
  }

  asio::awaitable<bool> remove(std::string name) {
    const auto running = strategies_.extract(name);
    if (running.empty()) co_return false;
    machine_.remove(name);
    timer_.cancel();
    co_await running.mapped().shell->stop();
    co_return true;
  }

  asio::awaitable<void> stop() {
    alive_.reset();  // Completions of the plumbing find nobody any more.
    while (!strategies_.empty()) {
      const auto running = strategies_.extract(strategies_.begin());
      co_await running.mapped().shell->stop();
    }
    co_await tasks_.stop();
  }

  void links_changed() {
    if (std::exchange(links_changed_, true)) return;
    later(alive_, executor_, [](Shell& shell) {
      shell.links_changed_ = false;
      shell.machine_.links_changed(read_clock());
    });
  }

  [[nodiscard]] std::vector<TopologyStatus> status() const {
    auto all = machine_.status();
    for (TopologyStatus& topology : all) {
      const auto running = strategies_.find(topology.name);
      if (running == strategies_.end()) continue;  // Stopped.
      topology.strategy = running->second.strategy;
      topology.counters.merge(running->second.shell->counters());
    }
    return all;
  }

 private:
  struct Running {
    std::string strategy;
    Log log;
    std::unique_ptr<StrategyShell> shell;
  };

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
    if (options_.on_pass) options_.on_pass(topology, pass);
    machine_.pass(read_clock(), topology, std::move(pass));
    timer_.cancel();
  }

  asio::awaitable<void> wake_loop() {
    while (true) {
      timer_.expires_at(machine_.next_wake());
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
  bool links_changed_ = false;
  bool is_woken_ = false;
};

Topologies::Topologies(asio::any_io_executor executor, Plumbing& plumbing, Options options)
    : shell_(std::make_unique<Shell>(std::move(executor), plumbing, std::move(options))) {}
Topologies::~Topologies() = default;

Result<void> Topologies::add(const TopologyPlan& plan) { return shell_->add(plan); }
asio::awaitable<bool> Topologies::remove(std::string topology) {
  return shell_->remove(std::move(topology));
}
void Topologies::links_changed() { shell_->links_changed(); }
std::vector<TopologyStatus> Topologies::status() const { return shell_->status(); }
asio::awaitable<void> Topologies::stop() { return shell_->stop(); }

}  // namespace muster::discovery
