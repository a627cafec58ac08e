// SPDX-License-Identifier: MIT
//
// Clients of the Redis port that stay on one node each, write without pause, and write down what
// they were told: every acknowledged key of their own, every delete, every key that will expire,
// every read that went back in time or saw what was gone, how long a write waited.
//
// Threads: one per client; what it knows is read while it rests, its tally at any time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client_thread.h"

namespace muster::testing {

/// Which generation of its counter each client writes now.  Threads: any.
class Generations {
 public:
  explicit Generations(std::size_t clients) : of_(clients) {}
  [[nodiscard]] std::size_t clients() const { return of_.size(); }
  [[nodiscard]] std::uint64_t of(std::size_t client) const { return of_[client]; }
  void next(std::size_t client) { ++of_[client]; }

 private:
  std::vector<std::atomic<std::uint64_t>> of_;
};

/// A key whose expiry lies `ttl` after a moment between `asked` and `answered`.
struct ExpiringKey {
  using Moment = std::chrono::steady_clock::time_point;
  std::string key;
  std::chrono::milliseconds ttl{};
  Moment asked;
  Moment answered;

  [[nodiscard]] Moment there_until() const { return asked + ttl; }
  [[nodiscard]] Moment gone_from() const { return answered + ttl; }
};

/// What a client was told; all of it acknowledged.
struct Told {
  std::vector<std::string> kept;  ///< Written once, with value_of(), and never touched again.
  std::vector<std::string> deleted;
  std::vector<ExpiringKey> fleeting;
  std::vector<ExpiringKey> lasting;
};

/// What every key of these clients holds, counters apart.
[[nodiscard]] std::string value_of(const std::string& key);

class PinnedClient {
 public:
  PinnedClient(const Namespace& host, std::uint16_t port, std::size_t number,
               Generations& generations);
  ~PinnedClient();
  PinnedClient(const PinnedClient&) = delete;
  PinnedClient& operator=(const PinnedClient&) = delete;

  /// Returns when its current round is over.
  void rest() { thread_->rest(); }
  void go_on() { thread_->go_on(); }

  /// Of a client that rests.
  [[nodiscard]] const Told& told() const { return told_; }
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }
  /// Its counter's name, and the least and the most that it may hold now.
  [[nodiscard]] std::string counter() const;
  [[nodiscard]] std::uint64_t counted() const { return written_; }
  [[nodiscard]] std::uint64_t tried() const { return tried_; }

  /// Since count_anew(), at any time.
  struct Tally {
    std::atomic<std::uint64_t> acknowledged{};  ///< Writes.
    std::atomic<std::uint64_t> refused{};
    std::atomic<std::uint64_t> lost{};          ///< No answer came, for 5 s or for ever.
    std::atomic<std::uint64_t> clean_rounds{};  ///< The last ones: nothing refused, nothing lost.
    std::atomic<std::chrono::milliseconds> longest_write{};
  };
  [[nodiscard]] const Tally& tally() const { return tally_; }
  void count_anew();
  void count_clean_rounds_anew() { tally_.clean_rounds = 0; }

 private:
  void one_round();
  void write_one_to_keep();
  void count_up();
  void delete_the_oldest_condemned();
  void write_expiring(const std::string& kind, std::chrono::milliseconds ttl,
                      std::vector<ExpiringKey>& list);
  void read_own();
  void read_others();
  void read_what_is_gone();
  void expect_gone(const std::string& key);
  void violation(const std::string& text);
  [[nodiscard]] std::string new_key(const std::string& kind) const;
  std::string write(const std::vector<std::string>& command);
  std::string ask(const std::vector<std::string>& command);

  const std::uint16_t port_;
  const std::size_t number_;
  Generations& generations_;

  struct Connection;
  std::unique_ptr<Connection> connection_;
  std::uint64_t count_ = 0;    ///< Rounds.
  std::uint64_t written_ = 0;  ///< The counter's last acknowledged value.
  std::uint64_t tried_ = 0;    ///< The largest that may have been written.
  std::map<std::string, std::uint64_t> seen_;
  std::deque<std::string> condemned_;
  Told told_;
  std::vector<std::string> violations_;
  bool all_answered_ = true;  ///< In this round, with no refusal.
  Tally tally_;
  std::unique_ptr<ClientThread> thread_;  // Last: it uses all of the above.
};

}  // namespace muster::testing
