// SPDX-License-Identifier: MIT
#include "chaos_clients.h"

#include <algorithm>

#include "clients.h"

namespace muster::testing {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t rounds_between_deletes = 4;
constexpr std::size_t condemned_at_most = 8;
constexpr auto short_ttl = 1500ms;
constexpr auto long_ttl = 7'200'000ms;  // Longer than the longest run on a busy machine.
/// The clock of a node is not this one, and its millisecond may have begun.
constexpr auto slack = 50ms;

bool is_number(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

bool was_lost(const std::string& reply) { return reply.starts_with('!'); }
bool was_refused(const std::string& reply) { return reply.starts_with('-'); }
bool was_answered(const std::string& reply) { return !was_lost(reply) && !was_refused(reply); }

std::string counter_of(std::size_t client, std::uint64_t generation) {
  return "counter-" + std::to_string(client) + "-" + std::to_string(generation);
}

}  // namespace

std::string value_of(const std::string& key) { return "value of " + key; }

struct PinnedClient::Connection {
  explicit Connection(std::uint16_t port) : redis(port) {}
  RedisClient redis;
};

PinnedClient::PinnedClient(const Namespace& host, std::uint16_t port, std::size_t number,
                           Generations& generations)
    : port_(port),
      number_(number),
      generations_(generations),
      thread_(std::make_unique<ClientThread>(host, [this] { one_round(); })) {}

PinnedClient::~PinnedClient() = default;

void PinnedClient::count_anew() {
  tally_.acknowledged = tally_.refused = tally_.lost = tally_.clean_rounds = 0;
  tally_.longest_write = 0ms;
}

void PinnedClient::one_round() {
  all_answered_ = true;
  ++count_;
  write_one_to_keep();
  count_up();
  if (count_ % rounds_between_deletes == 0) {
    delete_the_oldest_condemned();
    write_expiring("short", short_ttl, told_.fleeting);
    write_expiring("long", long_ttl, told_.lasting);
  }
  read_own();
  read_others();
  read_what_is_gone();
  if (all_answered_)
    ++tally_.clean_rounds;
  else
    tally_.clean_rounds = 0;
}

void PinnedClient::write_one_to_keep() {
  const std::string key = new_key("only");
  if (write({"SET", key, value_of(key)}) == "+OK") told_.kept.push_back(key);
}

void PinnedClient::count_up() {
  tried_ = written_ + 1;
  const std::string reply = write({"SET", counter(), std::to_string(tried_)});
  if (reply == "+OK") written_ = tried_;
  if (!was_lost(reply)) return;
  // It may still be done, at any time: from now on under another name.
  generations_.next(number_);
  written_ = tried_ = 0;
}

void PinnedClient::delete_the_oldest_condemned() {
  const std::string key = new_key("condemned");
  if (write({"SET", key, value_of(key)}) == "+OK") condemned_.push_back(key);
  if (condemned_.size() < condemned_at_most) return;
  const std::string oldest = condemned_.front();
  condemned_.pop_front();
  const std::string reply = write({"DEL", oldest});
  if (!was_answered(reply)) return;
  if (reply != ":1") violation("deleted " + oldest + ", and there was none: " + reply);
  told_.deleted.push_back(oldest);
}

void PinnedClient::write_expiring(const std::string& kind, std::chrono::milliseconds ttl,
                                  std::vector<ExpiringKey>& list) {
  ExpiringKey expiring{.key = new_key(kind), .ttl = ttl, .asked = Clock::now(), .answered = {}};
  const std::string& key = expiring.key;
  if (write({"SET", key, value_of(key), "PX", std::to_string(ttl.count())}) != "+OK") return;
  expiring.answered = Clock::now();
  const std::string reply = ask({"GET", key});
  const bool in_time = Clock::now() + slack < expiring.there_until();
  if (in_time && was_answered(reply) && reply != value_of(key))
    violation("wrote " + key + ", reads " + reply + " before it expires");
  list.push_back(std::move(expiring));
}

void PinnedClient::read_own() {
  if (written_ == 0) return;
  const std::string reply = ask({"GET", counter()});
  if (!was_answered(reply)) return;
  if (!is_number(reply) || std::stoull(reply) < written_ || std::stoull(reply) > tried_)
    violation("wrote " + std::to_string(written_) + ", reads " + reply + " of " + counter());
}

void PinnedClient::read_others() {
  const std::size_t all = generations_.clients();
  const std::size_t other = (number_ + 1 + count_ % (all - 1)) % all;
  const std::string key = counter_of(other, generations_.of(other));
  const std::string reply = ask({"GET", key});
  if (!was_answered(reply)) return;
  const std::uint64_t value = is_number(reply) ? std::stoull(reply) : 0;
  std::uint64_t& before = seen_[key];
  if (value < before)
    violation("read " + std::to_string(before) + ", later " + reply + " of " + key);
  before = std::max(before, value);
}

void PinnedClient::read_what_is_gone() {
  if (!told_.deleted.empty()) expect_gone(told_.deleted[count_ % told_.deleted.size()]);
  if (told_.fleeting.empty()) return;
  const ExpiringKey& fleeting = told_.fleeting[count_ % told_.fleeting.size()];
  if (fleeting.gone_from() + slack < Clock::now()) expect_gone(fleeting.key);
}

void PinnedClient::expect_gone(const std::string& key) {
  const std::string reply = ask({"GET", key});
  if (was_answered(reply) && reply != "(nil)") violation("reads " + reply + ", which was gone");
}

void PinnedClient::violation(const std::string& text) {
  constexpr std::size_t kept = 5;
  if (violations_.size() < kept)
    violations_.push_back("client " + std::to_string(number_) + " " + text);
}

std::string PinnedClient::counter() const { return counter_of(number_, generations_.of(number_)); }

std::string PinnedClient::new_key(const std::string& kind) const {
  return kind + "-" + std::to_string(number_) + "-" + std::to_string(count_);
}

std::string PinnedClient::write(const std::vector<std::string>& command) {
  const auto from = Clock::now();
  std::string reply = ask(command);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - from);
  if (took > tally_.longest_write.load()) tally_.longest_write = took;
  if (was_answered(reply)) ++tally_.acknowledged;
  return reply;
}

std::string PinnedClient::ask(const std::vector<std::string>& command) {
  if (!connection_) connection_ = std::make_unique<Connection>(port_);
  std::string reply = connection_->redis.ask(command);
  if (was_lost(reply)) {
    connection_.reset();
    ++tally_.lost;
  }
  if (was_refused(reply)) ++tally_.refused;
  all_answered_ = all_answered_ && was_answered(reply);
  return reply;
}

}  // namespace muster::testing
