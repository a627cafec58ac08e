// SPDX-License-Identifier: MIT
//
// Getting a copy: from the first of extra_db_nodes that runs the table, bucket by bucket, while the
// live stream is applied on top.  A join and the repair of a copy whose gap is beyond everybody's
// log are one procedure; they differ in what is there at the start.
#include <fmt/format.h>

#include <algorithm>

#include "replicator.h"
#include "wire_codec.h"

namespace muster::cache {
namespace {

constexpr Duration retry = std::chrono::milliseconds(100);
constexpr Duration elders_within = std::chrono::seconds(2);
constexpr Duration info_within = std::chrono::seconds(1);
constexpr std::size_t ranges_in_flight = 4;
constexpr std::size_t message_bytes = std::size_t{256} << 10;
/// A bucket begins in a message that is no fuller than this: few come in two parts, which costs.
constexpr std::size_t begun_message_bytes = message_bytes / 2;
/// A request is for about so much, whichever comes first.
constexpr std::size_t entries_per_request = 4000;
constexpr std::size_t bytes_per_request = std::size_t{3} << 19;
constexpr std::size_t ranges_waiting_max = 64;

}  // namespace

void Replicator::look_for_sponsor(Now now) {
  if (info_asked_ || copying_ || !hosted_ || definition_.local_content) return;
  const auto connected = surroundings_.fabric.connected();
  std::vector<node::Member> candidates;
  if (surroundings_.options.extra_db_nodes) {
    for (const NodeName& name : surroundings_.options.extra_db_nodes()) {
      for (const node::Member& peer : connected) {
        if (peer.name == name) candidates.push_back(peer);
      }
    }
  } else {
    candidates = connected;
  }
  std::erase_if(candidates, [&](const node::Member& peer) {
    return tried_.contains(peer.boot) || !should_hold(peer.name);
  });
  if (candidates.empty()) {
    tried_.clear();
    if (!connected.empty()) join_retry_ = now.mono + retry;
    return;
  }
  info_asked_ = true;
  const BootId asked = candidates.front().boot;
  tried_.insert(asked);
  surroundings_.fabric.call(
      now, asked, "table_info", definition_.name, info_within,
      [this, asked, alive = std::weak_ptr(surroundings_.alive)](Now at, Result<std::string> reply) {
        if (alive.expired()) return;
        info_asked_ = false;
        table_info_came(at, asked, reply);
      });
}

void Replicator::table_info_came(Now now, BootId from, const Result<std::string>& reply) {
  if (readiness_ != Readiness::starting && readiness_ != Readiness::joining) return;
  if (copying_) return;
  wire::TableInfo info;
  const bool read_it = reply && info.ParseFromString(*reply);
  const bool runs_it =
      read_it && (info.readiness() == static_cast<std::uint32_t>(Readiness::ready) ||
                  (info.readiness() == static_cast<std::uint32_t>(Readiness::catching_up)));
  auto definition =
      read_it ? from_wire(info.definition()) : Result<TableDefinition>(bad_input("none"));
  if (!runs_it || !definition || definition->name != definition_.name) {
    return look_for_sponsor(now);  // the next
  }
  if (RemoteCopy* copy = copy_of(from)) tell_overruled(now, copy->member.name, *definition);
  adopt(*definition);
  if (!hosted_) return;
  start_copying(now, from);
  if (!copying_) join_retry_ = now.mono + retry;  // it went while it answered
}

void Replicator::start_alone(Now now) {
  if (readiness_ != Readiness::starting || copying_) return;
  const bool patient = now.mono < after(start_deadline_, elders_within);
  for (const auto& [boot, copy] : copies_) {
    if (!copy.linked) continue;
    if (copy.version == 0 && info_asked_ && patient) return;  // it is about to tell
    if (copy.takes_part()) return;
    if (!copy.path.empty() && (patient || may_be_held(copy))) return;
    // Of those that start together the oldest begins and the others join it; two beginnings would
    // be two roots.
    const bool elder = copy.readiness == Readiness::starting && should_hold(copy.member.name) &&
                       copy.member.seniority() < surroundings_.fabric.self().seniority();
    if (elder && patient) return;
  }
  detail_ = "initiated";
  report(now, CacheEvent::Kind::initiated, {}, "no member runs it: started alone, empty");
  readiness_ = Readiness::catching_up;
  begin_almost(now);
}

/// Somebody may come (back) with what this joiner has begun to copy: a member of its line, other
/// than joiners like it, whose start is not over.
bool Replicator::may_be_held(const RemoteCopy& joiner) const {
  const auto& nodes = surroundings_.fabric.membership().nodes;
  return std::any_of(nodes.begin(), nodes.end(), [&](const auto& each) {
    const BootId boot = each.second.newest.boot;
    if (!each.second.admitted() || !joiner.members.contains(boot) || boot == self()) return false;
    const auto copy = copies_.find(boot);
    return copy == copies_.end() || !copy->second.linked || copy->second.takes_part();
  });
}

void Replicator::start_copying(Now now, BootId sponsor, bool repair) {
  RemoteCopy* copy = copy_of(sponsor);
  if (copying_ || copy == nullptr || !copy->linked) return;
  if (readiness_ == Readiness::starting) {
    set_readiness(now, Readiness::joining,
                  fmt::format("copying from {}", copy->member.name.text()));
    report(now, CacheEvent::Kind::joining, copy->member.name, {});
  }
  almost_ = false;  // what was complete is not any more
  copying_ = Copying{};
  copying_->sponsor = sponsor;
  copying_->session = surroundings_.random();
  copying_->repair = repair;
  copying_->progress = now.mono;
  control(*copy).mutable_join()->set_session(copying_->session);
}

void Replicator::fill_join_answer(wire::JoinAnswer& answer) const {
  to_wire(replica_.path(), *answer.mutable_path());
  to_wire(replica_.members(), *answer.mutable_members());
  to_wire(replica_.covered(), replica_.origins(), *answer.mutable_vector());
  to_wire(replica_.pruned(), *answer.mutable_pruned());
  to_wire(replica_.dropped(), *answer.mutable_dropped());
  answer.set_entries(replica_.table().count());
  answer.set_bytes(replica_.table().bytes());
}

/// The joiner follows the live stream from here on, and is a member of the line before it copies.
void Replicator::answer_join(Now now, RemoteCopy& copy, const wire::Join& join) {
  if (!takes_part() || replica_.from_nothing()) {
    wire::JoinAnswer& answer = *control(copy).mutable_join_answer();
    answer.set_session(join.session());
    answer.set_refused(true);
    return;
  }
  copy.subscribed = true;
  copy.wanted.ranges.clear();  // of an earlier session
  if (!replica_.path().empty() && replica_.add_members({copy.member.boot})) announce();
  if (replica_.stores() && replica_.dirty() && disk_ == DiskState::good) {
    const bool in_flight = batch_number_ != stored_number_;
    const std::uint64_t number = batch_number_ + 1;
    admissions_.emplace(number, std::pair(copy.member.boot, join.session()));
    if (!in_flight) make_batch(now, true);
    return;
  }
  wire::JoinAnswer& answer = *control(copy).mutable_join_answer();
  answer.set_session(join.session());
  fill_join_answer(answer);
}

void Replicator::admitted(Now now, RemoteCopy& copy, const wire::JoinAnswer& answer) {
  if (!copying_ || copying_->session != answer.session() || copying_->admitted) return;
  Path path;
  if (answer.refused() || !from_wire(answer.path(), path)) return stop_copying(now);
  Origins origins;
  Vector vector = from_wire(answer.vector(), &origins);
  std::set<BootId> members = from_wire(answer.members());
  members.insert(self());
  const bool compare = takes_part() || replica_.from_nothing();
  if (compare && relate(replica_.path(), path) != Relation::equal) {
    if (takes_part()) return stop_copying(now);  // its report comes, then we meet
  }
  // Writes came between; the next difference that lasts is another occasion.
  if (copying_->repair && !replica_.is_twin(vector, from_wire(answer.pruned()))) {
    return stop_copying(now);
  }
  Path old_path = replica_.path();
  const bool anew = !compare || relate(old_path, path) != Relation::equal;
  // What does not count on that path is nothing that we may cover.
  for (const Vector::Entry& entry : Vector(vector)) {
    const auto origin = origins.find(entry.first);
    const bool counts =
        origin != origins.end() &&
        (anew ? replica_.merges() || on_path(path, origin->second.line)
              : replica_.counts(origin->second));  // a line that we have pruned is all here
    if (!counts || (!anew && replica_.is_own(entry.first))) vector.erase(entry.first);
  }
  if (anew) {
    if (rejoining_) keep_for_rejoin(now, copy, vector);
    replica_.start_copy(std::move(path), std::move(members), vector, from_wire(answer.pruned()),
                        from_wire(answer.dropped()));
    acknowledged_.clear();
    acknowledged_durable_.clear();
    moved_.clear();
  }
  if (!anew) {
    if (replica_.add_members(members)) announce();
    copying_->repair ? replica_.start_repair(vector, origins)
                     : replica_.start_compare(vector, origins);
  }
  for (const auto& [id, sequence] : vector) replica_.learn(origins.at(id));
  copying_->admitted = true;
  copying_->pruned = from_wire(answer.pruned());
  copying_->progress = now.mono;
  copying_->per_request = buckets_per_request(answer);
  if (replica_.path().empty()) {  // nothing was ever written
    copying_->next_bucket = copying_->done_buckets = Table::buckets;
  }
  ask_for_buckets(now, copy);
}

std::uint32_t Replicator::buckets_per_request(const wire::JoinAnswer& answer) {
  const std::size_t entries = answer.entries() / Table::buckets + 1;
  const std::size_t bytes = answer.bytes() / Table::buckets + 1;
  const std::size_t fitting = std::min(entries_per_request / entries, bytes_per_request / bytes);
  return static_cast<std::uint32_t>(std::clamp<std::size_t>(fitting, 1, 256));
}

void Replicator::ask_for_buckets(Now, RemoteCopy& copy) {
  while (copying_->outstanding.size() < ranges_in_flight &&
         copying_->next_bucket < Table::buckets) {
    const std::uint32_t first = copying_->next_bucket;
    const std::uint32_t last = std::min(first + copying_->per_request, Table::buckets);
    wire::Message message;
    message.set_table(definition_.name);
    wire::CopyRequest& request = *message.mutable_copy_request();
    request.set_session(copying_->session);
    request.set_first(first);
    for (std::uint32_t bucket = first; bucket < last; ++bucket) {
      const Table::Digest digest = replica_.table().bucket_digest(bucket);
      request.add_digests(digest.low);
      request.add_digests(digest.high);
    }
    post(copy.member.boot, node::Lane::bulk, message);
    copying_->outstanding.push_back(first);
    copying_->next_bucket = last;
  }
}

namespace {

/// Collects the answer to one request in messages of bounded size.
class CopySender {
 public:
  using Send = std::function<void(std::string message)>;
  CopySender(const Replica& replica, const std::string& table, std::uint64_t session, Send send)
      : replica_(replica), send_(std::move(send)) {
    head_.set_table(table);
    head_.mutable_copy_answer()->set_session(session);
  }

  void bucket(std::uint32_t number, bool same) {
    if (message_.size() > begun_message_bytes) finish();
    part_.begin(number, same);
    if (!same) {
      replica_.table().scan_rows(number, [&](std::string_view key, std::string_view row) {
        part_.add_entry(key, row);
        end_part_if_full(number, same);
      });
    }
    replica_.deletes().visit_bucket(number, [&](const Deletes::Id& id, const Stamp& stamp) {
      part_.add_delete(id.key, id.created, stamp);
      end_part_if_full(number, same);
    });
    part_.end(true, message_);
  }
  void finish() {
    auto& vector = *head_.mutable_copy_answer()->mutable_vector();
    vector.Clear();
    to_wire(replica_.covered(), vector);
    head_.AppendToString(&message_);
    send_(std::move(message_));
    message_.clear();
  }

 private:
  void end_part_if_full(std::uint32_t number, bool same) {
    if (message_.size() + part_.size() <= message_bytes) return;
    part_.end(false, message_);
    finish();
    part_.begin(number, same);
  }

  const Replica& replica_;
  Send send_;
  wire::Message head_;  // What every message says beside its buckets.
  BucketWriter part_;
  std::string message_;
};

}  // namespace

void Replicator::receive_copy_request(RemoteCopy& copy, const wire::CopyRequest& request) {
  if (copy.wanted.ranges.size() < ranges_waiting_max) {
    copy.wanted.ranges.push_back({request});
  } else {
    ++surroundings_.malformed;
  }
}

bool Replicator::can_serve(const wire::CopyRequest& request) const {
  const auto count = static_cast<std::uint32_t>(request.digests_size() / 2);
  const bool valid = request.first() < Table::buckets && count <= Table::buckets - request.first();
  return valid && takes_part() && !replica_.from_nothing();
}

/// As far as its queue has room; true when that is all.
bool Replicator::serve_range(RemoteCopy& copy, Wanted::Range& range) {
  const wire::CopyRequest& request = range.request;
  if (!can_serve(request)) {
    wire::Message refusal;
    refusal.set_table(definition_.name);
    refusal.mutable_copy_answer()->set_session(request.session());
    refusal.mutable_copy_answer()->set_refused(true);
    post(copy.member.boot, node::Lane::bulk, refusal);
    return true;
  }
  CopySender sender(replica_, definition_.name, request.session(), [&](std::string message) {
    post(copy.member.boot, node::Lane::bulk, std::move(message));
  });
  const auto count = static_cast<std::uint32_t>(request.digests_size() / 2);
  while (range.served < count && has_room(copy)) {
    const auto at = static_cast<int>(2 * range.served);
    const Table::Digest theirs{request.digests(at), request.digests(at + 1)};
    const std::uint32_t bucket = request.first() + range.served++;
    sender.bucket(bucket, theirs == replica_.table().bucket_digest(bucket));
  }
  sender.finish();
  return range.served == count;
}

void Replicator::receive_buckets(Now now, RemoteCopy& copy, const wire::CopyAnswer& answer) {
  if (!copying_ || copying_->session != answer.session() || !copying_->admitted) return;
  if (answer.refused()) return stop_copying(now);
  copying_->progress = now.mono;
  Vector sender = from_wire(answer.vector());
  copying_->end.raise(sender);
  for (const auto& [id, sequence] : replica_.seen()) {  // what it has pruned it had in full
    if (!sender.contains(id) && begun_by(copying_->pruned, replica_.origins().at(id))) {
      sender.set(id, sequence);
    }
  }
  for (const std::string& bytes : answer.buckets()) {
    if (!read_bucket(bytes, part_) || part_.number >= Table::buckets || !install(part_, sender)) {
      ++surroundings_.malformed;
      detail_ = fmt::format("{} sent what cannot be read: the copy is begun anew",
                            copy.member.name.text());
      return stop_copying(now);
    }
    if (!part_.last) continue;
    ++copying_->done_buckets;
    std::erase_if(copying_->outstanding, [&](std::uint32_t first) {
      return part_.number + 1 == std::min(first + copying_->per_request, Table::buckets);
    });
  }
  ask_for_buckets(now, copy);
}

/// What is here of that bucket and does not stand in it goes, once its last part has come.  False
/// where a row cannot be read: without it this copy is none.
bool Replicator::install(const BucketPart& part, const Vector& sender) {
  for (const BucketPart::Deleted& deleted : part.deletes) {
    replica_.install_delete(deleted.key, deleted.created, deleted.stamp);
  }
  replica_.expect(part.number, part.entries.size());
  std::size_t fresh = 0;
  for (const auto& [key, row] : part.entries) {
    const Replica::Installed installed = replica_.install(key, row, sender);
    if (installed == Replica::Installed::unreadable) return false;
    if (installed == Replica::Installed::fresh) ++fresh;
  }
  const bool whole = part.last && !copying_->keys.contains(part.number);
  const bool nothing_else = whole && fresh == replica_.table().bucket_count(part.number);
  if (part.last && (part.same || nothing_else)) {
    replica_.mark_installed(part.number);
  } else {
    auto& keys = copying_->keys[part.number];
    for (const auto& [key, row] : part.entries) keys.emplace(key);
    if (part.last) replica_.finish_bucket(part.number, keys, sender);
  }
  if (part.last) copying_->keys.erase(part.number);
  return true;
}

/// All buckets are here, and all operations that their sender had when it read the last of them.
void Replicator::check_copied(Now now) {
  if (!copying_ || !copying_->admitted || copying_->done_buckets < Table::buckets) return;
  Vector needed;
  for (const auto& [id, sequence] : copying_->end) {
    if (replica_.is_own(id)) continue;
    const Origin* origin = origin_of(id);
    const bool owed =
        origin == nullptr || (replica_.counts(*origin) && !replica_.has_pruned(*origin));
    if (owed) needed.set(id, sequence);
  }
  RemoteCopy* copy = copy_of(copying_->sponsor);
  if (!replica_.seen().covers(needed)) {
    if (copy != nullptr) fetch_from(now, *copy);
    return;
  }
  replica_.finish_copy();
  replica_.adopt_pruned(copying_->pruned);
  copying_.reset();
  tried_.clear();
  acknowledged_.clear();
  moved_.raise(replica_.seen());
  if (readiness_ == Readiness::joining) {
    replica_.set_admission(own_admissions());
    drop_needless_records(true);
    delete_again(now);
  }
  announce();
  store_if_due(now);
  if (readiness_ == Readiness::joining) {
    detail_ = fmt::format("joined {}", copy != nullptr ? copy->member.name.text() : "");
    readiness_ = Readiness::catching_up;  // complete: from here on it goes with the stream
    joined_ = true;
    begin_almost(now);
  }
}

/// The sponsor is gone, changed or refuses.
void Replicator::stop_copying(Now now) {
  if (!copying_) return;
  const Vector end = std::move(copying_->end);
  copying_.reset();
  if (replica_.copying() && !replica_.from_nothing()) replica_.abandon_copy(end);
  if (readiness_ == Readiness::joining) join_retry_ = now.mono + retry;
}

}  // namespace muster::cache
