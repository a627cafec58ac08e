// SPDX-License-Identifier: MIT
//
// Reports: what each copy says of itself, at contact, when its line, members or readiness change,
// and twice a second while its vector moves.  From them come the sync set, lag, relays of what
// somebody misses, and the digest check.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "planted.h"
#include "replicator.h"
#include "wire_codec.h"

namespace muster::cache {
namespace {

constexpr std::uint32_t almost_ready = 4;  // on the wire, beside the values of Readiness
constexpr int mismatches_max = 3;
constexpr Duration differs_for = std::chrono::seconds(2);
constexpr Duration answers_apart = std::chrono::milliseconds(100);
constexpr Duration told_within = std::chrono::milliseconds(100);
/// Where more waits, others' reports can wait as well.
constexpr std::size_t relays_queue_max = std::size_t{32} << 20;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash ^= value + 0x9E3779B97F4A7C15ULL + (hash << 6) + (hash >> 2);
  return hash * 0xFF51AFD7ED558CCDULL;
}

}  // namespace

void Replicator::fill_report(Now now, wire::Report& report) const {
  report.set_boot(self().value);
  report.set_name(surroundings_.fabric.self().name.text());
  report.set_ordinal(surroundings_.fabric.self().ordinal);
  report.set_version(report_version_ + 1);
  report.set_readiness(almost_ ? almost_ready : static_cast<std::uint32_t>(readiness_));
  to_wire(replica_.path(), *report.mutable_path());
  to_wire(replica_.members(), *report.mutable_members());
  to_wire(replica_.covered(), replica_.origins(), *report.mutable_seen());
  report.set_has_durable(replica_.stores());
  if (replica_.stores()) to_wire(replica_.durable(), *report.mutable_durable());
  for (const BootId boot : sync_set()) {
    report.add_waits_for(boot.value);
    report.add_waits_since(copies_.at(boot).version);
  }
  const Table::Digest digest = replica_.table().digest();
  report.set_digest_low(digest.low);
  report.set_digest_high(digest.high);
  report.set_expired_until_us(replica_.digest_as_of().time_since_epoch().count());
  report.set_clock_us(cluster(now).time_since_epoch().count());
  report.set_membership(membership_hash());
  report.set_entries(replica_.table().count());
  report.set_disk(static_cast<std::uint32_t>(pace(now)));
  to_wire(replica_.pruned(), *report.mutable_pruned());
  report.set_durable_line(replica_.durable_line());
  report.set_admission(replica_.admission());
  fill_returning(report);
  for (const auto& [boot, copy] : copies_) {
    if (!copy.lagging || copy.apart || !in_view(boot)) continue;
    wire::Lagging& lagging = *report.add_lagging();
    lagging.set_boot(boot.value);
    to_wire(copy.lag_target, *lagging.mutable_upto());
  }
  report.set_incomparable(replica_.content_ahead());
  report.set_journal(!replica_.journal().empty());
}

void Replicator::send_reports(Now now) {
  const bool own = std::exchange(report_due_, false) && hosted_;
  const bool relay = std::exchange(relay_due_, false);
  if (!own && !relay) return;
  wire::Report report;
  if (own) {
    fill_report(now, report);
    ++report_version_;
    last_report_ = now.mono;
    report_stale_ = false;
  }
  for (auto& [to, copy] : copies_) {
    if (!copy.linked) continue;
    if (own) {
      *control(copy).mutable_report() = report;
      control(copy).mutable_report()->set_dropped_you(copy.outdated ? dropped(copy.member.name)
                                                                    : 0);
    }
    if (!relay) continue;
    if (surroundings_.fabric.queued(to) > relays_queue_max) {
      relays_withheld_ = true;
      continue;
    }
    for (const auto& [of, other] : copies_) {  // pass on what it cannot hear itself
      if (of == to || other.version == 0 || !in_view(of)) continue;
      if (surroundings_.fabric.linked(of, to) || copy.passed_on[of] >= other.version) continue;
      copy.passed_on[of] = other.version;
      *control(copy).add_relayed() = other.last_report;
    }
  }
}

std::uint64_t Replicator::waits_for_us_since(const wire::Report& report) const {
  for (int at = 0; at < std::min(report.waits_for_size(), report.waits_since_size()); ++at) {
    if (BootId{report.waits_for(at)} == self()) return report.waits_since(at);
  }
  return 0;
}

/// It may have joined anew since it had that.  What it has pruned it had in full.
void Replicator::forget_what_it_lost(RemoteCopy& copy) const {
  for (const auto& [id, sequence] : Vector(copy.seen)) {
    if (covered_of(id, copy.reported_seen, copy.pruned) < sequence) copy.seen.erase(id);
  }
}

void Replicator::receive_report(Now now, const node::Member& from, const wire::Report& report) {
  const BootId boot{report.boot()};
  if (!boot.valid() || boot == self()) return;
  const bool direct = boot == from.boot;
  const auto name = NodeName::parse(report.name());
  Path path;
  if (!name || !from_wire(report.path(), path)) {
    ++surroundings_.malformed;
    return;
  }
  if (!direct && !in_view(boot)) return;  // nobody we could reach
  RemoteCopy& copy = copies_[boot];
  if (!direct && report.version() <= copy.version) return;
  copy.member = node::Member{*name, boot, report.ordinal()};
  const bool contact = !copy.met || path != copy.path;
  copy.version = report.version();
  const bool was_almost = copy.almost;
  copy.almost = report.readiness() == almost_ready;
  copy.readiness = report.readiness() <= 3 ? static_cast<Readiness>(report.readiness())
                   : path.empty()          ? Readiness::joining
                                           : Readiness::catching_up;
  copy.path = std::move(path);
  copy.members = from_wire(report.members());
  copy.reported_seen = from_wire(report.seen(), &heard_origins_);
  copy.pruned = from_wire(report.pruned());
  if (direct) forget_what_it_lost(copy);
  copy.seen.raise(copy.reported_seen);
  // As it says now: an origin that it no longer names it has pruned, and had in full.
  copy.durable = report.has_durable() ? from_wire(report.durable()) : copy.reported_seen;
  copy.stores = report.has_durable();
  copy.pace = static_cast<DiskPace>(std::min(report.disk(), 2U));
  copy.waits_since = waits_for_us_since(report);
  copy.digest = {report.digest_low(), report.digest_high()};
  copy.digest_as_of = Timestamp(std::chrono::microseconds(report.expired_until_us()));
  copy.clock_us = static_cast<std::uint64_t>(std::max<std::int64_t>(report.clock_us(), 0));
  copy.membership = report.membership();
  copy.entries = report.entries();
  copy.durable_line = report.durable_line();
  copy.comparable = !report.incomparable();
  for (const Vector::Entry& entry : Vector(copy.seen)) {  // what it has pruned, and we too
    const bool known = copy.reported_seen.contains(entry.first);
    if (!known && !replica_.seen().contains(entry.first)) copy.seen.erase(entry.first);
  }
  copy.journal = report.journal();
  copy.last_report = report;
  compare_admissions(now, copy, report, direct);
  acks_moved_ = true;
  relay_due_ = relay_due_ || std::any_of(copies_.begin(), copies_.end(), [&](const auto& each) {
                 return each.second.linked && each.first != boot &&
                        !surroundings_.fabric.linked(each.first, boot);
               });
  for (const wire::Lagging& lagging : report.lagging()) {
    if (BootId{lagging.boot()} != self()) continue;
    // What its line has lost since nobody gets any more.
    const Vector upto = from_wire(lagging.upto());
    if (owes(replica_.seen(), replica_.pruned(), copy.reported_seen, upto))
      fell_behind(now, copy, upto);
  }
  if (!direct) return;
  copy.met = true;
  if (!hosted_) return;
  if (!in_view(boot)) view_.insert(boot);
  if (wants_sponsor()) look_for_sponsor(now);
  if (copy.takes_part() && (takes_part() || readiness_ == Readiness::joining))
    meet(now, copy, contact);
  if (!lacks(copy)) {
    copy.lacking_since.reset();
  } else if (!copy.lacking_since) {
    copy.lacking_since = now.mono;
  }
  check_digest(now, copy);
  if (!copy.told_difference) tell_differences(now);
  // Its write waits for us only once it knows that we are there to be waited for.
  // Two that are almost there must not answer each other's answers for ever.
  const bool rested = now.mono - last_report_ >= answers_apart;
  if (copy.counted() && copy.waits_since < almost_report_ && almost_ && rested) announce();
  if (copy.almost && (!was_almost || rested)) announce();
}

std::set<BootId> Replicator::sync_set() const {
  std::set<BootId> required;
  for (const auto& [boot, copy] : copies_) {
    if (must_have(boot, copy)) required.insert(boot);
  }
  return required;
}

/// Those in the sync set must all have it; where only laggards are left, one of them will do.
std::string Replicator::not_handed_off() const {
  if (!hosted_ || definition_.local_content) return {};
  if (!waiters_.empty() || !pending_.empty()) {
    return fmt::format("table {}: {} writes are not answered yet", definition_.name,
                       waiters_.size() + pending_.size());
  }
  bool taken = false, needed = false;
  std::vector<std::string> behind;
  for (const auto& [boot, copy] : copies_) {
    if (!copy.counted() || copy.apart || !in_view(boot) || !should_hold(copy.member.name)) continue;
    if (owes(copy.seen, copy.pruned, replica_.seen(), replica_.seen())) {
      behind.push_back(copy.member.name.text());
      needed = needed || !copy.lagging;
    } else {
      taken = true;
    }
  }
  if (behind.empty() || (taken && !needed)) return {};
  return fmt::format("table {}: not all that this node has is on {}", definition_.name,
                     fmt::join(behind, ", "));
}

bool Replicator::must_have(BootId boot, const RemoteCopy& copy) const {
  return copy.version != 0 && copy.counted() && !copy.lagging && !copy.apart && in_view(boot) &&
         should_hold(copy.member.name);
}

/// It lags, and is read as if it did not: a moment is left to it to say that it has heard.
bool Replicator::is_being_told(BootId boot, const RemoteCopy& copy) const {
  return copy.lagging && telling_until_ != never && copy.counted() && !copy.apart &&
         in_view(boot) && should_hold(copy.member.name);
}

/// At equal line and vector content must be equal, but for what has expired on one of the two
/// alone: they are compared when nothing has.  A difference that is seen again and again is
/// repaired, and an alarm.
void Replicator::check_digest(Now now, RemoteCopy& copy) {
  const bool comparable = replica_.same_digest_at(copy.digest_as_of) &&
                          readiness_ == Readiness::ready && !copying_ && copy.counted() &&
                          copy.comparable && !replica_.content_ahead() &&
                          relate(replica_.path(), copy.path) == Relation::equal &&
                          replica_.seen() == copy.reported_seen;
  if (!comparable) return;
  if (copy.digest == replica_.table().digest()) {
    copy.digest_mismatches = 0;
    return;
  }
  if (copy.digest_mismatches++ == 0) copy.differs_since = now.mono;
  if (copy.digest_mismatches < mismatches_max) return;
  if (now.mono - copy.differs_since < differs_for) return;
  copy.digest_mismatches = 0;
  report(now, CacheEvent::Kind::alarm, copy.member.name,
         "contents differ at equal vectors; repairing");
  start_copying(now, copy.member.boot, true);
}

bool Replicator::owes(const Vector& mine, const Pruned& pruned, const Vector& givers,
                      const Vector& asked) const {
  return std::any_of(asked.begin(), asked.end(), [&](const Vector::Entry& entry) {
    const std::uint64_t owed = std::min(entry.second, givers.at(entry.first));
    return covered_of(entry.first, mine, pruned) < owed;
  });
}

void Replicator::check_lag(Now now) {
  for (auto& [boot, copy] : copies_) {
    if (copy.disk_behind && !owes(copy.durable, copy.pruned, replica_.seen(), copy.disk_target)) {
      copy.disk_behind = false;
      copy.disk_target.clear();
    }
    if (!copy.lagging) continue;
    if (!owes(copy.seen, copy.pruned, replica_.seen(), copy.lag_target)) {
      copy.lagging = false;
      copy.lag_target.clear();
      announce();
    }
  }
  if (waiters_.empty()) return;
  const Waiter& first = waiters_.front();
  if (now.mono - first.since < surroundings_.options.lag_max) return;
  for (const BootId boot : sync_set()) {
    RemoteCopy& copy = copies_.at(boot);
    if (has(copy, first)) continue;
    Vector own;
    for (const auto& [origin, sequence] : replica_.seen()) {
      if (origin.boot == self()) own.set(origin, sequence);
    }
    own.raise(first.earlier);
    acks_moved_ = true;
    if (covers(copy.seen, copy.pruned, first)) {
      copy.disk_behind = true;
      copy.disk_target = std::move(own);
      continue;
    }
    copy.lagging = true;
    copy.lag_target = std::move(own);
    telling_until_ = now.mono + told_within;
    if (copy.linked) to_wire(copy.lag_target, *control(copy).mutable_lagging()->mutable_upto());
    announce();
  }
}

/// Said by a member that does not wait for us any more: what we lack we must not answer without.
void Replicator::fell_behind(Now now, RemoteCopy& copy, const Vector& upto) {
  if (!takes_part() || !owes(replica_.seen(), replica_.pruned(), upto, upto)) return;
  if (relate(replica_.path(), copy.path) != Relation::equal) return;
  copy.asks_us_for = upto;
  almost_ = false;
  set_readiness(now, Readiness::catching_up,
                fmt::format("{} says we are slow", copy.member.name.text()));
  alone_deadline_ = after(now.mono, surroundings_.options.start_alone_after);
}

bool Replicator::behind_what_was_asked() const {
  return std::any_of(copies_.begin(), copies_.end(), [this](const auto& each) {
    const RemoteCopy& copy = each.second;
    return in_view(each.first) && !copy.apart &&
           relate(replica_.path(), copy.path) == Relation::equal &&
           owes(replica_.seen(), replica_.pruned(), copy.reported_seen, copy.asks_us_for);
  });
}

std::uint64_t Replicator::membership_hash() const {
  std::uint64_t hash = 0;
  for (const auto& [name, status] : surroundings_.fabric.membership().nodes) {
    for (const char letter : name.text()) hash = mix(hash, static_cast<unsigned char>(letter));
    hash = mix(hash, status.admissions);
    if (status.admitted()) hash = mix(hash, status.newest.boot.value);
  }
  return hash;
}

}  // namespace muster::cache
