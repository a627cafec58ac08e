// SPDX-License-Identifier: MIT
//
// Node machines on a network of the test's own: virtual time, links like TCP (in order, or broken),
// silent cuts in one or both directions, crashes, restarts with the old disk, pauses, skewed
// clocks. Everything follows from the seed.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "muster/node/node_machine.h"

namespace muster::node::test {

using namespace std::chrono_literals;

inline NodeName name_of(const std::string& text) { return *NodeName::parse(text); }

class Net {
 public:
  struct Host;
  explicit Net(std::uint64_t seed) : seed_(seed), random_(seed) {}

  /// A node called `base`@127.0.0.1, on an empty disk; options may be changed before start.
  std::size_t add(const std::string& base, const std::function<void(NodeOptions&)>& change = {});
  void boot(std::size_t host);
  void crash(std::size_t host);
  void wipe(std::size_t host);

  NodeMachine& operator[](std::size_t host);
  Host& host(std::size_t index) { return *hosts_.at(index); }
  [[nodiscard]] std::size_t size() const { return hosts_.size(); }
  [[nodiscard]] bool is_up(std::size_t host) const;
  [[nodiscard]] Now now(std::size_t host) const;
  [[nodiscard]] Duration elapsed() const { return time_; }
  [[nodiscard]] std::uint64_t steps() const { return sequence_; }
  std::uint64_t random(std::uint64_t below) { return random_() % below; }

  void run(Duration span);
  /// Runs until `done` holds; false when it did not within `limit`.
  bool run_until(const std::function<bool()>& done, Duration limit = 10s);

  void connect(std::size_t from, std::size_t to, NodeMachine::ConnectDone done = {});
  /// Frames from `from` to `to` vanish; dials between them hang.
  void block(std::size_t from, std::size_t to, bool on = true);
  void separate(std::size_t a, std::size_t b, bool on = true);
  /// For so long frames from `from` to `to` do not arrive, then all of them do.
  void stall(std::size_t from, std::size_t to, Duration span);
  void pause(std::size_t host);
  void resume(std::size_t host);
  void rearm(std::size_t host);
  /// Of segments: mostly the next ones tell TCP of it, sometimes only time, 200 ms and doubling.
  void lose(double share) { loss_ = share; }

  [[nodiscard]] bool meshed(const std::vector<std::size_t>& hosts);
  [[nodiscard]] bool meshed();
  /// Transport links that live, by pair; not the machines' word for it.
  [[nodiscard]] std::size_t transports(std::size_t a, std::size_t b) const;
  [[nodiscard]] std::vector<std::string> island(std::size_t host);
  /// What every node reported last.
  [[nodiscard]] std::string story() const;

 private:
  struct Pipe {
    std::size_t host[2];
    std::uint64_t life[2];
    LinkId id[2];
    Duration busy_until[2]{};
    bool open[2]{};
    bool broken[2]{};  ///< By sender: something was lost, nothing after it arrives.
  };
  struct Event {
    std::function<void()> run;
    std::optional<std::size_t> host;  ///< Waits while it is paused.
    bool timer = false;
  };
  void at(Duration when, std::optional<std::size_t> host, std::function<void()> run);
  Duration hop(Pipe& pipe, int from);
  void dial(std::size_t host, LinkId id, const Peer& peer);
  void transmit(std::size_t host, LinkId id, Bytes frame);
  void close(std::size_t host, LinkId id, const std::string& reason);
  std::pair<std::shared_ptr<Pipe>, int> pipe_of(std::size_t host, LinkId id);
  void drop(const std::shared_ptr<Pipe>& pipe);
  void to_machine(std::size_t host, std::uint64_t life,
                  const std::function<void(NodeMachine&, Now)>& what);
  [[nodiscard]] bool blocked(std::size_t from, std::size_t to) const {
    return blocked_.contains({from, to});
  }

  friend struct Host;
  std::uint64_t seed_;
  std::mt19937_64 random_;
  Duration time_ = 1000s;
  std::uint64_t sequence_ = 0;
  std::map<std::pair<Duration, std::uint64_t>, Event> events_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::set<std::shared_ptr<Pipe>> pipes_;
  std::map<std::pair<std::size_t, LinkId>, std::pair<std::shared_ptr<Pipe>, int>> ends_;
  std::set<std::pair<std::size_t, std::size_t>> blocked_;
  std::map<std::pair<std::size_t, std::size_t>, Duration> stalled_until_;
  std::uint64_t checks_ = 0;
  double loss_ = 0;
};

struct Net::Host final : NodeEffects {
  Net* net = nullptr;
  std::size_t index = 0;
  NodeOptions options;
  NodeState disk;
  std::uint64_t life = 0;
  bool paused = false;
  Duration skew{};  ///< Of its wall clock.
  Duration armed = Duration::max();
  std::function<void(NodeMachine&)> before_start;
  std::unique_ptr<NodeMachine> machine;
  std::vector<NodeEvent> events;
  std::vector<Duration> event_times;
  std::vector<Event> held;
  std::set<LinkId> given_up;                   ///< Dials whose answer is not wanted any more.
  std::vector<std::pair<LinkId, Bytes>> sent;  ///< When recording.
  bool recording = false;
  bool forgetful = false;  ///< Its disk is never read again, and not written: that costs time.
  int persisted = 0;

  [[nodiscard]] int count(NodeEvent::Kind kind, const std::string& name = "",
                          const std::string& detail = "") const;
  [[nodiscard]] const NodeEvent* last(NodeEvent::Kind kind) const;

  void dial(LinkId link, const Peer& peer) override { net->dial(index, link, peer); }
  void transmit(LinkId link, Lane, Bytes frame) override {
    if (recording) sent.emplace_back(link, frame);
    net->transmit(index, link, std::move(frame));
  }
  std::size_t queued(LinkId) const override { return 0; }
  void close(LinkId link) override { net->close(index, link, "closed by the other end"); }
  void persist(const NodeState& state) override {
    if (!forgetful) disk = state;
    ++persisted;
  }
  void report(Now, const NodeEvent& event) override {
    events.push_back(event);
    event_times.push_back(net->elapsed());
  }
};

}  // namespace muster::node::test
