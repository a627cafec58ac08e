// SPDX-License-Identifier: MIT
//
// Delta catch-up: who lacks operations asks one member that has them, by its vector, and gets the
// very bytes from that member's log; in pieces, each asked for after the one before is applied.
#include <algorithm>

#include "replicator.h"
#include "wire_codec.h"

namespace muster::cache {
namespace {

constexpr std::size_t delta_bytes = std::size_t{512} << 10;
constexpr std::size_t delta_bytes_max = std::size_t{960} << 10;
constexpr Duration patience = std::chrono::milliseconds(300);
constexpr Duration gap_patience = std::chrono::milliseconds(50);
constexpr Duration answer_within = std::chrono::seconds(2);

}  // namespace

/// It has operations that count here and that we have not applied.
bool Replicator::lacks(const RemoteCopy& copy) const {
  return std::any_of(copy.seen.begin(), copy.seen.end(), [&](const Vector::Entry& entry) {
    const OriginId& id = entry.first;
    if (id.boot == self() || replica_.seen().at(id) >= entry.second) return false;
    const Origin* origin = replica_.origin(id);
    if (origin == nullptr) {
      const auto heard = heard_origins_.find(id);
      if (heard != heard_origins_.end()) origin = &heard->second;
    }
    if (origin == nullptr) return !copy.apart;
    return copy.apart ? origin->line == 0 : replica_.counts(*origin);
  });
}

void Replicator::consider_fetch(Now now) {
  if (fetching_ || (!takes_part() && !replica_.copying())) return;
  if (!replica_.gaps()) gap_since_.reset();
  if (gap_since_ && now.mono - *gap_since_ >= gap_patience) {
    gap_since_.reset();
    if (RemoteCopy* copy = copy_of(gap_from_); copy != nullptr && copy->linked) {
      return fetch_from(now, *copy);
    }
  }
  for (auto& [boot, copy] : copies_) {
    if (!copy.linked || !copy.met || !copy.takes_part() || !copy.lacking_since) continue;
    if (now.mono < copy.no_fetch_before) continue;
    const bool hurry = readiness_ != Readiness::ready;
    if (!hurry && now.mono - *copy.lacking_since < patience) continue;
    if (!lacks(copy)) {
      copy.lacking_since.reset();
      continue;
    }
    return fetch_from(now, copy);
  }
}

void Replicator::fetch_from(Now now, RemoteCopy& copy) {
  if (fetching_ || !copy.linked || now.mono < copy.no_fetch_before) return;
  if (copying_ && copying_->sponsor == copy.member.boot && !copying_->admitted) return;
  fetching_ = Fetching{copy.member.boot, now.mono + answer_within, copy.apart};
  wire::Fetch& fetch = *control(copy).mutable_fetch();
  to_wire(replica_.seen(), *fetch.mutable_have());
  fetch.set_lineless(copy.apart);
}

void Replicator::serve_fetch(Now, RemoteCopy& copy, const wire::Fetch& fetch) {
  wire::Message message;
  message.set_table(definition_.name);
  wire::Delta& delta = *message.mutable_delta();
  const auto send = [&] {
    surroundings_.fabric.send(copy.member.boot, cache_service, node::Lane::bulk,
                              std::make_shared<const std::string>(message.SerializeAsString()));
  };
  if (!takes_part() || replica_.copying()) return send();
  Vector have = from_wire(fetch.have());
  Vector wanted;
  for (const auto& [id, sequence] : replica_.seen()) {
    const Origin& origin = replica_.origins().at(id);
    if (id.boot == copy.member.boot) continue;
    if (!fetch.lineless() || origin.line == 0) wanted.set(id, sequence);
  }
  if (!replica_.log().reaches(have, wanted)) {
    delta.set_below_floor(true);
    return send();
  }
  std::size_t bytes = 0;
  replica_.log().visit_missing(have, [&](const Dot& dot, std::string_view encoded) {
    if (wanted.at(dot.origin) < dot.sequence) return true;
    if (bytes != 0 && (bytes >= delta_bytes || bytes + encoded.size() > delta_bytes_max)) {
      delta.set_more(true);
      return false;
    }
    bytes += encoded.size() + 8;
    message.add_operations(encoded.data(), encoded.size());
    return true;
  });
  to_wire(wanted, *delta.mutable_upto());
  send();
}

void Replicator::receive_delta(Now now, RemoteCopy& copy, const wire::Message& message) {
  if (!fetching_ || fetching_->from != copy.member.boot) return;
  const bool lineless = fetching_->lineless;
  fetching_.reset();
  const wire::Delta& delta = message.delta();
  if (delta.below_floor()) {
    copy.no_fetch_before = now.mono + answer_within;
    if (!lineless && !copying_) start_copying(now, copy.member.boot);
    return;
  }
  if (delta.more()) return fetch_from(now, copy);
  copy.lacking_since.reset();
  const Vector upto = from_wire(delta.upto());
  if (upto.empty() || !replica_.seen().covers(upto)) {  // it could not, or something was refused
    copy.no_fetch_before = now.mono + patience;
    if (lacks(copy)) copy.lacking_since = now.mono;
  }
}

}  // namespace muster::cache
