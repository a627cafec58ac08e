// SPDX-License-Identifier: MIT
// Untrusted: what an API server, or something that took its place, answers.  The first byte says
// what the rest is: a list (0-2: endpoints, pods, slices), a line of a watch (3-5), a status (6),
// or a whole conversation (7-9): a list, and the lines of the watch that follows it.
#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "kubernetes/kubernetes_machine.h"

using namespace muster;
using namespace muster::discovery;
using namespace muster::discovery::kubernetes;

namespace {

const Naming by_hostname{
    .mode = Naming::Mode::hostname, .base = "a", .service = "s", .domain = "cluster.local"};

bool is_one_line(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

void check(const Members& members) {
  for (const Member& member : members) {
    assert(canonical_address(member.ip) == member.ip && !member.ip.empty());
    assert(!member.pod.empty() && member.grace <= std::chrono::minutes(10));
    const auto peer = peer_of(by_hostname, member);
    assert(!peer || NodeName::parse(peer->name.text()));
    assert(!peer || peer->address == member.ip);
  }
}

void check_list(Resource resource, std::string_view body) {
  const auto page = parse_list(resource, "web", body);
  if (!page) return;
  std::size_t members = 0;
  for (const auto& [name, object] : page->objects) {
    check(object);
    members += object.size();
  }
  assert(members <= page->members && page->members <= most_members);
  assert(is_one_line(page->resource_version) && is_one_line(page->next));
}

void check_event(Resource resource, std::string_view line) {
  const auto event = parse_event(resource, "web", line);
  if (!event) return;
  check(event->members);
  assert(event->members.empty() || event->kind == Event::Kind::changed);
  assert(is_one_line(event->message) && event->message.size() <= 300);
}

/// Answers files at once; the last request is the one to answer.
class World : public StrategySink {
 public:
  void report(Pass pass) override {
    for (const Peer& peer : pass.peers) assert(!peer.name.empty() && !peer.address.empty());
  }
  void ask(QuestionId id, Question question) override {
    asked.emplace_back(id, std::move(question));
  }
  void withdraw(QuestionId id) override {
    if (id == request) request = 0;
  }
  void send(std::string) override {}
  void note(Level, std::string text) override { assert(is_one_line(text)); }

  std::deque<std::pair<QuestionId, Question>> asked;
  QuestionId request = 0;
};

void talk(Resource resource, std::string_view text) {
  World world;
  const KubernetesMachine::Options options{
      .naming = {.base = "a"},
      .reading = {.base = "http://127.0.0.1:1", .resource = resource, .selector = "x"},
      .spaces = {"web"}};
  KubernetesMachine machine(options, {.self = *NodeName::parse("a@10.48.33.136"), .seed = 1},
                            world);
  Now now{.mono = Instant(std::chrono::hours(1)), .wall = {}};
  machine.start(now);
  bool is_stream = false;
  while (!text.empty()) {
    for (; !world.asked.empty(); world.asked.pop_front()) {
      world.request = world.asked.front().first;
      is_stream = std::get<HttpRequest>(world.asked.front().second).stream;
      HttpAnswer opened;
      opened.reply = HttpReply{.status = 200};
      if (is_stream) machine.answer(now, world.request, opened);
    }
    const auto end = std::min(text.find('\n'), text.size());
    const std::string line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    HttpAnswer list;
    list.reply = HttpReply{.status = 200, .body = line};
    if (world.request != 0 && is_stream)
      machine.answer(now, world.request, HttpLine{line});
    else if (world.request != 0)
      machine.answer(now, std::exchange(world.request, 0), list);
    machine.check_invariants();
    now.mono =
        std::max(now.mono, std::min(machine.next_wake(), now.mono + std::chrono::minutes(1)));
    machine.wake(now);
    machine.check_invariants();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto resource = static_cast<Resource>(data[0] % 10 % 3);
  switch (data[0] % 10) {
    case 0:
    case 1:
    case 2:
      check_list(resource, text);
      break;
    case 3:
    case 4:
    case 5:
      check_event(resource, text);
      break;
    case 6:
      assert(is_one_line(status_message(text)) && status_message(text).size() <= 300);
      assert(is_one_line(service_account_in(text)));
      break;
    default:
      talk(static_cast<Resource>((data[0] % 10 - 7)), text);
  }
  return 0;
}
