// SPDX-License-Identifier: MIT
#include "cache_store.h"

#include "muster/cache/cache.h"
#include "muster/discovery/clock.h"
#include "muster/node/node.h"

namespace muster::app {

std::string CacheStore::node_name() const { return parts_.node->view()->self.name.text(); }

std::size_t CacheStore::tables() const {
  const auto names = parts_.cache->machine().table_names();
  for (std::size_t i = places_.size(); i < names.size(); ++i)
    places_.push_back({names[i], parts_.cache->machine().table(names[i])});
  return places_.size();
}

const CacheStore::Place* CacheStore::place(std::size_t table) const {
  if (table >= places_.size()) (void)tables();
  return table < places_.size() ? &places_[table] : nullptr;
}

std::string_view CacheStore::name(std::size_t table) const {
  const Place* found = place(table);
  return found ? std::string_view(found->name) : std::string_view();
}

Timestamp CacheStore::time() const {
  now_ = read_clock();
  parts_.cache->machine().look(now_);
  return parts_.node->fabric().cluster_time(now_);
}

bool CacheStore::readable(std::size_t table) const {
  const Place* found = place(table);
  return found && found->copy && parts_.cache->machine().ready(found->name);
}

std::string CacheStore::why_not(std::size_t table) const {
  const Place* found = place(table);
  if (!found) return "there is no such table";
  for (const cache::TableStatus& status : parts_.cache->machine().status(read_clock()))
    if (status.definition.name == found->name)
      return "table '" + found->name + "' is not ready" +
             (status.detail.empty() ? "" : ": " + status.detail);
  return "table '" + found->name + "' is not ready";
}

void CacheStore::lookup(std::size_t table, std::span<const std::string_view> keys, Timestamp at,
                        const Visit& visit) {
  std::size_t next = 0;  // get_many() tells of those that are there; the others missed.
  place(table)->copy->get_many(keys, at, [&](std::size_t index, const cache::Table::View& found) {
    for (; next < index; ++next) visit(next, nullptr);
    const Entry entry{found.value, found.expiry};
    visit(next++, &entry);
  });
  for (; next < keys.size(); ++next) visit(next, nullptr);
}

void CacheStore::fetch(std::size_t table, const cache::Key& key, FetchDone done) {
  const Place* found = place(table);
  if (!found) return done(read_clock(), bad_input("there is no such table"));
  parts_.cache->machine().get(now_, found->name, key, std::move(done));
}

void CacheStore::write(std::size_t table, cache::Write write, WriteDone done) {
  const Place* found = place(table);
  if (!found) return done(read_clock(), bad_input("there is no such table"));
  parts_.cache->machine().write(now_, found->name, std::move(write), {}, std::move(done));
}

void CacheStore::touch(std::size_t table, const cache::Key& key, std::optional<Duration> ttl,
                       WriteDone done) {
  const Place* found = place(table);
  if (!found) return done(read_clock(), bad_input("there is no such table"));
  parts_.cache->machine().touch(now_, found->name, key, ttl, {}, std::move(done));
}

std::size_t CacheStore::count(std::size_t table) const {
  const Place* found = place(table);
  return found && found->copy ? found->copy->count() : 0;
}

void CacheStore::scan_bucket(std::size_t table, std::uint32_t bucket, const Keys& visit) const {
  const Place* found = place(table);
  if (!found || !found->copy) return;
  const Timestamp at = time();
  found->copy->scan_bucket(bucket, [&](std::string_view key) {
    if (found->copy->visible(key, at)) visit(key);
    return true;
  });
}

}  // namespace muster::app
