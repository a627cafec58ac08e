// SPDX-License-Identifier: MIT
//
// Questions to other members and their answers: where a put may go, and what clients ask of a node
// that is not ready or holds no copy.  A question has one answer or a deadline.
#include <fmt/format.h>

#include <algorithm>

#include "replicator.h"
#include "wire_codec.h"

namespace muster::cache {
namespace {

constexpr std::size_t asked_max = 10'000;
constexpr std::size_t answer_bytes_max = std::size_t{900} << 10;
/// Of questions on their way to one member.
constexpr std::size_t asking_queue_max = std::size_t{16} << 20;
/// Of questions of one peer that wait for their answers to have room.
constexpr std::size_t question_bytes_max = std::size_t{32} << 20;
constexpr Duration read_within = std::chrono::seconds(2);
constexpr Duration write_within = std::chrono::seconds(2);
/// Of the time for a write at most so much is left for the way to whoever is asked and back.
constexpr Duration way_max = std::chrono::milliseconds(100);

/// Of this moment, not of the question.
Error try_again(std::string why) {
  return {make_error_code(boost::system::errc::resource_unavailable_try_again), std::move(why)};
}
Error not_ready(const std::string& table) {
  return try_again(
      fmt::format("table {} is not ready on this node, and no ready member is connected", table));
}
Error too_much(const std::string& table, const std::string& node) {
  return try_again(fmt::format(
      "table {}: too much is under way to {}, which has the table; try again", table, node));
}
Error too_much(const std::string& table) {
  return try_again(
      fmt::format("table {} is not ready on this node, and too much is asked of others", table));
}
/// A question that left this node and was not answered in time, or whose link broke.
Error not_answered(const std::string& table, const NodeName& asked, bool writes) {
  return {make_error_code(boost::system::errc::timed_out),
          writes ? fmt::format("table {}: not acknowledged; {}, asked by this node, which is not "
                               "ready, has not answered, and whether it has written is unknown",
                               table, asked.text())
                 : fmt::format("table {} is not ready on this node, and {}, asked instead, has not "
                               "answered",
                               table, asked.text())};
}
void encode_error(const Error& error, wire::Answer& reply) {
  const bool passes = error.code == boost::system::errc::resource_unavailable_try_again;
  reply.set_error(passes ? error.detail : error.text());
  reply.set_try_again(passes);
}
Error error_in(const wire::Answer& reply) {
  return reply.try_again() ? try_again(reply.error()) : bad_input(reply.error());
}
bool writes(const wire::Ask& question) {
  return question.kind() == wire::Ask::WRITE || question.kind() == wire::Ask::TOUCH ||
         question.kind() == wire::Ask::TAKE;
}
std::int64_t encode_expiry(Expiry expiry) {
  return expiry == never_expires ? 0 : expiry.time_since_epoch().count();
}
Expiry decode_expiry(std::int64_t us) {
  return us == 0 ? never_expires : Expiry(std::chrono::microseconds(us));
}
std::optional<Duration> ttl_of(bool present, std::int64_t us) {
  if (!present) return std::nullopt;
  if (us < 0) return forever;
  return std::chrono::microseconds(us);
}
std::int64_t encode_ttl(Duration ttl) {
  return ttl == forever ? -1 : std::chrono::duration_cast<std::chrono::microseconds>(ttl).count();
}
/// Whoever is asked answers earlier than this node gives up, to say at least who has it.
void encode(const WriteOptions& options, wire::Ask& ask) {
  if (options.acknowledge)
    ask.set_acknowledge(1 + static_cast<std::uint32_t>(*options.acknowledge));
  const Duration deadline = std::min(options.deadline, write_within);
  const Duration left = deadline - std::min(deadline / 10, way_max);
  ask.set_deadline_us(std::chrono::ceil<std::chrono::microseconds>(left).count());
}
bool decode(const wire::Ask& ask, WriteOptions& options) {
  if (ask.acknowledge() > 4) return false;
  if (ask.acknowledge() != 0) options.acknowledge = static_cast<Acknowledge>(ask.acknowledge() - 1);
  const std::chrono::microseconds deadline(ask.deadline_us());
  if (deadline.count() > 0 && deadline < options.deadline) options.deadline = deadline;
  return true;
}
void encode(const Write& write, wire::Ask& ask) {
  for (const Put& put : write.puts) {
    wire::Put& to = *ask.add_puts();
    to.set_key(put.key.encoded());
    to.set_value(put.value);
    if (put.ttl) to.set_ttl_us(encode_ttl(*put.ttl));
    to.set_keep_expiry(put.keep_expiry);
    if (put.expires_at) to.set_expires_at_us(put.expires_at->time_since_epoch().count());
  }
  for (const Key& key : write.deletes) ask.add_deletes(key.encoded());
  ask.set_condition(static_cast<std::uint32_t>(write.condition));
}
bool decode(const wire::Ask& ask, Write& write) {
  for (const wire::Put& put : ask.puts()) {
    auto key = Key::decode(put.key());
    if (!key || !key->valid() || put.value().size() > max_value_bytes) return false;
    Put& to = write.puts.emplace_back();
    to.key = *key;
    to.value = put.value();
    to.ttl = ttl_of(put.has_ttl_us(), put.ttl_us());
    to.keep_expiry = put.keep_expiry();
    if (put.has_expires_at_us()) to.expires_at = decode_expiry(put.expires_at_us());
  }
  for (const std::string& encoded : ask.deletes()) {
    auto key = Key::decode(encoded);
    if (!key || !key->valid()) return false;
    write.deletes.push_back(*key);
  }
  if (ask.condition() > 2) return false;
  write.condition = static_cast<Write::If>(ask.condition());
  return true;
}
Written decode_written(const wire::Answer& answer) {
  Written written;
  written.applied = answer.applied();
  written.acknowledged = answer.acknowledged();
  written.everywhere = answer.everywhere();
  written.deleted = answer.deleted();
  for (const std::string& text : answer.holders()) {
    if (auto name = NodeName::parse(text)) written.holders.push_back(*name);
  }
  return written;
}
void encode_written(const Written& written, wire::Answer& answer) {
  answer.set_applied(written.applied);
  answer.set_acknowledged(written.acknowledged);
  answer.set_everywhere(written.everywhere);
  answer.set_deleted(written.deleted);
  for (const NodeName& name : written.holders) answer.add_holders(name.text());
}
auto told_written(CacheMachine::WriteDone done) {
  return [done = std::move(done)](Now at, Result<const wire::Answer*> reply) {
    if (!reply) return done(at, reply.error());
    done(at, decode_written(**reply));
  };
}

}  // namespace

void Replicator::ask(Now now, BootId of, wire::Ask& question, Duration deadline,
                     std::function<void(Now, const wire::Answer*)> done) {
  RemoteCopy* copy = copy_of(of);
  if (copy == nullptr || !copy->linked || asked_.size() >= asked_max) return done(now, nullptr);
  question.set_id(next_ask_++);
  wire::Message message;
  message.set_table(definition_.name);
  *message.mutable_ask() = question;
  asked_[question.id()] = Asked{now.mono + deadline, of, std::move(done)};
  send_control(*copy);  // keeps the order: what was said of paths goes first
  post(of, node::Lane::urgent, message);
}

void Replicator::answer(BootId to, const wire::Answer& reply) {
  RemoteCopy* copy = copy_of(to);
  if (copy == nullptr || !copy->linked) return;
  wire::Message message;
  message.set_table(definition_.name);
  *message.mutable_answer() = reply;
  send_control(*copy);
  post(to, node::Lane::urgent, message);
}

void Replicator::receive_answer(Now now, const node::Member& from, const wire::Answer& reply) {
  const auto found = asked_.find(reply.id());
  if (found == asked_.end() || found->second.of != from.boot) return;
  const auto done = std::move(found->second.done);
  asked_.erase(found);
  done(now, &reply);
}

void Replicator::expire_asked(Now now) {
  std::vector<std::function<void(Now, const wire::Answer*)>> late;
  for (auto asked = asked_.begin(); asked != asked_.end();) {
    if (now.mono < asked->second.deadline) {
      ++asked;
      continue;
    }
    late.push_back(std::move(asked->second.done));
    asked = asked_.erase(asked);
  }
  for (const auto& done : late) done(now, nullptr);
}

std::optional<BootId> Replicator::ready_member() const {
  std::optional<BootId> best;
  for (const auto& [boot, copy] : copies_) {
    if (!copy.linked || copy.apart || copy.version == 0 || copy.readiness != Readiness::ready)
      continue;
    if (!best || copy.member.seniority() < copies_.at(*best).member.seniority()) best = boot;
  }
  return best;
}

void Replicator::proxy(Now now, wire::Ask& question, Duration deadline,
                       std::function<void(Now, Result<const wire::Answer*>)> done) {
  const auto member = ready_member();
  if (!member) return done(now, not_ready(definition_.name));
  if (asked_.size() >= asked_max || question.ByteSizeLong() > answer_bytes_max)
    return done(now, too_much(definition_.name));
  const NodeName& asked = copies_.at(*member).member.name;
  if (surroundings_.fabric.queued(*member) > asking_queue_max)
    return done(now, too_much(definition_.name, asked.text()));
  const Error unanswered = not_answered(definition_.name, asked, writes(question));
  ask(now, *member, question, deadline,
      [unanswered, done = std::move(done)](Now at, const wire::Answer* reply) {
        if (reply == nullptr) return done(at, unanswered);
        if (!reply->error().empty()) return done(at, error_in(*reply));
        done(at, reply);
      });
}

void Replicator::get(Now now, const Key& key, CacheMachine::ReadDone done) {
  if (readiness_ == Readiness::ready) {
    return done(now, replica_.table().find(key.encoded(), cluster(now)));
  }
  wire::Ask question;
  question.set_kind(wire::Ask::GET);
  question.set_key(key.encoded());
  proxy(now, question, read_within,
        [done = std::move(done)](Now at, Result<const wire::Answer*> reply) {
          if (!reply) return done(at, reply.error());
          std::optional<Table::Found> found;
          if ((*reply)->found_size() == 1) {
            const wire::Answer::Found& entry = (*reply)->found(0);
            found = Table::Found{entry.value(), decode_expiry(entry.expiry_us()),
                                 from_wire(entry.stamp())};
          }
          done(at, std::move(found));
        });
}

void Replicator::all(Now now, const Pattern& pattern, std::size_t limit,
                     CacheMachine::ListDone done) {
  std::vector<std::pair<Key, std::string>> entries;
  if (readiness_ == Readiness::ready) {
    const std::string prefix = pattern.prefix();
    const Timestamp at = cluster(now);
    replica_.table().scan(prefix, [&](std::string_view encoded) {
      if (!encoded.starts_with(prefix) || entries.size() >= limit) return false;
      if (!pattern.matches(encoded)) return true;
      auto key = Key::decode(encoded);
      auto value = key ? replica_.table().get(encoded, at) : std::nullopt;
      if (value) entries.emplace_back(*key, std::move(*value));
      return true;
    });
    return done(now, std::move(entries));
  }
  wire::Ask question;
  question.set_kind(wire::Ask::ALL);
  for (const auto& part : pattern.parts) {
    wire::Ask::Part& to = *question.add_pattern();
    to.set_wildcard(!part);
    if (part) to.set_part(*part);
  }
  question.set_any_tail(pattern.any_tail);
  question.set_limit(limit);
  proxy(now, question, read_within,
        [done = std::move(done)](Now at, Result<const wire::Answer*> reply) {
          if (!reply) return done(at, reply.error());
          std::vector<std::pair<Key, std::string>> listed;
          for (const wire::Answer::Found& entry : (*reply)->found()) {
            if (auto key = Key::decode(entry.key())) listed.emplace_back(*key, entry.value());
          }
          done(at, std::move(listed));
        });
}

void Replicator::proxy_write(Now now, const Write& write, const WriteOptions& options,
                             CacheMachine::WriteDone done) {
  wire::Ask question;
  question.set_kind(wire::Ask::WRITE);
  encode(write, question);
  encode(options, question);
  proxy(now, question, std::min(options.deadline, write_within), told_written(std::move(done)));
}

void Replicator::proxy_touch(Now now, const Key& key, std::optional<Duration> ttl,
                             const WriteOptions& options, CacheMachine::WriteDone done) {
  wire::Ask question;
  question.set_kind(wire::Ask::TOUCH);
  question.set_key(key.encoded());
  if (ttl) question.set_ttl_us(encode_ttl(*ttl));
  encode(options, question);
  proxy(now, question, std::min(options.deadline, write_within), told_written(std::move(done)));
}

void Replicator::proxy_take(Now now, const Key& key, const WriteOptions& options,
                            CacheMachine::TakeDone done) {
  wire::Ask question;
  question.set_kind(wire::Ask::TAKE);
  question.set_key(key.encoded());
  encode(options, question);
  proxy(now, question, std::min(options.deadline, write_within),
        [done = std::move(done)](Now at, Result<const wire::Answer*> reply) {
          if (!reply) return done(at, reply.error());
          Taken taken{.value = {}, .written = decode_written(**reply)};
          if ((*reply)->found_size() == 1) taken.value = (*reply)->found(0).value();
          done(at, std::move(taken));
        });
}

void Replicator::receive_ask(Now now, const node::Member& from, const wire::Ask& question) {
  if (question.kind() == wire::Ask::LINE) return answer_line(now, from, question);
  if (question.kind() < wire::Ask::GET || question.kind() > wire::Ask::TAKE) {
    ++surroundings_.malformed;
    return;
  }
  Wanted& wanted = copy_of(from.boot)->wanted;
  const std::size_t bytes = question.ByteSizeLong();
  if (wanted.question_bytes + bytes > question_bytes_max || wanted.questions.size() >= asked_max) {
    return refuse(from.boot, question, try_again("too many questions wait to be answered"));
  }
  wanted.question_bytes += bytes;
  wanted.questions.push_back({question, now.mono + read_within});
}

void Replicator::answer_question(Now now, const node::Member& from, const wire::Ask& question) {
  const bool reads = question.kind() == wire::Ask::GET || question.kind() == wire::Ask::ALL;
  reads ? answer_read(now, from, question) : answer_write(now, from, question);
}

void Replicator::refuse(BootId to, const wire::Ask& question, const Error& why) {
  wire::Answer reply;
  reply.set_id(question.id());
  encode_error(why, reply);
  answer(to, reply);
}

void Replicator::answer_read(Now now, const node::Member& from, const wire::Ask& question) {
  if (readiness_ != Readiness::ready) return refuse(from.boot, question, try_again("not ready"));
  wire::Answer reply;
  reply.set_id(question.id());
  if (question.kind() == wire::Ask::GET) {
    if (const auto found = replica_.table().find(question.key(), cluster(now))) {
      wire::Answer::Found& entry = *reply.add_found();
      entry.set_value(found->value);
      entry.set_expiry_us(encode_expiry(found->expiry));
      to_wire(found->stamp, *entry.mutable_stamp());
    }
    return answer(from.boot, reply);
  }
  Pattern pattern;
  pattern.any_tail = question.any_tail();
  for (const wire::Ask::Part& part : question.pattern()) {
    pattern.parts.push_back(part.wildcard() ? std::nullopt : std::optional(part.part()));
  }
  all(now, pattern, question.limit(),
      [&](Now, Result<std::vector<std::pair<Key, std::string>>> listed) {
        std::size_t bytes = 0;
        for (const auto& [key, value] : *listed) {
          bytes += key.encoded().size() + value.size() + 16;
          if (bytes > answer_bytes_max) {
            reply.set_error("too much for one answer: ask a ready node, or for less");
            reply.clear_found();
            break;
          }
          wire::Answer::Found& entry = *reply.add_found();
          entry.set_key(key.encoded());
          entry.set_value(value);
        }
      });
  answer(from.boot, reply);
}

void Replicator::answer_write(Now now, const node::Member& from, const wire::Ask& question) {
  if (readiness_ != Readiness::ready) return refuse(from.boot, question, try_again("not ready"));
  const auto written = [this, to = from.boot, id = question.id()](Now, Result<Written> result) {
    wire::Answer reply;
    reply.set_id(id);
    result ? encode_written(*result, reply) : encode_error(result.error(), reply);
    answer(to, reply);
  };
  WriteOptions options;
  if (!decode(question, options))
    return refuse(from.boot, question, bad_input("malformed options"));
  if (question.kind() == wire::Ask::WRITE) {
    Write decoded;
    if (!decode(question, decoded))
      return refuse(from.boot, question, bad_input("malformed write"));
    return write(now, std::move(decoded), options, written);
  }
  auto key = Key::decode(question.key());
  if (!key || !key->valid()) return refuse(from.boot, question, bad_input("malformed key"));
  if (question.kind() == wire::Ask::TAKE) return answer_take(now, from, question, *key, options);
  touch(now, *key, ttl_of(question.has_ttl_us(), question.ttl_us()), options, written);
}

/// What it takes is on its way as soon as the take has begun.
void Replicator::answer_take(Now now, const node::Member& from, const wire::Ask& question,
                             const Key& key, const WriteOptions& options) {
  std::size_t bytes = 0;
  replica_.table().read(key.encoded(), cluster(now),
                        [&](const Table::View& found) { bytes = found.value.size(); });
  copy_of(from.boot)->taken_bytes += bytes;
  take(now, key, options,
       [this, to = from.boot, id = question.id(), bytes](Now, Result<Taken> taken) {
         if (RemoteCopy* copy = copy_of(to))
           copy->taken_bytes -= std::min(bytes, copy->taken_bytes);
         wire::Answer reply;
         reply.set_id(id);
         if (!taken) {
           encode_error(taken.error(), reply);
         } else {
           encode_written(taken->written, reply);
           if (taken->value) reply.add_found()->set_value(*taken->value);
         }
         answer(to, reply);
       });
}

}  // namespace muster::cache
