// SPDX-License-Identifier: MIT
//
// Cluster time: converges, never goes backwards, survives restarts with a wrong clock.
#include <algorithm>

#include "node/machine_net.h"

namespace muster::node::test {
namespace {

using Kind = NodeEvent::Kind;

class Times {
 public:
  explicit Times(Net& net) : net_(net) {}
  /// Runs, and holds every node to a cluster time that never goes back.
  void run(Duration span) {
    for (Duration done{}; done < span; done += 50ms) {
      net_.run(50ms);
      for (std::size_t i = 0; i < net_.size(); ++i) {
        if (!net_.is_up(i)) continue;
        const Timestamp time = net_[i].cluster_time(net_.now(i));
        EXPECT_GE(time, last_[i]);
        last_[i] = time;
      }
    }
  }
  [[nodiscard]] Duration spread() {
    Timestamp low = Timestamp::max();
    Timestamp high = Timestamp::min();
    for (std::size_t i = 0; i < net_.size(); ++i) {
      low = std::min(low, net_[i].cluster_time(net_.now(i)));
      high = std::max(high, net_[i].cluster_time(net_.now(i)));
    }
    return high - low;
  }

 private:
  Net& net_;
  std::map<std::size_t, Timestamp> last_;
};

TEST(NodeClock, ConvergesFromTenSecondsOfSkewAndNeverGoesBack) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    const std::size_t size = 2 + net.random(4);
    Times times(net);
    for (std::size_t i = 0; i < size; ++i) {
      net.add(std::string(1, static_cast<char>('a' + i)));
      net.host(i).skew = std::chrono::milliseconds(net.random(20'000)) - 10s;
      net.boot(i);
      if (i > 0) net.connect(i, 0);
      times.run(500ms);
    }
    times.run(60s);
    EXPECT_LT(times.spread(), 2ms);
    // A clock that jumps takes the median along slowly, if at all.
    net.host(0).skew += 3600s;
    times.run(1s);
    EXPECT_LT(times.spread(), 2s);
    if (size > 2) {
      times.run(60s);
      EXPECT_LT(times.spread(), 2ms);
      EXPECT_GE(net.host(0).count(Kind::alarm, "a", "off the median"), 1);
    }
  }
}

TEST(NodeClock, ARestartWithAClockThatWentBackIsWaitedOut) {
  // Of the computer too: the monotonic clock says nothing then about what passed.
  for (const bool of_the_computer : {false, true}) {
    for (const Duration back : {1s, 3s, 30s}) {
      SCOPED_TRACE(testing::Message() << of_the_computer << " " << back.count());
      Net net(1);
      net.boot(net.add("a"));
      Times times(net);
      times.run(59s);  // The mark is saved every few seconds: that was a while ago.
      const Timestamp before = net[0].cluster_time(net.now(0));
      net.crash(0);
      net.host(0).skew = -back;
      if (of_the_computer) ++net.host(0).options.host_start;
      net.boot(0);
      EXPECT_GE(net[0].cluster_time(net.now(0)), before);
      if (!of_the_computer) {
        EXPECT_LE(net[0].cluster_time(net.now(0)), before + 1ms);
      }
      times.run(100s);
      const Timestamp wall = net.now(0).wall;
      EXPECT_LT(std::chrono::abs(net[0].cluster_time(net.now(0)) - wall), 1ms);
    }
  }
}

TEST(NodeClock, IsSavedNowAndThenOnly) {
  Net net(2);
  net.boot(net.add("a"));
  const int before = net.host(0).persisted;
  net.run(100s);
  EXPECT_LE(net.host(0).persisted - before, 20);
}

}  // namespace
}  // namespace muster::node::test
