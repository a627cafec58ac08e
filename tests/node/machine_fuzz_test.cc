// SPDX-License-Identifier: MIT
//
// Frames that nobody should send: valid ones with bytes changed, cut, doubled, at any time of a
// link's life.  The machine may close the link; it never breaks its invariants.
#include "node/machine_net.h"

namespace muster::node::test {
namespace {

struct Sink final : NodeEffects {
  void dial(LinkId, const Peer&) override {}
  void transmit(LinkId, Lane, Bytes frame) override { sent.push_back(*frame); }
  std::size_t queued(LinkId) const override { return 0; }
  void close(LinkId) override { ++closed; }
  void persist(const NodeState&) override {}
  void report(Now, const NodeEvent& event) override {
    for (const char c : event.detail) EXPECT_TRUE(c >= ' ' && c <= '~');
  }
  std::vector<std::string> sent;
  int closed = 0;
};

/// Every frame of a small cluster's life.
std::vector<std::string> recorded() {
  Net net(1);
  for (const char* name : {"a", "b", "c"}) {
    const auto host = net.add(name);
    net.host(host).recording = true;
    net.boot(host);
    if (host > 0) net.connect(host, 0);
  }
  net.run(3s);
  net[0].call(net.now(0), net[1].self().boot, "table_info", "x", 1s, {});
  net.separate(0, 1);
  net.run(4s);
  net[2].leave(net.now(2));
  net.run(1s);
  std::vector<std::string> frames;
  for (std::size_t i = 0; i < 3; ++i) {
    for (const auto& [link, frame] : net.host(i).sent) frames.push_back(*frame);
  }
  return frames;
}

std::string mutated(std::string frame, std::mt19937_64& random, const std::string& other) {
  for (std::uint64_t n = 1 + random() % 4; n > 0; --n) {
    const std::size_t at = frame.empty() ? 0 : random() % frame.size();
    switch (random() % 6) {
      case 0:
        if (!frame.empty()) frame[at] = static_cast<char>(random());
        break;
      case 1:
        frame.resize(at);
        break;
      case 2:
        frame.insert(at, 1 + random() % 9, static_cast<char>(random()));
        break;
      case 3:
        if (!frame.empty()) frame[at] = static_cast<char>(frame[at] ^ (1 << random() % 8));
        break;
      case 4:
        frame += other.substr(other.empty() ? 0 : random() % other.size());
        break;
      case 5:
        frame.erase(at, 1 + random() % 5);
        break;
    }
  }
  return frame;
}

TEST(NodeFuzz, MutatedFramesNeverBreakTheMachine) {
  const std::vector<std::string> frames = recorded();
  ASSERT_GT(frames.size(), 50u);
  const std::uint64_t seed = 20'000;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  Sink sink;
  std::unique_ptr<NodeMachine> machine;
  Now now{.mono = Instant(5s), .wall = Timestamp(1'700'000'000s)};
  std::size_t cases = 0;
  std::size_t worlds = 0;
  const auto fresh = [&] {
    ++worlds;
    NodeOptions options{.name = name_of("z@127.0.0.1"),
                        .boot = {random() | 1},
                        .advertised = {.name = name_of("z@127.0.0.1")}};
    machine = std::make_unique<NodeMachine>(options, NodeState{}, 1, sink);
    machine->handle("table_info", [](Now, const Member&, std::string_view request) {
      return Result<std::string>(std::string(request));
    });
    machine->start(now);
  };
  while (cases < 20'000) {
    if (cases % 500 == 0) fresh();
    const LinkId link = machine->accepted(now, "127.0.0.1:9");
    machine->opened(now, link);
    // Half of the links get a proper beginning first.
    const int closed = sink.closed;
    for (std::size_t i = random() % frames.size(), n = random() % 12; n > 0; ++i, --n) {
      const std::string& frame = frames[i % frames.size()];
      const std::string& other = frames[random() % frames.size()];
      machine->received(now, link, random() % 2 == 0 ? frame : mutated(frame, random, other));
      machine->check_invariants();
      ++cases;
      now.mono += std::chrono::microseconds(random() % 50'000);
      if (machine->next_wake() <= now.mono) machine->wake(now);
      if (sink.closed != closed) break;
    }
    machine->check_invariants();
    ++cases;
    sink.sent.clear();
  }
  EXPECT_GT(machine->counters().frames_malformed, 0u);
  EXPECT_GE(worlds, 2u);
}

TEST(NodeFuzz, MutationsOfALivingLinkEndItAndItComesBack) {
  const std::vector<std::string> frames = recorded();
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    Net net(seed);
    for (const char* name : {"p", "q"}) {
      net.host(net.add(name)).recording = true;
    }
    net.boot(0);
    net.boot(1);
    net.connect(0, 1);
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
    for (int i = 0; i < 20; ++i) {
      const LinkId link = net.host(0).sent.back().first;
      const std::string& frame = frames[random() % frames.size()];
      net[0].received(net.now(0), link, mutated(frame, random, frames[random() % frames.size()]));
      net[0].check_invariants();
      net.rearm(0);
      net.run(20ms);
    }
    // Garbage may have said that the peer left; asked again, they are linked again.
    net.connect(0, 1);
    const bool linked = net.run_until([&] { return net[0].connected().size() == 1; }, 12s);
    if (!linked) {
      // ... or that a newer start of it is known: then it says so.
      EXPECT_EQ(net.host(1).count(NodeEvent::Kind::refused, "", "a newer start of") +
                        net.host(0).count(NodeEvent::Kind::refused, "", "a newer start of") >
                    0,
                true);
    }
  }
}

TEST(NodeFuzz, AnOversizedFrameEndsTheLink) {
  Net net(1);
  for (const char* name : {"p", "q"}) net.host(net.add(name)).recording = true;
  net.boot(0);
  net.boot(1);
  net.connect(0, 1);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  const LinkId link = net.host(0).sent.back().first;
  net[0].received(net.now(0), link, std::string(Fabric::max_payload + 2, 'x'));
  net.rearm(0);
  EXPECT_TRUE(net[0].connected().empty());
  EXPECT_EQ(net[0].counters().frames_malformed, 1u);
  EXPECT_TRUE(net.run_until([&] { return net.meshed(); }, 2s));
}

}  // namespace
}  // namespace muster::node::test
