// SPDX-License-Identifier: MIT
//
// The live stream: own operations to everybody, others' to neighbours whom they do not reach, and
// one cumulative acknowledgement per turn back along the way they came.
#include <algorithm>
#include <array>

#include "replicator.h"
#include "wire_codec.h"
#include "wire_format.h"

namespace muster::cache {
namespace {

constexpr std::size_t frame_bytes = std::size_t{256} << 10;
constexpr std::size_t frame_bytes_max = std::size_t{960} << 10;
/// With the largest write on top it is still a frame.
constexpr std::size_t relay_bytes = frame_bytes_max - max_batch_bytes;
constexpr std::size_t frame_room_max = std::size_t{64} << 10;
/// What one turn may add to a queue that was short.
constexpr std::size_t burst_queue_max = std::size_t{32} << 20;
constexpr std::uint32_t hops_max = 8;
constexpr std::uint32_t operations_field = 2;  // of wire::Message

/// The operations of one write stay in one frame.  A new one has `room` from the start.
void append(std::deque<std::string>& frames, const std::string& table, std::string_view encoded,
            bool new_write, std::size_t room) {
  if (frames.empty() || frames.back().size() + encoded.size() > frame_bytes_max ||
      (new_write && frames.back().size() > frame_bytes)) {
    frames.emplace_back().reserve(room);
    wire_format::put_bytes_field(frames.back(), 1, table);
  }
  wire_format::put_bytes_field(frames.back(), operations_field, encoded);
}

}  // namespace

void Replicator::applied(const Operation& operation, std::string_view encoded) {
  report_stale_ = true;
  report_changes(operation);
  if (operation.dot.origin.boot == self()) {
    if (copies_.empty()) return;  // nobody to send it to
    append(frames_, definition_.name, encoded, !same_write_, frame_room_);
    if (operation.lineless()) {
      append(lineless_frames_, definition_.name, encoded, !same_write_, frame_room_);
    }
    same_write_ = true;
    return;
  }
  moved_.raise(operation.dot.origin, operation.dot.sequence);
  via_[operation.dot.origin] = applying_from_;
  if (applying_live_) relay(operation, encoded);
}

void Replicator::report_changes(const Operation& operation) const {
  const bool all = surroundings_.effects.wants_changes();
  if (!all && replica_.journal().empty()) return;
  const auto tell = [&](CacheEvent::Kind kind, std::string_view key, const Stamp& stamp,
                        std::vector<Dot> created) {
    surroundings_.effects.report(
        surroundings_.now,
        CacheEvent{kind, definition_.name, std::string(key), {}, {}, stamp, std::move(created)});
  };
  if (all) {
    for (const PutItem& put : operation.puts) {
      tell(CacheEvent::Kind::written, put.key, operation.stamp, {});
    }
  }
  for (const RemoveItem& remove : operation.removes) {
    Stamp made = operation.stamp;
    if (remove.made != 0) made.time = remove.made;
    tell(CacheEvent::Kind::deleted, remove.key, made, remove.dots);
  }
}

/// What is set aside in the journal here may be what it ended.
void Replicator::brought_delete(std::string_view key, const Dot& created, const Stamp& stamp) {
  if (replica_.journal().empty()) return;
  std::vector<Dot> dots;
  if (created.sequence != 0) dots.push_back(created);
  surroundings_.effects.report(surroundings_.now, CacheEvent{CacheEvent::Kind::deleted,
                                                             definition_.name,
                                                             std::string(key),
                                                             {},
                                                             {},
                                                             stamp,
                                                             std::move(dots)});
}

void Replicator::send_control(RemoteCopy& copy) {
  if (!copy.has_control) return;
  copy.has_control = false;
  if (!copy.linked) return;
  post(copy.member.boot, node::Lane::urgent, copy.control);
}

void Replicator::relay(const Operation& operation, std::string_view encoded) {
  const BootId origin = operation.dot.origin.boot;
  const bool same_write = relayed_before_ && continues(*relayed_before_, operation.dot);
  relayed_before_ = operation.dot;
  if (!in_view(origin)) return;
  const auto [known, fresh] = relay_targets_.try_emplace(origin);
  if (fresh) {
    for (auto& [boot, copy] : copies_) {
      if (!copy.linked || boot == origin || surroundings_.fabric.linked(boot, origin)) continue;
      if (streams_to(copy)) known->second.push_back(&copy);
    }
  }
  for (RemoteCopy* copy : known->second) {
    if (copy->member.boot == applying_from_ || !copy->streaming) continue;
    if (!copy->met && !copy->subscribed) continue;
    if (copy->apart && !operation.lineless()) continue;
    const bool goes_on = same_write && !copy->apart;  // To it only deletes go, without their puts.
    if (copy->control_bytes > relay_bytes && !goes_on) {
      send_control(*copy);
      if (!streams_to(*copy)) continue;
    }
    wire::Message& message = control(*copy);
    message.add_operations(encoded.data(), encoded.size());
    copy->control_bytes += encoded.size();
  }
}

void Replicator::received_stream(Now now, const node::Member& from,
                                 std::span<const std::string_view> operations) {
  const RemoteCopy* copy = heard_from(from);
  if (copy == nullptr) return;
  if (!copy->outdated) receive_operations(now, from, operations, true);
  progress(now);
}

/// What the first of these operations will change.
void Replicator::prefetch(std::span<const std::string_view> operations) const {
  if (operations.size() < 2) return;
  std::array<std::string_view, Table::prefetched_together> keys;
  const std::size_t count = std::min(keys.size(), operations.size());
  std::transform(operations.begin(), operations.begin() + static_cast<std::ptrdiff_t>(count),
                 keys.begin(), first_key);
  replica_.table().prefetch({keys.data(), count});
}

void Replicator::receive_operations(Now now, const node::Member& from,
                                    std::span<const std::string_view> operations, bool live) {
  if (!takes_part() && !replica_.copying()) return;
  applying_live_ = live;
  applying_from_ = from.boot;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    if (i % Table::prefetched_together == 0) prefetch(operations.subspan(i));
    const auto received = replica_.receive(operations[i], cluster(now), live && i > 0);
    if (received == Replica::Received::malformed) ++surroundings_.malformed;
    if (received == Replica::Received::gap && live && !gap_since_) {
      gap_since_ = now.mono;
      gap_from_ = from.boot;
    }
  }
  applying_from_ = {};
  applying_live_ = false;
}

void Replicator::send_acks() {
  if (replica_.copying()) return;  // not a holder yet
  acknowledge(moved_, acknowledged_, false);
  moved_.clear();
  if (!durable_moved_ || !acknowledges_from_disk(surroundings_.now)) return;
  durable_moved_ = false;
  acknowledge(replica_.durable(), acknowledged_durable_, true);
}

/// Towards the origin: straight where it is linked, else back to whom the operations came from.
void Replicator::acknowledge(const Vector& upto, Vector& acknowledged, bool durable) {
  std::map<BootId, wire::Ack*> acks;
  for (const auto& [origin, reached] : upto) {
    // A copy that was given up may have moved further than what it left holds.
    const std::uint64_t sequence = std::min(reached, replica_.seen().at(origin));
    if (sequence <= acknowledged.at(origin)) continue;
    acknowledged.set(origin, sequence);
    if (!in_view(origin.boot)) continue;
    const RemoteCopy* direct = copy_of(origin.boot);
    const BootId to = direct != nullptr && direct->linked ? origin.boot : via_[origin];
    RemoteCopy* copy = copy_of(to);
    if (copy == nullptr || !copy->linked) continue;
    wire::Ack*& ack = acks[to];
    if (ack == nullptr) {
      ack = control(*copy).add_acks();
      ack->set_boot(self().value);
      ack->set_durable(durable);
    }
    wire::VectorEntry& entry = *ack->add_entries();
    entry.set_boot(origin.boot.value);
    entry.set_number(origin.number);
    entry.set_sequence(sequence);
  }
}

void Replicator::receive_acks(Now, const node::Member& from, const wire::Message& message) {
  for (const wire::Ack& ack : message.acks()) {
    if (RemoteCopy* copy = copy_of(BootId{ack.boot()})) {
      const Vector entries = from_wire(ack.entries());
      copy->seen.raise(entries);
      if (ack.durable()) copy->durable.raise(entries);
      acks_moved_ = true;
    }
    pass_ack_on(ack, from.boot);
  }
}

void Replicator::pass_ack_on(const wire::Ack& ack, BootId from) {
  if (ack.hops() >= hops_max) return;
  for (const wire::VectorEntry& entry : ack.entries()) {
    const OriginId origin{BootId{entry.boot()}, entry.number()};
    if (origin.boot == self()) continue;
    const RemoteCopy* direct = copy_of(origin.boot);
    const auto via = via_.find(origin);
    const BootId to = direct != nullptr && direct->linked ? origin.boot
                      : via == via_.end()                 ? BootId{}
                                                          : via->second;
    RemoteCopy* copy = copy_of(to);
    if (copy == nullptr || !copy->linked || to == from) continue;
    wire::Ack& passed = *control(*copy).add_acks();
    passed.set_boot(ack.boot());
    passed.set_hops(ack.hops() + 1);
    passed.set_durable(ack.durable());
    *passed.add_entries() = entry;
  }
}

void Replicator::send_stream(Now) {
  if (frames_.empty()) return;
  frame_room_ = std::min(frames_.back().size(), frame_room_max);
  std::vector<node::Bytes> whole, lineless;
  for (std::string& frame : frames_) {
    whole.push_back(std::make_shared<const std::string>(std::move(frame)));
  }
  for (std::string& frame : lineless_frames_) {
    lineless.push_back(std::make_shared<const std::string>(std::move(frame)));
  }
  frames_.clear();
  lineless_frames_.clear();
  for (auto& [boot, copy] : copies_) {
    if (!copy.linked || (!copy.met && !copy.subscribed)) continue;
    if (!copy.takes_part() && !copy.subscribed) continue;
    if (!streams_to(copy)) continue;
    for (const node::Bytes& frame : copy.apart ? lineless : whole) {
      copy.streaming = surroundings_.fabric.queued(boot) <= burst_queue_max;
      if (!copy.streaming) break;
      surroundings_.fabric.send(boot, cache_service, node::Lane::urgent, frame);
    }
  }
}

}  // namespace muster::cache
