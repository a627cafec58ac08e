// SPDX-License-Identifier: MIT
#include "cache/cache_world.h"

#include <algorithm>

#include "replication.pb.h"

namespace muster::cache::testing {

using namespace std::chrono_literals;

std::vector<std::string> MapImage::tables() const {
  std::vector<std::string> names;
  for (const auto& [name, spaces] : content) names.push_back(name);
  return names;
}

Result<void> MapImage::for_each(std::string_view table, Space space, const Visit& visit) const {
  const auto found = content.find(std::string(table));
  if (found == content.end() || !found->second.contains(space)) return {};
  for (const auto& [key, value] : found->second.at(space)) visit(key, value);
  return {};
}

Result<std::optional<std::string>> MapImage::read(std::string_view table,
                                                  std::string_view key) const {
  const auto found = content.find(std::string(table));
  if (found == content.end() || !found->second.contains(Space::entries)) {
    return std::optional<std::string>();
  }
  const Rows& rows = found->second.at(Space::entries);
  const auto row = rows.find(std::string(key));
  return row == rows.end() ? std::nullopt : std::optional(row->second);
}

void MapImage::apply(const StoreBatch& batch) {
  auto& spaces = content[batch.table];
  if (batch.clear_first) {
    spaces[Space::entries].clear();
    spaces[Space::deletes].clear();
  }
  batch.rows.for_each([&](const Row& row) {
    if (row.value) {
      spaces[row.space][std::string(row.key)] = *row.value;
    } else {
      spaces[row.space].erase(std::string(row.key));
    }
  });
}

Verdict TestHealer::judge(Now, const TableDefinition& table, const Fork& fork) {
  const bool merges = table.on_split == OnSplit::merge;
  if (table.on_split == OnSplit::none) return Verdict::apart;
  if (!merges && !flush_all && table.name != "session" && !flush.contains(table.name)) {
    return Verdict::apart;
  }
  const auto rank = [&](const Line& line) {
    return fork.common == 0 ? std::tuple(line.stamp, Seniority{}, line.id)
                            : std::tuple(Stamp{}, line.namer, line.id);
  };
  return rank(fork.our_sibling()) < rank(fork.their_sibling()) ? Verdict::ours_wins
                                                               : Verdict::theirs_wins;
}

Healer::Record TestHealer::record(Now, const TableDefinition&, const SetAside& set_aside, bool) {
  aside.push_back(set_aside.key + "=" + std::string(set_aside.value.bytes));
  return {set_aside.key + "/" + std::to_string(set_aside.value.stamp.time) + "/" +
              node::to_string(set_aside.value.stamp.boot),
          std::string(set_aside.value.bytes)};
}

World::World(std::uint64_t seed) : random(seed) {
  now_ = {Instant(1000s), Timestamp(1'700'000'000s)};
}
World::~World() = default;

World::Node& World::at(const std::string& name) {
  const auto found = nodes_.find(name);
  if (found == nodes_.end()) throw std::runtime_error("no node " + name);
  return *found->second;
}

World::Node& World::start(const std::string& name, std::vector<TableDefinition> tables,
                          bool healer) {
  auto node = std::make_unique<Node>();
  node->world = this;
  node->name = name;
  node::Member self{NodeName::parse(name + "@host").value(), BootId{next_boot_++ * 7919},
                    next_ordinal_++};
  node::Membership::Status& status = membership_.nodes[self.name];
  if (!status.admitted()) ++status.admissions;
  status.newest = self.seniority();
  node->fabric = std::make_unique<WorldFabric>(*this, self);
  const MapImage& disk = disks_[name];
  auto machine =
      CacheMachine::open(cache_options, std::move(tables), &disk, *node->fabric, *node, random());
  if (!machine) throw std::runtime_error(machine.error().text());
  node->machine = std::move(*machine);
  if (healer) node->machine->set_healer(&node->healer);
  Node& result = *node;
  nodes_[name] = std::move(node);
  result.machine->start(now_);
  rearm();
  return result;
}

void World::crash(const std::string& name) {
  nodes_.erase(name);
  for (auto& [key, queue] : flying_) {
    if (std::get<0>(key) == name || std::get<1>(key) == name) drop_all(queue);
  }
  rearm();
}

void World::lose_disk(const std::string& name) { disks_.erase(name); }

void World::forget(const std::string& name) {
  node::Membership::Status& status = membership_.nodes[NodeName::parse(name + "@host").value()];
  if (status.admitted()) ++status.admissions;
  islands_changed();
}
void World::readmit(const std::string& name) {
  node::Membership::Status& status = membership_.nodes[NodeName::parse(name + "@host").value()];
  if (!status.admitted()) ++status.admissions;
  islands_changed();
}
void World::learn_of_newer_boot(const std::string& name) {
  node::Membership::Status& status = membership_.nodes[NodeName::parse(name + "@host").value()];
  status.newest = {next_ordinal_++, BootId{next_boot_++ * 7919}};
  islands_changed();
}
void World::islands_changed() {
  for (auto& [name, node] : nodes_) {
    if (node->fabric->service != nullptr) node->fabric->service->island_changed(now_);
  }
}

void World::cut(const std::string& a, const std::string& b) {
  cut_[std::minmax(a, b)] = true;
  rearm();
}
void World::link(const std::string& a, const std::string& b) {
  cut_[std::minmax(a, b)] = false;
  rearm();
}
void World::split(const std::vector<std::vector<std::string>>& groups) {
  std::map<std::string, std::size_t> group;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (const std::string& name : groups[i]) group[name] = i;
  }
  for (const auto& [a, ga] : group) {
    for (const auto& [b, gb] : group) {
      if (a < b) cut_[std::pair(a, b)] = ga != gb;
    }
  }
  rearm();
}
void World::heal() {
  cut_.clear();
  rearm();
}
void World::freeze(const std::string& name, bool frozen) { at(name).frozen = frozen; }
void World::hold_disk(const std::string& name, bool hold) { at(name).hold_disk = hold; }
void World::fail_disk(const std::string& name) {
  at(name).disk_fails = true;
  set_disk(name, DiskState::failed, "the disk failed");
}

void World::set_disk(const std::string& name, DiskState state, const std::string& why) {
  Node& node = at(name);
  node.machine->disk_changed(now_, state, why);
  node.machine->flush(now_);
}

/// A call that cannot be delivered any more is answered all the same.
void World::drop_all(std::deque<Flying>& queue) {
  std::deque<Flying> dropped;
  dropped.swap(queue);
  for (const Flying& each : dropped) {
    if (!each.call.empty() && nodes_.contains(each.from) &&
        at(each.from).fabric->self().boot == each.from_boot) {
      each.reply(now_, bad_input("not connected"));
    }
  }
}

/// Brings every fabric's connections in line with what is cut and who is up.
void World::rearm() {
  bool changed = true;
  for (auto& [name, node] : nodes_) {
    auto& linked = node->fabric->linked_names;
    for (std::size_t i = 0; i < linked.size();) {
      const std::string other = linked[i];
      const auto found = nodes_.find(other);
      const bool same = found != nodes_.end() &&
                        std::ranges::count(found->second->fabric->linked_names, name) != 0;
      if (same && !cut_[std::minmax(name, other)]) {
        ++i;
        continue;
      }
      linked.erase(linked.begin() + static_cast<std::ptrdiff_t>(i));
      node::Member gone;
      gone.name = NodeName::parse(other + "@host").value();
      gone.boot = node->fabric->service != nullptr ? last_boot_[{name, other}] : BootId{};
      drop_all(flying_[{name, other, 0}]);
      drop_all(flying_[{name, other, 1}]);
      drop_all(flying_[{other, name, 0}]);
      drop_all(flying_[{other, name, 1}]);
      if (node->fabric->service != nullptr) {
        node->fabric->service->disconnected(now_, gone, node::DownReason::closed);
      }
      changed = true;
    }
  }
  for (auto& [a, first] : nodes_) {
    for (auto& [b, second] : nodes_) {
      if (a >= b || cut_[{a, b}] || std::ranges::count(first->fabric->linked_names, b) != 0)
        continue;
      first->fabric->linked_names.push_back(b);
      second->fabric->linked_names.push_back(a);
      last_boot_[{a, b}] = second->fabric->self().boot;
      last_boot_[{b, a}] = first->fabric->self().boot;
      if (first->fabric->service) first->fabric->service->connected(now_, second->fabric->self());
      if (second->fabric->service) second->fabric->service->connected(now_, first->fabric->self());
      changed = true;
    }
  }
  if (changed) {
    for (auto& [name, node] : nodes_) {
      if (node->fabric->service != nullptr) node->fabric->service->island_changed(now_);
    }
  }
  flush_all();
}

void World::flush_all() {
  for (auto& [name, node] : nodes_) {
    node->machine->flush(now_);
    node->machine->check_invariants();
  }
}

void World::deliver(const Flying& message) {
  const auto to = nodes_.find(message.to), from = nodes_.find(message.from);
  if (to == nodes_.end() || from == nodes_.end()) return;
  if (to->second->fabric->self().boot != message.to_boot) return;
  const node::Member sender = from->second->fabric->self();
  if (sender.boot != message.from_boot) return;
  if (message.call.empty()) {
    if (to->second->fabric->service == nullptr) return;
    std::string payload = *message.payload;
    if (mangle) mangle(payload);
    to->second->fabric->service->received(now_, sender, payload);
  } else {
    const auto handler = to->second->fabric->handlers.find(message.call);
    Result<std::string> reply = handler == to->second->fabric->handlers.end()
                                    ? Result<std::string>(bad_input("no such call"))
                                    : handler->second(now_, sender, *message.payload);
    EXPECT_LE(reply ? reply->size() : 0, node::Fabric::max_payload);
    message.reply(now_, std::move(reply));
    from->second->machine->flush(now_);
  }
  to->second->machine->flush(now_);
  to->second->machine->check_invariants();
}

std::size_t World::queued(const Way& way) const {
  const auto stuck = clogged.find(way);
  std::size_t bytes = stuck == clogged.end() ? 0 : stuck->second;
  for (const int lane : {0, 1}) {
    const auto queue = flying_.find({way.first, way.second, lane});
    if (queue == flying_.end()) continue;
    for (const Flying& each : queue->second) bytes += each.payload->size();
  }
  return bytes;
}

bool World::step() {
  std::vector<std::deque<Flying>*> queues;
  for (auto& [key, queue] : flying_) {
    const auto from = nodes_.find(std::get<0>(key)), to = nodes_.find(std::get<1>(key));
    const bool stuck = (from != nodes_.end() && from->second->frozen) ||
                       (to != nodes_.end() && to->second->frozen);
    if (!queue.empty() && !stuck) queues.push_back(&queue);
  }
  std::vector<Node*> disks;
  for (auto& [name, node] : nodes_) {
    if (!node->batches.empty() && !node->hold_disk && !node->frozen) disks.push_back(node.get());
  }
  const std::size_t choices = queues.size() + disks.size();
  if (choices == 0) return false;
  const std::size_t choice = random() % choices;
  if (choice < queues.size()) {
    const Flying message = std::move(queues[choice]->front());
    queues[choice]->pop_front();
    deliver(message);
    return true;
  }
  Node& node = *disks[choice - queues.size()];
  const StoreBatch batch = std::move(node.batches.front());
  node.batches.pop_front();
  if (!node.disk_fails) disks_[node.name].apply(batch);
  if (!node.disk_fails) node.machine->stored(now_, batch.table, batch.number);
  node.machine->flush(now_);
  return true;
}

void World::run(Duration time) {
  const Instant end = now_.mono + time;
  std::map<std::string, int> wakes_with_more_to_do;  // in a row
  for (int guard = 0; guard < 1'000'000; ++guard) {
    if (step()) continue;
    Instant next = end;
    for (auto& [name, node] : nodes_) {
      if (!node->frozen) next = std::min(next, node->machine->next_wake());
    }
    next = std::max(next, now_.mono + 1ms);
    if (next > end || now_.mono >= end) break;
    now_.wall += std::chrono::duration_cast<std::chrono::microseconds>(next - now_.mono);
    now_.mono = next;
    for (auto& [name, node] : nodes_) {
      if (node->frozen || node->machine->next_wake() > now_.mono) continue;
      node->machine->wake(now_);
      node->machine->flush(now_);
      const bool more = node->machine->next_wake() <= now_.mono;
      wakes_with_more_to_do[name] = more ? wakes_with_more_to_do[name] + 1 : 0;
      EXPECT_LT(wakes_with_more_to_do[name], 100) << name << " wakes without end";
    }
  }
  if (now_.mono < end) {
    now_.wall += std::chrono::duration_cast<std::chrono::microseconds>(end - now_.mono);
    now_.mono = end;
  }
}

void World::settle() { run(4s); }

Result<Written> World::write(const std::string& node, Write write, WriteOptions options,
                             const std::string& table) {
  std::optional<Result<Written>> result;
  at(node).machine->write(now_, table, std::move(write), options,
                          [&](Now, Result<Written> written) { result = std::move(written); });
  at(node).machine->flush(now_);
  for (int i = 0; !result && i < 300; ++i) run(10ms);
  if (!result) throw std::runtime_error("a write was never answered");
  return *result;
}

Result<Written> World::put(const std::string& node, const std::string& key,
                           const std::string& value, std::optional<Duration> ttl,
                           WriteOptions options) {
  Write one;
  one.puts.push_back({.key = Key(key), .value = value, .ttl = ttl});
  return write(node, std::move(one), options);
}

Result<Written> World::erase(const std::string& node, const std::string& key) {
  Write one;
  one.deletes.push_back(Key(key));
  return write(node, std::move(one));
}

Result<Written> World::touch(const std::string& node, const std::string& key, Duration ttl) {
  std::optional<Result<Written>> result;
  at(node).machine->touch(now_, "session", Key(key), ttl, {},
                          [&](Now, Result<Written> written) { result = std::move(written); });
  at(node).machine->flush(now_);
  for (int i = 0; !result && i < 300; ++i) run(10ms);
  if (!result) throw std::runtime_error("a touch was never answered");
  return *result;
}

std::string World::get(const std::string& node, const std::string& key, const std::string& table) {
  std::optional<std::string> result;
  at(node).machine->get(now_, table, Key(key), [&](Now, Result<std::optional<Table::Found>> found) {
    result = !found ? "!" + found.error().text() : !*found ? "-" : (*found)->value;
  });
  at(node).machine->flush(now_);
  for (int i = 0; !result && i < 300; ++i) run(10ms);
  return result.value_or("never answered");
}

std::string World::local(const std::string& node, const std::string& key,
                         const std::string& table) {
  const auto copy = at(node).machine->table(table);
  return copy->get(Key(key).encoded(), at(node).fabric->cluster_time(now_)).value_or("-");
}

std::string World::content(const std::string& node, const std::string& table) {
  std::string text;
  const auto copy = at(node).machine->table(table);
  const Timestamp time = at(node).fabric->cluster_time(now_);
  copy->scan("", [&](std::string_view key) {
    if (const auto value = copy->get(key, time)) text += std::string(key) + "=" + *value + " ";
    return true;
  });
  return text;
}

std::size_t World::journal(const std::string& node, const std::string& table) {
  std::size_t count = 0;
  at(node).machine->for_each_journal(table, {}, [&](auto, auto) { ++count; });
  return count;
}

TableStatus World::status(const std::string& node, const std::string& table) {
  for (TableStatus& status : at(node).machine->status(now_)) {
    if (status.definition.name == table) return status;
  }
  throw std::runtime_error("no table " + table);
}

std::string World::picture() {
  std::string text;
  for (auto& [name, node] : nodes_) {
    const TableStatus table = status(name);
    text += "\n" + name + ": readiness " + std::to_string(static_cast<int>(table.readiness)) +
            ", " + table.detail + ", path of " + std::to_string(table.path.size()) + ", " +
            std::to_string(table.apart.size()) + " apart, " + content(name);
    for (const CacheEvent& event : node->events) {
      if (event.kind != CacheEvent::Kind::expired) {
        text += "\n    " + std::to_string(static_cast<int>(event.kind)) + " " + event.peer.text() +
                " " + event.detail;
      }
    }
  }
  return text;
}

std::size_t World::origins(const std::string& node) {
  const WorldFabric& fabric = *at(node).fabric;
  wire::TableInfo info;
  const auto reply = fabric.handlers.at("table_info")(now_, fabric.self(), "session");
  info.ParseFromString(reply.value());
  return static_cast<std::size_t>(info.vector_size());
}

std::size_t World::disk_bytes(const std::string& node) {
  std::size_t bytes = 0;
  for (const auto& [table, spaces] : disks_[node].content) {
    for (const auto& [space, rows] : spaces) {
      for (const auto& [key, value] : rows) bytes += key.size() + value.size();
    }
  }
  return bytes;
}

int World::events(const std::string& node, CacheEvent::Kind kind) {
  return static_cast<int>(std::ranges::count(at(node).events, kind, &CacheEvent::kind));
}

std::vector<node::Member> WorldFabric::connected() const {
  std::vector<node::Member> members;
  for (const std::string& name : linked_names) {
    if (world_.nodes_.contains(name)) members.push_back(world_.at(name).fabric->self());
  }
  return members;
}

std::vector<node::Member> WorldFabric::island() const {
  std::vector<const WorldFabric*> found{this};
  for (std::size_t i = 0; i < found.size(); ++i) {
    for (const std::string& name : found[i]->linked_names) {
      const auto node = world_.nodes_.find(name);
      if (node == world_.nodes_.end()) continue;
      const WorldFabric* other = node->second->fabric.get();
      if (std::ranges::count(found, other) == 0) found.push_back(other);
    }
  }
  std::vector<node::Member> members;
  for (const WorldFabric* each : found) members.push_back(each->self_);
  std::ranges::sort(members, {}, &node::Member::seniority);
  return members;
}

bool WorldFabric::linked(BootId a, BootId b) const {
  for (const auto& [name, node] : world_.nodes_) {
    if (node->fabric->self_.boot != a) continue;
    for (const std::string& other : node->fabric->linked_names) {
      const auto found = world_.nodes_.find(other);
      if (found != world_.nodes_.end() && found->second->fabric->self_.boot == b) return true;
    }
  }
  return false;
}

Timestamp WorldFabric::cluster_time(Now now) const {
  const auto skew = world_.skew.find(std::string(self_.name.base()));
  const Duration by = skew == world_.skew.end() ? Duration{} : skew->second;
  return now.wall + std::chrono::duration_cast<std::chrono::microseconds>(by);
}

bool WorldFabric::send(BootId to, node::ServiceId, node::Lane lane, node::Bytes payload) {
  EXPECT_LE(payload->size(), max_payload);
  for (const std::string& name : linked_names) {
    const auto node = world_.nodes_.find(name);
    if (node == world_.nodes_.end() || node->second->fabric->self_.boot != to) continue;
    ++world_.sent_messages;
    world_.sent_bytes += payload->size();
    const World::Way way{self_.name.base(), name};
    world_.sent_on[way] += payload->size();
    const double chance = static_cast<double>(world_.random() % 1'000'000) / 1e6;
    if (chance < world_.drop) return true;
    const std::string& own = way.first;
    world_.flying_[{own, name, static_cast<int>(lane)}].push_back(
        {own, name, self_.boot, to, std::move(payload), {}, {}});
    world_.most_queued = std::max(world_.most_queued, world_.queued(way));
    return true;
  }
  return false;
}

std::size_t WorldFabric::queued(BootId to) const {
  for (const std::string& name : linked_names) {
    const auto node = world_.nodes_.find(name);
    if (node == world_.nodes_.end() || node->second->fabric->self_.boot != to) continue;
    return world_.queued({std::string(self_.name.base()), name});
  }
  return 0;
}

void WorldFabric::call(Now now, BootId to, std::string_view name, std::string request, Duration,
                       Reply reply) {
  for (const std::string& other : linked_names) {
    const auto node = world_.nodes_.find(other);
    if (node == world_.nodes_.end() || node->second->fabric->self_.boot != to) continue;
    const std::string own(self_.name.base());
    world_.flying_[{own, other, 0}].push_back(
        {own, other, self_.boot, to, std::make_shared<const std::string>(std::move(request)),
         std::string(name), std::move(reply)});
    return;
  }
  reply(now, bad_input("not connected"));
}

void WorldFabric::attach(node::ServiceId, node::Service* listener) { service = listener; }

}  // namespace muster::cache::testing
