// SPDX-License-Identifier: MIT
#include "dns/resolver.h"

#include <algorithm>
#include <map>

#include "dns/dns_channel.h"
#include "muster/discovery/clock.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using Exchanges = std::vector<DnsExchange>;

/// Where to ask, for how long.
struct Asking {
  std::vector<DnsServer> servers;
  Instant until;
  std::size_t first = 0;  // Servers before it were not heard, in this lookup.
};

/// Asks one server after the other until every question has an answer.
asio::awaitable<void> ask_all(Asking& asking, Exchanges& exchanges) {
  for (std::size_t i = asking.first; i < asking.servers.size(); ++i) {
    if (std::ranges::all_of(exchanges, &DnsExchange::answered)) break;
    const auto servers_left = static_cast<Duration::rep>(asking.servers.size() - i);
    const Duration share = (asking.until - read_clock().mono) / servers_left;
    const bool was_heard = co_await ask_server(asking.servers[i], exchanges, share);
    if (!was_heard && i == asking.first && servers_left > 1) ++asking.first;
  }
}

std::string what_is_asked(LookUp::Kind kind) {
  switch (kind) {
    case LookUp::Kind::ipv4:
      return "A records";
    case LookUp::Kind::addresses:
      return "A and AAAA records";
    case LookUp::Kind::services:
      return "SRV records";
  }
  return "";
}

/// The questions of one name, as one.
struct Outcome {
  LookedUp answer = {};
  bool says_no = false;  // Even where an earlier server's failure puts it in doubt.
};

void take_answer(LookedUp& whole, const DnsAnswer& part) {
  whole.skipped += part.skipped;
  whole.addresses.insert(whole.addresses.end(), part.addresses.begin(), part.addresses.end());
  for (const DnsService& service : part.services)
    whole.services.push_back({.target = service.target, .port = service.port});
  if (part.kind != DnsAnswer::Kind::found) return;
  whole.ttl = whole.kind == LookedUp::Kind::found ? std::min(whole.ttl, part.ttl) : part.ttl;
  whole.kind = LookedUp::Kind::found;
}

LookedUp failed(std::string reason, std::size_t skipped = 0) {
  return {.kind = LookedUp::Kind::failed, .reason = std::move(reason), .skipped = skipped};
}

/// A "no" after another server failed, by one that has no records of that name at all.
bool is_doubtful(const DnsExchange& exchange, const Exchanges& exchanges) {
  if (exchange.failures.empty()) return false;
  return std::ranges::none_of(exchanges, [&](const DnsExchange& other) {
    return other.answer.kind == DnsAnswer::Kind::found && other.server == exchange.server;
  });
}

Outcome combine(const LookUp& question, const Exchanges& exchanges) {
  Outcome outcome;
  std::string doubts;
  bool is_no_such_name = true;
  for (const DnsExchange& exchange : exchanges) {
    if (!exchange.answered()) return {.answer = failed(exchange.failures)};
    if (doubts.empty() && is_doubtful(exchange, exchanges)) doubts = exchange.failures;
    if (exchange.answer.kind != DnsAnswer::Kind::no_such_name) is_no_such_name = false;
    take_answer(outcome.answer, exchange.answer);
  }
  if (outcome.answer.kind == LookedUp::Kind::found && doubts.empty()) return outcome;
  if (outcome.answer.kind == LookedUp::Kind::found) return {.answer = failed(doubts)};
  outcome.says_no = true;
  const std::string no = "DNS server " + exchanges.front().server +
                         (is_no_such_name ? " says there is no such name: "
                                          : " has no " + what_is_asked(question.kind) + " of ") +
                         question.name;
  if (doubts.empty()) {
    outcome.answer.kind =
        is_no_such_name ? LookedUp::Kind::no_such_name : LookedUp::Kind::no_records;
    outcome.answer.reason = no;
  } else {
    outcome.answer = failed(doubts + "; " + no);
  }
  return outcome;
}

Exchanges questions_for(LookUp::Kind kind, const std::string& name) {
  Exchanges exchanges;
  const auto add = [&](DnsType type) { exchanges.push_back({.question = {name, type}}); };
  if (kind == LookUp::Kind::services) {
    add(DnsType::service);
    return exchanges;
  }
  add(DnsType::ipv4);
  if (kind == LookUp::Kind::addresses) add(DnsType::ipv6);
  return exchanges;
}

/// The first of the names that has records.  An earlier name's "no records" outlasts "no such
/// name".
asio::awaitable<LookedUp> search(const LookUp& question, const std::vector<std::string>& names,
                                 Asking& asking) {
  LookedUp no;
  for (const std::string& name : names) {
    Exchanges exchanges = questions_for(question.kind, name);
    co_await ask_all(asking, exchanges);
    Outcome outcome = combine(question, exchanges);
    if (!outcome.says_no) co_return std::move(outcome.answer);
    // A doubtful no (failed) weighs most, then "no records".
    if (&name == &names.front() || outcome.answer.kind > no.kind) no = std::move(outcome.answer);
  }
  if (names.size() > 1) no.reason += ", nor with the domains of the search list";
  co_return no;
}

/// The addresses of all targets; those that cannot be found stay without.
asio::awaitable<void> resolve_targets(LookedUp& found, Asking& asking) {
  std::map<std::string, LookedUp> targets;
  for (const auto& service : found.services) targets.try_emplace(service.target);
  Exchanges exchanges;
  for (const auto& [target, unused] : targets)
    for (DnsExchange& exchange : questions_for(LookUp::Kind::addresses, target))
      exchanges.push_back(std::move(exchange));
  co_await ask_all(asking, exchanges);
  for (const DnsExchange& exchange : exchanges)
    if (exchange.answered()) take_answer(targets.at(exchange.question.name), exchange.answer);
  for (auto& service : found.services) {
    const LookedUp& target = targets.at(service.target);
    service.addresses = target.addresses;
    if (target.kind == LookedUp::Kind::found) found.ttl = std::min(found.ttl, target.ttl);
  }
}

/// Servers shuffle their records; passes must not differ by that.
void sort_addresses(std::vector<std::string>& addresses) {
  const auto is_ipv6 = [](const std::string& address) {
    return address.find(':') != std::string::npos;
  };
  std::ranges::sort(addresses, [&](const std::string& a, const std::string& b) {
    return std::pair(is_ipv6(a), std::string_view(a)) < std::pair(is_ipv6(b), std::string_view(b));
  });
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
}

/// Where and under which names to ask.
Result<void> prepare(const LookUp& question, const std::string& resolv_conf, Asking& asking,
                     std::vector<std::string>& names) {
  names = {question.name};
  for (const std::string& text : question.servers) {
    const auto server = parse_dns_server(text);
    if (!server) return server.error();
    asking.servers.push_back(*server);
  }
  if (!asking.servers.empty() && !question.search) return {};
  auto system = read_system_dns(resolv_conf);
  if (!system) return system.error();
  if (asking.servers.empty()) asking.servers = std::move(system->servers);
  if (question.search) names = dns_search_names(question.name, system->domains, system->dots);
  return {};
}

}  // namespace

asio::awaitable<LookedUp> look_up(LookUp question, std::string resolv_conf) {
  Asking asking{.until = after(read_clock().mono, question.within)};
  std::vector<std::string> names;
  if (const auto prepared = prepare(question, resolv_conf, asking, names); !prepared)
    co_return failed(prepared.error().text());
  LookedUp found = co_await search(question, names, asking);
  if (question.kind == LookUp::Kind::services && question.target_addresses)
    co_await resolve_targets(found, asking);
  sort_addresses(found.addresses);
  for (auto& service : found.services) sort_addresses(service.addresses);
  co_return found;
}

}  // namespace muster::discovery
