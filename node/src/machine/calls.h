// SPDX-License-Identifier: MIT
//
// Named calls that wait for their answer.  Invariant: each reply is handed out exactly once: with
// the answer, at its deadline, or when the link goes.  Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "machine/agenda.h"
#include "muster/node/fabric.h"

namespace muster::node {

[[nodiscard]] Error call_error(boost::system::errc::errc_t code, std::string detail);

class Calls {
 public:
  static constexpr std::size_t max_per_peer = 1024;

  struct Pending {
    BootId to;
    Fabric::Reply reply;
    Error at_deadline;
  };

  [[nodiscard]] bool full(BootId to) const;
  std::uint64_t begin(Pending call, Instant deadline);
  /// The answer came from `from`; nothing where it is late, or not the one that was asked.
  [[nodiscard]] std::optional<Pending> answered(std::uint64_t id, BootId from);
  [[nodiscard]] std::optional<Pending> overdue(Instant now);
  [[nodiscard]] std::vector<Pending> abandon(BootId to);
  [[nodiscard]] Instant next() const { return deadlines_.next(); }
  [[nodiscard]] std::size_t size() const { return pending_.size(); }

 private:
  std::optional<Pending> take(std::uint64_t id);

  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Pending> pending_;
  std::map<BootId, std::size_t> per_peer_;
  Agenda<std::uint64_t> deadlines_;
};

}  // namespace muster::node
