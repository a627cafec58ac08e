// SPDX-License-Identifier: MIT
//
// Delta catch-up: who lacks operations asks one member that has them, by its vector, and gets the
// very bytes from that member's log; in answers of a few parts, each asked for after the one before
// is applied.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "planted.h"
#include "replicator.h"
#include "wire_codec.h"

namespace muster::cache {
namespace {

constexpr std::size_t delta_bytes = std::size_t{512} << 10;
constexpr std::size_t delta_bytes_max = std::size_t{960} << 10;
/// Of one answer: the next is read and sent while the asker applies the one before.
constexpr int delta_parts = 4;
constexpr Duration patience = std::chrono::milliseconds(300);
constexpr Duration gap_patience = std::chrono::milliseconds(50);
constexpr Duration answer_within = std::chrono::seconds(2);

}  // namespace

/// From here, or from what others told.
const Origin* Replicator::origin_of(const OriginId& id) const {
  if (const Origin* origin = replica_.origin(id)) return origin;
  const auto heard = heard_origins_.find(id);
  return heard == heard_origins_.end() ? nullptr : &heard->second;
}

/// It has operations that count here and that we have not applied, or has forgotten origins of
/// which we cannot tell that we had them.
bool Replicator::lacks(const RemoteCopy& copy) const {
  if (planted::has(planted::Bug::no_delta_on_reconnect)) return false;
  for (const auto& [root, upto] : copy.pruned) {
    const auto ours = replica_.pruned().find(root);
    if (!copy.apart && (ours == replica_.pruned().end() || ours->second < upto)) return true;
  }
  return std::any_of(copy.seen.begin(), copy.seen.end(), [&](const Vector::Entry& entry) {
    const OriginId& id = entry.first;
    if (replica_.is_own(id) || replica_.seen().at(id) >= entry.second) return false;
    const Origin* origin = origin_of(id);
    if (origin == nullptr) return !copy.apart;
    if (replica_.has_pruned(*origin)) return false;
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
  to_wire(replica_.pruned(), *fetch.mutable_pruned());
}

/// Deletes right after puts of the same node may be of the same write, and go with them.
bool Replicator::continues(const Dot& puts, const Dot& deletes) const {
  if (puts.origin.boot != deletes.origin.boot) return false;
  const Origin* const first = replica_.origin(puts.origin);
  const Origin* const second = replica_.origin(deletes.origin);
  return first != nullptr && second != nullptr && first->line != 0 && second->line == 0;
}

void Replicator::serve_fetch(Now, RemoteCopy& copy, const wire::Fetch& fetch) {
  wire::Message message;
  message.set_table(definition_.name);
  wire::Delta& delta = *message.mutable_delta();
  const auto send = [&] { post(copy.member.boot, node::Lane::bulk, message); };
  if (!takes_part() || replica_.copying()) return send();
  Vector have = from_wire(fetch.have());
  const Pruned pruned = from_wire(fetch.pruned());
  Vector wanted;
  for (const auto& [id, sequence] : replica_.seen()) {
    const Origin& origin = replica_.origins().at(id);
    if (!have.contains(id) && begun_by(pruned, origin)) continue;
    if (!fetch.lineless() || origin.line == 0) wanted.set(id, sequence);
  }
  if (!replica_.knows_what_was_pruned(have, pruned) || !replica_.log().reaches(have, wanted)) {
    delta.set_below_floor(true);
    return send();
  }
  std::size_t bytes = 0;
  int parts = 1;
  std::optional<Dot> before;
  std::string_view before_encoded;
  const auto add = [&](std::string_view encoded) {
    bytes += encoded.size() + 8;
    message.add_operations(encoded.data(), encoded.size());
  };
  replica_.log().visit_missing(have, [&](const Dot& dot, std::string_view encoded) {
    if (wanted.at(dot.origin) < dot.sequence) return true;
    const bool one_write = before && continues(*before, dot);
    const bool full = bytes >= delta_bytes && !one_write;
    if (bytes != 0 && (full || bytes + encoded.size() > delta_bytes_max)) {
      if (one_write) message.mutable_operations()->RemoveLast();
      if (parts++ == delta_parts) {
        delta.set_more(true);
        return false;
      }
      delta.set_part(true);
      send();
      delta.set_part(false);
      message.clear_operations();
      bytes = 0;
      if (one_write) add(before_encoded);
    }
    add(encoded);
    before = dot;
    before_encoded = encoded;
    return true;
  });
  to_wire(wanted, *delta.mutable_upto());
  to_wire(replica_.pruned(), *delta.mutable_pruned());
  send();
}

/// Bucket by bucket batches come in parts: whoever is read meanwhile is another one.  Of two that
/// both need each other's content the older one goes second, so that somebody stays ready; but not
/// for long, for until then it misses what it should read.
void Replicator::copy_missing(Now now, RemoteCopy& copy) {
  if (readiness_ == Readiness::ready) {
    const bool elder = surroundings_.fabric.self().seniority() < copy.member.seniority();
    copy.no_fetch_before = now.mono + patience;
    if (copy.readiness != Readiness::ready) return;  // it copies from us first
    if (elder && !std::exchange(copy.went_first, true)) return;
    set_readiness(now, Readiness::catching_up,
                  fmt::format("copying what {} has", copy.member.name.text()));
    alone_deadline_ = after(now.mono, surroundings_.options.start_alone_after);
  }
  copy.went_first = false;
  start_copying(now, copy.member.boot);
}

void Replicator::receive_delta(Now now, RemoteCopy& copy, const wire::Message& message) {
  if (!fetching_ || fetching_->from != copy.member.boot) return;
  const wire::Delta& delta = message.delta();
  if (delta.part()) {
    fetching_->deadline = now.mono + answer_within;
    return;
  }
  const bool lineless = fetching_->lineless;
  fetching_.reset();
  if (delta.below_floor()) {
    copy.no_fetch_before = now.mono + answer_within;
    if (!lineless && !copying_) copy_missing(now, copy);
    return;
  }
  if (delta.more()) return fetch_from(now, copy);
  copy.lacking_since.reset();
  // Where everything is pruned nothing is left to name in `upto`.
  const bool answered = delta.upto_size() != 0 || delta.pruned_size() != 0;
  if (!lineless && answered) replica_.adopt_pruned(from_wire(delta.pruned()));
  const Vector upto = from_wire(delta.upto());
  if (!answered || !replica_.seen().covers(upto)) {  // it could not, or something was refused
    copy.no_fetch_before = now.mono + patience;
    if (lacks(copy)) copy.lacking_since = now.mono;
  }
}

void Replicator::paused(Now now) {
  if (readiness_ != Readiness::ready || !hosted_ || definition_.local_content) return;
  const bool peers = std::any_of(copies_.begin(), copies_.end(),
                                 [](const auto& each) { return each.second.linked; });
  if (!peers) return;
  for (auto& [boot, copy] : copies_) copy.met = false;  // until it has spoken again
  alone_deadline_ = after(now.mono, surroundings_.options.start_alone_after);
  set_readiness(now, Readiness::catching_up, "this process stood still");
}

}  // namespace muster::cache
