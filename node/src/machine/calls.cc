// SPDX-License-Identifier: MIT
#include "machine/calls.h"

#include <utility>

namespace muster::node {

Error call_error(boost::system::errc::errc_t code, std::string detail) {
  return {boost::system::errc::make_error_code(code), std::move(detail)};
}

bool Calls::full(BootId to) const {
  const auto found = per_peer_.find(to);
  return found != per_peer_.end() && found->second >= max_per_peer;
}

std::uint64_t Calls::begin(Pending call, Instant deadline) {
  const std::uint64_t id = ++last_id_;
  ++per_peer_[call.to];
  pending_.emplace(id, std::move(call));
  deadlines_.set(id, deadline);
  return id;
}

std::optional<Calls::Pending> Calls::answered(std::uint64_t id, BootId from) {
  const auto found = pending_.find(id);
  if (found == pending_.end() || found->second.to != from) return std::nullopt;
  return take(id);
}

std::optional<Calls::Pending> Calls::overdue(Instant now) {
  const auto id = deadlines_.take_due(now);
  return id ? take(*id) : std::nullopt;
}

std::vector<Calls::Pending> Calls::abandon(BootId to) {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, call] : pending_) {
    if (call.to == to) ids.push_back(id);
  }
  std::vector<Pending> taken;
  for (const std::uint64_t id : ids) taken.push_back(*take(id));
  return taken;
}

std::optional<Calls::Pending> Calls::take(std::uint64_t id) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return std::nullopt;
  std::optional<Pending> call(std::move(found->second));
  pending_.erase(found);
  deadlines_.erase(id);
  const auto count = per_peer_.find(call->to);
  if (--count->second == 0) per_peer_.erase(count);
  return call;
}

}  // namespace muster::node
