// SPDX-License-Identifier: MIT
//
// The delete rule on the real Replica class, below all machines: two to four copies of one table on
// one line, random operations, packets that come late, twice and in any order across origins, logs
// that hold next to nothing, deltas, copies bucket by bucket from senders that go away, disks that
// lose their tail or all, forgetting up to the settled stamp.  A schedule is short and there are
// many: rules that only ever meet in rare orders meet here.
//
// It plays the part of the replicator (whom to ask, when to copy, what is settled) in the plainest
// way that the rules allow; what the replicator itself does is checked in whole worlds.
//
// Two phases: steps, then everybody is up and exchanges until nothing moves.  Then: all copies are
// equal; of what is on any of them nothing that was deleted is live, and nothing that counts is
// missing; and when time has passed, nothing is kept for those who might have needed it.  In
// orderly schedules no disk loses anything: there every copy covers every operation, and origins
// that are over are pruned.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "muster/lab/random.h"
#include "muster/lab/sim_disk.h"
#include "replica.h"

namespace muster::lab {

/// Tables are large to make and cheap to empty.  One that was used knows how late it was, so later
/// users must live later: seeds rise.
class TablePool {
 public:
  [[nodiscard]] std::shared_ptr<cache::Table> take();
  void give_back(std::shared_ptr<cache::Table> table);

 private:
  static constexpr std::size_t uses_most = 2000;  // contexts of entries are never freed
  std::vector<std::pair<std::shared_ptr<cache::Table>, std::size_t>> free_;
  std::map<const cache::Table*, std::size_t> uses_;
};

class Schedule {
 public:
  struct Counts {
    std::uint64_t operations = 0, packets = 0, deltas = 0, copies = 0, joins = 0, crashes = 0,
                  losses = 0, forgotten = 0, pruned = 0, repairs = 0;
  };

  Schedule(std::uint64_t seed, TablePool& pool, bool tells);
  ~Schedule();
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;

  /// What does not hold at its end; empty when all is well.
  std::vector<std::string> run();
  [[nodiscard]] const Counts& counts() const { return counts_; }
  [[nodiscard]] const std::string& trace() const { return trace_; }

 private:
  struct Made {  ///< An operation, as its origin made it.
    cache::Dot dot;
    cache::Stamp stamp;
    std::string encoded;
    char kind = 'P';  ///< Put, touch, delete.
    std::string key;
    std::string value;
    cache::Dot created;
    cache::Expiry expiry = cache::never_expires;
    std::vector<cache::Dot> kills;
  };
  struct Report {
    std::uint64_t version = 0;
    cache::Vector seen, durable;
    cache::Pruned pruned;
    std::uint64_t clock_us = 0;
    bool ready = false;
    bool compares = false;  ///< And is no twin: it is not counted where origins are pruned.
    std::vector<cache::BootId> boots;
  };
  struct Copying {
    std::size_t sponsor = 0;
    cache::BootId sponsor_boot;
    bool twins = false;
    std::size_t next_bucket = 0;
    cache::Vector end;
    cache::Pruned pruned;  ///< By the sponsor when it began.
  };
  struct Copy final : cache::ReplicaListener {
    void applied(const cache::Operation& operation, std::string_view encoded) override;
    void outdone(const cache::SetAside& /*aside*/) override {}
    void brought_delete(std::string_view /*key*/, const cache::Dot& /*created*/,
                        const cache::Stamp& /*stamp*/) override {}

    std::unique_ptr<cache::Replica> replica;
    cache::BootId boot;
    SimDisk disk;
    std::uint64_t batch = 0, stored = 0;
    bool up = true, ready = true;
    std::int64_t skew_us = 0;
    std::optional<Copying> copying;
    std::vector<cache::BootId> boots;  ///< The newest of each that it knows.
    std::vector<Report> heard;
    std::string last_issued;
  };
  struct Packet {
    cache::Dot dot;
    std::size_t from = 0, to = 0;
    cache::BootId from_boot, to_boot;
  };

  // Steps.
  void step();
  void write(std::size_t index);
  void put(std::size_t index, const std::string& key);
  void touch(std::size_t index, const std::string& key);
  void remove(std::size_t index, const std::string& key);
  void issued(std::size_t index, cache::Operation& operation, Made& made);
  void deliver();
  void crash(std::size_t index);
  void restart(std::size_t index);
  void store(Copy& copy, bool all);
  void expire(Copy& copy);
  void cut();

  // Between two copies; `a` is the one that asks.
  void contact(std::size_t a, std::size_t b);
  void pull(std::size_t a, std::size_t b, std::size_t most);
  void start_copying(std::size_t a, std::size_t b);
  void copy_bucket(std::size_t a);
  void end_copying(std::size_t a);
  void stop_copying(std::size_t a);
  [[nodiscard]] cache::Vector owed(const Copy& mine, const Copy& theirs) const;

  // What is settled (schedule_settle.cc).
  void forget(std::size_t a);
  void prune(std::size_t a, const cache::Stamp& bound);
  [[nodiscard]] std::vector<Report> reports(std::size_t a) const;
  [[nodiscard]] std::optional<cache::Stamp> settled(std::size_t a) const;
  [[nodiscard]] bool over(const cache::Dot& last, const std::vector<Report>& all) const;
  [[nodiscard]] cache::Origin origin_of(const cache::OriginId& id) const;
  /// All of an origin that is absent, where that says that it was pruned.
  [[nodiscard]] std::uint64_t covered_of(const cache::OriginId& id, const cache::Vector& vector,
                                         const cache::Pruned& pruned) const;
  [[nodiscard]] bool covers(const Copy& copy, const cache::Vector& vector) const;
  [[nodiscard]] bool covers(const Copy& copy, const cache::Dot& dot) const;
  [[nodiscard]] Report report(const Copy& copy, std::uint64_t version) const;

  // The end.
  void quiet();
  void exchange();
  [[nodiscard]] bool equal() const;
  [[nodiscard]] bool same_vectors(const Copy& a, const Copy& b) const;
  void repair();
  void check_all_covered();
  void check_contents();
  void check_memory();
  [[nodiscard]] std::string visible(const Copy& copy, cache::Expiry at) const;

  [[nodiscard]] bool linked(std::size_t a, std::size_t b) const;
  [[nodiscard]] Timestamp clock(const Copy& copy) const;
  [[nodiscard]] const Made& made(const cache::Dot& dot) const;
  [[nodiscard]] static std::string name(const cache::Dot& dot);
  [[nodiscard]] std::string random_key();
  std::unique_ptr<cache::Replica> make_replica(Copy& copy);
  void say(const std::string& line);
  void problem(std::string text);

  TablePool& pool_;
  Random random_;
  const bool tells_;
  std::size_t log_bytes_ = 0;
  bool lossy_ = false;
  cache::Path path_;
  cache::TableDefinition definition_;
  std::int64_t now_us_ = 0;
  std::int64_t pace_ = 1;  ///< Of time; in slow ones husks go while operations still come.
  std::uint64_t next_boot_ = 1, next_report_ = 1, next_value_ = 1;
  std::vector<std::string> keys_;
  std::vector<std::uint32_t> buckets_;
  std::vector<std::unique_ptr<Copy>> copies_;
  std::vector<int> island_;
  std::map<cache::OriginId, std::vector<Made>> history_;
  std::vector<Packet> air_;
  std::vector<std::string> problems_;
  Counts counts_;
  std::string trace_;
};

}  // namespace muster::lab
