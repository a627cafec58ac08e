// SPDX-License-Identifier: MIT
// DEL, EXPIRE, SCAN and other commands about keys.
#include <algorithm>
#include <charconv>
#include <utility>

#include "glob.h"
#include "redis_session.h"

namespace muster::app {

void RedisSession::command_del() {
  cache::Write write;
  write.deletes.reserve(arguments().size() - 1);
  for (std::size_t i = 1; i < arguments().size(); ++i) {
    cache::Key key(arguments()[i]);
    // A key that can not exist is not there, and one that is named twice is deleted once.
    if (!key.valid() ||
        (arguments().size() > 2 && std::ranges::find(write.deletes, key) != write.deletes.end() &&
         write.deletes.size() < 64))
      continue;
    write.deletes.push_back(std::move(key));
  }
  if (write.deletes.empty()) return reply().integer(0);
  this->write(std::move(write), Outcome::deleted);
}

void RedisSession::command_exists() {
  if (arguments().size() == 2) return read_one(Shape::exists);
  if (!readable()) return;
  std::vector<std::string_view> keys(arguments().begin() + 1, arguments().end());
  std::vector<std::string> scratch(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = encoded(keys[i], scratch[i]);
  std::int64_t count = 0;
  service_.store.lookup(table_, keys, now_, [&](std::size_t, const RedisStore::Entry* found) {
    count += found ? 1 : 0;
  });
  reply().integer(count);
}

void RedisSession::expire(std::int64_t milliseconds_per_unit, bool absolute,
                          std::string_view name) {
  Duration left{};
  if (!expiry_of({arguments()[2], milliseconds_per_unit, absolute}, name, left)) return;
  bool if_none = false, if_some = false, if_later = false, if_sooner = false;
  for (std::size_t i = 3; i < arguments().size(); ++i) {
    const std::string_view word = arguments()[i];
    if (is_word(word, "NX"))
      if_none = true;
    else if (is_word(word, "XX"))
      if_some = true;
    else if (is_word(word, "GT"))
      if_later = true;
    else if (is_word(word, "LT"))
      if_sooner = true;
    else
      return fail("ERR Unsupported option " + shown(word));
  }
  if (if_none && (if_some || if_later || if_sooner))
    return fail("ERR NX and XX, GT or LT options at the same time are not compatible");
  if (if_later && if_sooner)
    return fail("ERR GT and LT options at the same time are not compatible");
  cache::Key key;
  if (!valid_key(arguments()[1], key)) return;
  const bool looks = if_none || if_some || if_later || if_sooner;
  if (!looks && !service_.store.readable(table_)) {  // A member that has the table looks itself.
    if (left <= Duration::zero()) return remove(key, Outcome::deleted);
    return touch(key, left, Outcome::applied);
  }
  if (!readable()) return;
  const auto found = look(arguments()[1]);
  if (!found) return reply().integer(0);
  const bool expires = found->expiry != cache::never_expires;
  const cache::Expiry wanted = now_ + std::chrono::duration_cast<std::chrono::microseconds>(left);
  if ((if_none && expires) || (if_some && !expires) ||
      (if_later && (!expires || wanted <= found->expiry)) ||
      (if_sooner && expires && wanted >= found->expiry))
    return reply().integer(0);
  if (left <= Duration::zero()) return remove(key, Outcome::deleted);
  touch(key, left, Outcome::applied);
}

void RedisSession::command_persist() {
  cache::Key key;
  if (!valid_key(arguments()[1], key) || !readable()) return;
  const auto found = look(arguments()[1]);
  if (!found || found->expiry == cache::never_expires) return reply().integer(0);
  touch(key, forever, Outcome::applied);
}

/// The cursor is the next bucket to look at: without state here, and whatever is there during the
/// whole scan is returned.
void RedisSession::command_scan() {
  const Arguments& words = arguments();
  std::uint64_t cursor = 0;
  const char* last = words[1].data() + words[1].size();
  const auto [end, error] = std::from_chars(words[1].data(), last, cursor);
  if (error != std::errc() || end != last) return fail("ERR invalid cursor");
  std::string_view pattern = "*";
  std::int64_t count = 10;
  bool strings = true;
  for (std::size_t i = 2; i < words.size(); i += 2) {
    if (i + 1 == words.size()) return fail("ERR syntax error");
    if (is_word(words[i], "MATCH")) {
      pattern = words[i + 1];
    } else if (is_word(words[i], "COUNT")) {
      if (!integer(words[i + 1], count)) return;
      if (count < 1) return fail("ERR syntax error");
    } else if (is_word(words[i], "TYPE")) {
      strings = is_word(words[i + 1], "STRING");
    } else {
      return fail("ERR syntax error");
    }
  }
  if (!readable()) return;
  std::vector<std::string> found;
  std::size_t steps = glob_steps_max;
  std::int64_t seen = 0;
  std::uint64_t bucket = cursor;
  for (; bucket < cache::Table::buckets && seen < count; ++bucket)
    service_.store.scan_bucket(
        table_, static_cast<std::uint32_t>(bucket), [&](std::string_view key) {
          ++seen;
          if (strings && (pattern == "*" || glob_matches(pattern, key, steps)))
            found.emplace_back(key);
        });
  RespReply out = reply();
  out.array(2);
  out.bulk(std::to_string(bucket >= cache::Table::buckets ? 0 : bucket));
  out.array(found.size());
  for (const std::string& key : found) out.bulk(key);
}

void RedisSession::command_keys() {
  if (!readable()) return;
  const std::string_view pattern = arguments()[1];
  std::string keys;
  RespReply each(keys, version_);
  std::size_t count = 0, steps = glob_steps_max;
  for (std::uint32_t bucket = 0; bucket < cache::Table::buckets; ++bucket) {
    service_.store.scan_bucket(table_, bucket, [&](std::string_view key) {
      if (pattern != "*" && !glob_matches(pattern, key, steps)) return;
      each.bulk(key);
      ++count;
    });
    if (keys.size() > reply_max) return fail("ERR the reply would be larger than 64 MiB; use SCAN");
  }
  if (steps == 0) return fail("ERR the pattern takes too many steps; use SCAN");
  RespReply out = reply();
  out.array(count);
  out.out() += keys;
}

}  // namespace muster::app
