// SPDX-License-Identifier: MIT
#include "muster/discovery/test_kit.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>

#include "muster/discovery/poller.h"

namespace muster::discovery::test {
namespace {

namespace asio = boost::asio;

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

Error unheard_of(const std::string& what) {
  return bad_input("the test says nothing about " + what);
}

/// A user's coroutine is run to its end: what it waits for is its own business.
Discovered discovered(const Discover& question) {
  asio::io_context loop(1);
  Discovered answer;
  asio::co_spawn(loop, (*question.call)(),
                 [&](const std::exception_ptr& thrown, Result<PeerSet> peers) {
                   if (thrown)
                     answer.peers = bad_input("discover() threw");
                   else
                     answer.peers = std::move(peers);
                 });
  loop.run();
  return answer;
}

std::string text_of(const Question& question) {
  return std::visit(
      Overloaded{[](const OpenGroup& asked) { return "GROUP " + asked.address; },
                 [](const AskNames& asked) { return "NAMES " + asked.host; },
                 [](const ReadFile& asked) { return "FILE " + asked.path.string(); },
                 [](const Discover&) { return std::string("DISCOVER"); },
                 [](const LookUp& asked) { return "DNS " + asked.name; },
                 [](const HttpRequest& asked) { return asked.method + " " + asked.url; },
                 [](const RunProgram& asked) { return "PROGRAM " + asked.command.front(); }},
      question);
}

}  // namespace

std::vector<std::string> names_of(const Pass& pass) {
  std::vector<std::string> names;
  for (const Peer& peer : pass.peers) names.push_back(peer.name.text());
  return names;
}

StrategyContext context_of(const std::string& name, std::uint64_t seed) {
  return {.topology = "t",
          .self = NodeName::parse(name).value(),
          .cookie = "a cookie of more than thirty-two bytes",
          .boot_id = seed * 1000,
          .link_port = static_cast<std::uint16_t>(7000 + seed),
          .seed = seed};
}

StrategyWorld::StrategyWorld(const std::string& strategy, Settings options,
                             const StrategyRegistry& registry, StrategyContext context) {
  const auto plan = plan_topology(context.topology, strategy, std::move(options), registry);
  machine_ = plan.value().make(sink_, context);  // Throws with the problem as its text.
}

StrategyWorld::~StrategyWorld() = default;

void StrategyWorld::run(Duration by) {
  if (!std::exchange(started_, true)) {
    machine_->start(clock_.now());
    answer_all();
  }
  clock_.run(*machine_, by, [&] { answer_all(); });
}

void StrategyWorld::answer_all() {
  while (!sink_.asked.empty()) {
    const RecordingSink::Asked asked = std::move(sink_.asked.front());
    sink_.asked.pop_front();
    questions_.push_back(text_of(asked.question));
    const Answer answer = answer_to(asked.question);
    machine_->answer(clock_.now(), asked.id, answer);
    machine_->check_invariants();
  }
}

Answer StrategyWorld::answer_to(const Question& question) {
  const std::string what = text_of(question);
  return std::visit(Overloaded{[&](const OpenGroup&) -> Answer { return GroupOpened{}; },
                               [&](const AskNames& asked) -> Answer {
                                 const auto found = mappers_.find(asked.host);
                                 if (found == mappers_.end()) return NamesFound{unheard_of(what)};
                                 return NamesFound{found->second};
                               },
                               [&](const ReadFile& asked) -> Answer {
                                 const auto found = files_.find(asked.path);
                                 if (found == files_.end()) return FileRead{unheard_of(what)};
                                 return FileRead{found->second};
                               },
                               [&](const Discover& asked) -> Answer { return discovered(asked); },
                               [&](const LookUp& asked) -> Answer {
                                 const auto found = dns_.find(asked.name);
                                 if (found != dns_.end()) return found->second;
                                 LookedUp failed;
                                 failed.reason = unheard_of(what).text();
                                 return failed;
                               },
                               [&](const HttpRequest&) -> Answer {
                                 const auto found = http_.find(what);
                                 if (found == http_.end()) return HttpAnswer{unheard_of(what)};
                                 return HttpAnswer{found->second};
                               },
                               [&](const RunProgram& asked) -> Answer {
                                 const auto found = programs_.find(asked.command.front());
                                 if (found == programs_.end()) return ProgramRan{unheard_of(what)};
                                 return ProgramRan{found->second};
                               }},
                    question);
}

}  // namespace muster::discovery::test
