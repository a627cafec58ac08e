// SPDX-License-Identifier: MIT
//
// What a node knows of another node's copy of a table: its last report (from itself or passed on by
// a neighbour), and the state of the link to it, if there is one.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>

#include "muster/cache/cache_machine.h"
#include "replication.pb.h"
#include "vector.h"

namespace muster::cache {

/// How a copy's disk stands, as its reports say.
enum class DiskPace : std::uint8_t { keeps_up, late, stuck };
/// A fork that was judged, until both sides have what the other had.
struct Healing {
  Fork fork = {};
  Instant since = {};
  std::uint64_t set_aside = 0;
  std::set<BootId> losers = {};  ///< Of the lost line: who of them went over first knows no more.
  bool met = false;              ///< One of each side stand on the winner's line; from then on:
  Vector ours = {}, theirs = {};
};

/// What a peer asked for and gets when its queue has room.
struct Wanted {
  struct Question {
    wire::Ask ask = {};
    Instant until = {};
  };
  struct Range {
    wire::CopyRequest request = {};
    std::uint32_t served = 0;  ///< Buckets.
  };
  std::deque<Question> questions = {};
  std::size_t question_bytes = 0;
  std::optional<wire::Fetch> fetch = {};
  std::deque<Range> ranges = {};

  [[nodiscard]] bool nothing() const { return questions.empty() && !fetch && ranges.empty(); }
};

struct RemoteCopy {
  node::Member member = {};

  // From its reports and acknowledgements.
  std::uint64_t version = 0;  ///< 0: none came.
  Readiness readiness = Readiness::starting;
  bool almost = false;  ///< Done, and waiting to be waited for.
  Path path = {};
  std::set<BootId> members = {};
  Vector seen = {};
  Vector durable = {};
  Vector reported_seen = {};      ///< As its last report said; the digest belongs to it.
  std::uint64_t waits_since = 0;  ///< Its writes wait for us by this report of ours; 0: do not.
  Table::Digest digest = {};
  Timestamp digest_as_of = Timestamp::min();
  std::uint64_t clock_us = 0;
  std::uint64_t membership = 0;
  std::uint64_t entries = 0;
  bool stores = false;
  DiskPace pace = DiskPace::keeps_up;
  Pruned pruned = {};
  LineId durable_line = 0;
  bool comparable = true;         ///< Its digest says what its vector covers.
  bool journal = false;           ///< It has records of values that were set aside.
  wire::Report last_report = {};  ///< To be passed on.

  // The link.
  bool linked = false;
  bool met = false;         ///< Its report came over this connection.
  bool streaming = true;    ///< False: its queue is too long; it will catch up.
  bool subscribed = false;  ///< It joins, and follows the live stream.
  bool apart = false;
  std::uint64_t judged_ours = 0, judged_theirs = 0;  ///< Lines of the fork that was judged last.
  std::optional<Healing> healing = {};               ///< We won; it has not come over yet.
  std::optional<TableDefinition> definition = {};    ///< As it last told.
  bool told_difference = false;                      ///< Between that one and ours.
  std::map<BootId, std::uint64_t> passed_on = {};    ///< Report versions of others it was sent.

  // Lag and lack.
  bool lagging = false;
  Vector lag_target = {};
  Vector asks_us_for = {};   ///< It does not wait for us until we have come so far.
  bool disk_behind = false;  ///< It applies in time, its disk does not: not waited for.
  Vector disk_target = {};
  std::optional<Instant> lacking_since = {};  ///< It has what we have not.
  Instant no_fetch_before = Instant::min();
  bool went_first = false;  ///< Had its chance to copy from us before we copy from it.
  int digest_mismatches = 0;
  Instant differs_since = {};

  Wanted wanted = {};
  std::size_t taken_bytes = 0;             ///< Of takes of its that are not answered yet.
  std::array<std::string, 2> pieces = {};  ///< Of messages that have not come whole, per lane.

  wire::Message control = {};
  std::size_t control_bytes = 0;
  bool has_control = false;

  bool outdated = false;  ///< It goes on from before its node was forgotten: it must join anew.

  [[nodiscard]] bool takes_part() const {
    return !outdated && version != 0 &&
           (readiness == Readiness::ready || readiness == Readiness::catching_up);
  }
  [[nodiscard]] bool counted() const {
    return !outdated && (readiness == Readiness::ready || almost);
  }
};

}  // namespace muster::cache
