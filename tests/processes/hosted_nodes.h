// SPDX-License-Identifier: MIT
//
// Nodes of the real program, one on each host of a switch, all on the same ports.
//
// Threads: one.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "clients.h"
#include "namespaces.h"

namespace muster::testing {

class HostedNodes {
 public:
  static constexpr std::uint16_t http_port = 4000;
  static constexpr std::uint16_t redis_port = 4001;

  /// Starts them all; does not wait for anything.
  explicit HostedNodes(const Switch& hosts);

  [[nodiscard]] std::size_t size() const { return hosts_.size(); }
  [[nodiscard]] static std::string name(std::size_t node);
  [[nodiscard]] Process& process(std::size_t node) { return *processes_[node]; }
  /// Again, from its directory, where its process has ended.
  void start(std::size_t node);
  /// Returns when it is dead; it had no warning.
  void kill_hard(std::size_t node) { processes_[node]->kill_hard(); }

  [[nodiscard]] std::unique_ptr<RedisClient> redis(std::size_t node) const;
  /// All of them are linked, ready, have the same oldest and the same digests.
  [[nodiscard]] bool converged() const;
  /// What each says of that, a line each.
  [[nodiscard]] std::string states() const;
  /// What it has in memory; 0 where it does not run.
  [[nodiscard]] std::size_t resident_mebibytes(std::size_t node) const;
  /// The ends of their logs.
  [[nodiscard]] std::string logs() const;

 private:
  [[nodiscard]] std::string file(const std::string& base) const;
  [[nodiscard]] boost::json::value get(std::size_t node, const std::string& path) const;
  [[nodiscard]] std::string state(std::size_t node) const;

  const Switch& hosts_;
  TemporaryDirectory directory_;
  std::vector<std::unique_ptr<Process>> processes_;
};

/// Everything that a node answers for over its Redis port, by key.
using Contents = std::map<std::string, std::string>;
[[nodiscard]] Contents contents_of(RedisClient& redis);

/// Milliseconds, by key, as the node says: negative where it has none.
[[nodiscard]] std::map<std::string, std::int64_t> time_left(RedisClient& redis,
                                                            const std::vector<std::string>& keys);

}  // namespace muster::testing
