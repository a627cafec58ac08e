// SPDX-License-Identifier: MIT
//
// The tables of one node: definitions and their spreading, limits, and the way from the fabric to
// the replicator of each table.
#include "muster/cache/cache_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <set>
#include <string_view>

#include "replicator.h"
#include "wire_codec.h"
#include "wire_format.h"

namespace muster::cache {
namespace {

constexpr Duration stood_still = std::chrono::seconds(1);

Error no_table(std::string_view name) {
  return {make_error_code(boost::system::errc::no_such_file_or_directory),
          fmt::format("no table named {}", name)};
}

Result<void> check_key(const Key& key) {
  if (key.valid()) return {};
  if (key.encoded().empty()) return bad_input("a key must not be empty");
  return bad_input(fmt::format("a key of {} bytes: at most {} (its parts, with separators)",
                               key.encoded().size(), Key::max_encoded));
}

Result<void> check_write(const Write& write) {
  std::size_t bytes = 0;
  for (const Put& put : write.puts) {
    if (auto valid = check_key(put.key); !valid) return valid;
    if (put.value.size() > max_value_bytes) {
      return bad_input(
          fmt::format("a value of {} bytes: at most {}", put.value.size(), max_value_bytes));
    }
    if (put.ttl && *put.ttl <= Duration::zero()) return bad_input("ttl must be more than zero");
    bytes += put.key.encoded().size() + put.value.size() + 64;
  }
  std::set<std::string_view> put;
  if (!write.deletes.empty()) {
    for (const Put& each : write.puts) put.insert(each.key.encoded());
  }
  for (const Key& key : write.deletes) {
    if (auto valid = check_key(key); !valid) return valid;
    if (put.contains(key.encoded())) {
      return bad_input("a batch puts and deletes the same key: which of both is meant?");
    }
    bytes += key.encoded().size() + 64;
  }
  if (bytes > max_batch_bytes) {
    return bad_input(fmt::format("a batch of {} bytes: at most {}", bytes, max_batch_bytes));
  }
  return {};
}

}  // namespace

class CacheMachine::Impl {
 public:
  Impl(CacheOptions options, node::Fabric& fabric, CacheEffects& effects, std::uint64_t seed)
      : options_(std::move(options)),
        surroundings_{fabric, effects, options_,
                      std::mt19937_64(seed ^ fabric.self().boot.value * 0x9E3779B97F4A7C15ULL)} {}

  Result<Replicator*> add(TableDefinition definition, const StoreImage* image) {
    if (auto valid = check(definition); !valid) return valid.error();
    if (find(definition.name) != nullptr) {
      return bad_input(fmt::format("table {} exists", definition.name));
    }
    if (tables_.size() >= max_tables) {
      return bad_input(fmt::format("table {}: more than {} tables", definition.name, max_tables));
    }
    auto table = std::make_unique<Replicator>(surroundings_, std::move(definition));
    if (image != nullptr && table->definition().storage != Storage::ram_copies) {
      if (auto loaded = table->load(*image); !loaded) return loaded.error();
    }
    if (disk_ != DiskState::good) table->disk_changed(surroundings_.now, disk_, disk_why_);
    tables_.push_back(std::move(table));
    return tables_.back().get();
  }

  [[nodiscard]] Replicator* find(std::string_view name) const {
    for (const auto& table : tables_) {
      if (table->definition().name == name) return table.get();
    }
    return nullptr;
  }

  void handle_calls() {
    surroundings_.fabric.handle(
        "table_info",
        [this, alive = std::weak_ptr(surroundings_.alive)](
            Now, const node::Member&, std::string_view request) -> Result<std::string> {
          if (alive.expired()) return no_table(request);
          const Replicator* table = find(request);
          if (table == nullptr || !table->hosted()) return no_table(request);
          return table->table_info().SerializeAsString();
        });
  }

  void tell_definitions(const node::Member& peer) {
    wire::Message message;
    for (const auto& table : tables_) to_wire(table->definition(), *message.add_definitions());
    if (message.definitions_size() == 0) return;
    surroundings_.fabric.send(peer.boot, cache_service, node::Lane::urgent,
                              std::make_shared<const std::string>(message.SerializeAsString()));
  }

  /// A table that others have and this node has never heard of is made; of the others it is kept
  /// what this peer says they are.
  void learn_definitions(Now now, BootId from) {
    for (const wire::Definition& each : incoming_.definitions()) {
      auto definition = from_wire(each);
      if (!definition) {
        ++surroundings_.malformed;
        continue;
      }
      if (Replicator* known = find(definition->name)) {
        known->heard(from, *definition);
        continue;
      }
      auto added = add(*definition, nullptr);
      if (!added) continue;
      start_late(now, **added);
      (*added)->heard(from, *definition);
    }
  }

  /// Of a frame of the live stream, which has a table and operations and nothing else, the table;
  /// `operations_` are where they lie in it.
  std::optional<std::string_view> stream_of(std::string_view payload) {
    operations_.clear();
    wire_format::Reader reader(payload);
    if (!reader.next() || reader.field() != wire::Message::kTableFieldNumber) return std::nullopt;
    const std::string_view table = reader.bytes();
    while (reader.next()) {
      if (reader.field() != wire::Message::kOperationsFieldNumber) return std::nullopt;
      operations_.push_back(reader.bytes());
    }
    if (!reader.ok() || operations_.empty()) return std::nullopt;
    return table;
  }

  void start_late(Now now, Replicator& table) {
    if (!started_) return;
    table.start(now);
    for (const node::Member& peer : surroundings_.fabric.connected()) tell_definitions(peer);
  }

  /// First of all in every entry: whatever woke this process, it may have stood still before.
  void enter(Now now) {
    const Instant due = std::max(expected_wake_, surroundings_.now.mono);
    const bool late = expected_wake_ != never && now.mono - due > stood_still;
    surroundings_.now = now;
    if (!late) return;
    for (std::size_t i = 0; i < tables_.size(); ++i) tables_[i]->paused(now);
  }

  CacheOptions options_;
  Surroundings surroundings_;
  std::vector<std::unique_ptr<Replicator>> tables_;
  wire::Message incoming_;
  std::vector<std::string_view> operations_;
  bool started_ = false;
  DiskState disk_ = DiskState::good;
  std::string disk_why_;
  Instant expected_wake_ = never;
};

CacheMachine::CacheMachine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CacheMachine::~CacheMachine() { impl_->surroundings_.fabric.attach(cache_service, nullptr); }

Result<std::unique_ptr<CacheMachine>> CacheMachine::open(
    CacheOptions options, std::vector<TableDefinition> tables, const StoreImage* image,
    node::Fabric& fabric, CacheEffects& effects, std::uint64_t seed) {
  auto impl = std::make_unique<Impl>(std::move(options), fabric, effects, seed);
  impl->surroundings_.image = image;
  for (TableDefinition& definition : tables) {
    if (auto added = impl->add(std::move(definition), image); !added) return added.error();
  }
  std::unique_ptr<CacheMachine> machine(new CacheMachine(std::move(impl)));
  if (image != nullptr) {  // tables that were learned from others, or created while it ran
    for (const std::string& name : image->tables()) {
      if (machine->impl_->find(name) != nullptr) continue;
      auto definition = Replica::stored_definition(*image, name);
      if (!definition) return definition.error();
      if (!*definition) continue;
      auto added = machine->impl_->add(**definition, image);
      if (!added) return added.error();
    }
  }
  machine->impl_->handle_calls();
  fabric.attach(cache_service, machine.get());
  return machine;
}

void CacheMachine::start(Now now) {
  impl_->enter(now);
  impl_->started_ = true;
  for (const node::Member& peer : impl_->surroundings_.fabric.connected()) {
    impl_->tell_definitions(peer);
  }
  for (const auto& table : impl_->tables_) table->start(now);
}

void CacheMachine::set_healer(Healer* healer) { impl_->surroundings_.healer = healer; }

Instant CacheMachine::next_wake() const {
  // A node that nobody wakes would not notice that it stood still.
  Instant next = impl_->started_ ? after(impl_->surroundings_.now.mono, stood_still / 2) : never;
  for (const auto& table : impl_->tables_) next = std::min(next, table->next_wake());
  impl_->expected_wake_ = next;
  return next;
}

void CacheMachine::wake(Now now) {
  impl_->enter(now);
  for (std::size_t i = 0; i < impl_->tables_.size(); ++i) impl_->tables_[i]->wake(now);
}

void CacheMachine::look(Now now) { impl_->enter(now); }

void CacheMachine::flush(Now now) {
  impl_->enter(now);
  for (std::size_t i = 0; i < impl_->tables_.size(); ++i) impl_->tables_[i]->flush(now);
}

void CacheMachine::stored(Now now, std::string_view table, std::uint64_t number) {
  impl_->enter(now);
  if (Replicator* found = impl_->find(table)) found->stored(now, number);
}

void CacheMachine::disk_changed(Now now, DiskState state, const std::string& why) {
  impl_->enter(now);
  impl_->disk_ = state;
  impl_->disk_why_ = why;
  for (const auto& table : impl_->tables_) table->disk_changed(now, state, why);
}

Result<void> CacheMachine::create_table(Now now, TableDefinition definition) {
  impl_->enter(now);
  auto added = impl_->add(std::move(definition), nullptr);
  if (!added) return added.error();
  impl_->start_late(now, **added);
  return {};
}

void CacheMachine::write(Now now, std::string_view table, Write write, const WriteOptions& options,
                         WriteDone done) {
  impl_->enter(now);
  Replicator* found = impl_->find(table);
  if (found == nullptr) return done(now, no_table(table));
  if (auto valid = check_write(write); !valid) return done(now, valid.error());
  found->write(now, std::move(write), options, std::move(done));
}

void CacheMachine::touch(Now now, std::string_view table, const Key& key,
                         std::optional<Duration> ttl, const WriteOptions& options, WriteDone done) {
  impl_->enter(now);
  Replicator* found = impl_->find(table);
  if (found == nullptr) return done(now, no_table(table));
  if (auto valid = check_key(key); !valid) return done(now, valid.error());
  found->touch(now, key, ttl, options, std::move(done));
}

void CacheMachine::take(Now now, std::string_view table, const Key& key,
                        const WriteOptions& options, TakeDone done) {
  impl_->enter(now);
  Replicator* found = impl_->find(table);
  if (found == nullptr) return done(now, no_table(table));
  if (auto valid = check_key(key); !valid) return done(now, valid.error());
  found->take(now, key, options, std::move(done));
}

void CacheMachine::get(Now now, std::string_view table, const Key& key, ReadDone done) {
  impl_->enter(now);
  Replicator* found = impl_->find(table);
  if (found == nullptr) return done(now, no_table(table));
  if (auto valid = check_key(key); !valid) return done(now, valid.error());
  found->get(now, key, std::move(done));
}

void CacheMachine::all(Now now, std::string_view table, const Pattern& pattern, std::size_t limit,
                       ListDone done) {
  impl_->enter(now);
  Replicator* found = impl_->find(table);
  if (found == nullptr) return done(now, no_table(table));
  found->all(now, pattern, limit, std::move(done));
}

std::shared_ptr<const Table> CacheMachine::table(std::string_view name) const {
  const Replicator* found = impl_->find(name);
  return found == nullptr ? nullptr : found->table();
}

bool CacheMachine::ready(std::string_view table) const {
  const Replicator* found = impl_->find(table);
  return found != nullptr && found->ready();
}

bool CacheMachine::healing(std::string_view table) const {
  const Replicator* found = impl_->find(table);
  return found != nullptr && found->healing();
}

bool CacheMachine::ready() const {
  return impl_->started_ &&
         std::all_of(impl_->tables_.begin(), impl_->tables_.end(),
                     [](const auto& table) { return !table->hosted() || table->ready(); });
}

std::vector<std::string> CacheMachine::table_names() const {
  std::vector<std::string> names;
  for (const auto& table : impl_->tables_) names.push_back(table->definition().name);
  return names;
}

std::vector<TableStatus> CacheMachine::status(Now now) const {
  std::vector<TableStatus> all;
  for (const auto& table : impl_->tables_) all.push_back(table->status(now));
  return all;
}

std::vector<std::string> CacheMachine::not_handed_off() const {
  std::vector<std::string> reasons;
  for (const auto& table : impl_->tables_) {
    std::string reason = table->not_handed_off();
    if (!reason.empty()) reasons.push_back(std::move(reason));
  }
  return reasons;
}

Timestamp CacheMachine::time(Now now) const {
  return impl_->surroundings_.fabric.cluster_time(now);
}

void CacheMachine::for_each_journal(std::string_view table, std::string_view prefix,
                                    const StoreImage::Visit& visit) const {
  const Replicator* found = impl_->find(table);
  if (found == nullptr) return;
  const auto& journal = found->replica().journal();
  for (auto row = journal.lower_bound(std::string(prefix));
       row != journal.end() && row->first.starts_with(prefix); ++row) {
    visit(row->first, row->second);
  }
}

void CacheMachine::erase_journal(Now now, std::string_view table, std::string_view key) {
  if (Replicator* found = impl_->find(table)) {
    found->change_journal(now, std::string(key), std::nullopt);
  }
}

void CacheMachine::write_journal(Now now, std::string_view table, std::string key,
                                 std::string value) {
  if (Replicator* found = impl_->find(table)) {
    found->change_journal(now, std::move(key), std::move(value));
  }
}

bool CacheMachine::deleted(std::string_view table, std::string_view key, const Dot& created) const {
  const Replicator* found = impl_->find(table);
  return found != nullptr && found->replica().deletes().contains(key, created);
}

void CacheMachine::connected(Now now, const node::Member& peer) {
  impl_->enter(now);
  if (!impl_->started_) return;
  impl_->tell_definitions(peer);
  for (const auto& table : impl_->tables_) table->connected(now, peer);
}

void CacheMachine::disconnected(Now now, const node::Member& peer, node::DownReason) {
  impl_->enter(now);
  for (const auto& table : impl_->tables_) table->disconnected(now, peer);
}

void CacheMachine::island_changed(Now now) {
  impl_->enter(now);
  for (std::size_t i = 0; i < impl_->tables_.size(); ++i) impl_->tables_[i]->island_changed(now);
}

void CacheMachine::received(Now now, const node::Member& from, std::string_view payload) {
  impl_->enter(now);
  if (!impl_->started_) return;
  if (const auto stream = impl_->stream_of(payload)) {
    Replicator* table = impl_->find(*stream);
    if (table != nullptr) table->received_stream(now, from, impl_->operations_);
    return;
  }
  wire::Message& message = impl_->incoming_;
  if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    ++impl_->surroundings_.malformed;
    return;
  }
  if (message.definitions_size() != 0) impl_->learn_definitions(now, from.boot);
  if (message.table().empty()) return;
  if (Replicator* table = impl_->find(message.table())) table->received(now, from, message);
}

void CacheMachine::check_invariants() const {
  for (const auto& table : impl_->tables_) table->check_invariants();
}

}  // namespace muster::cache
