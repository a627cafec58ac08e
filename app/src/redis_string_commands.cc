// SPDX-License-Identifier: MIT
// GET, SET and their kin.
#include <utility>

#include "redis_session.h"

namespace muster::app {

void RedisSession::command_get() { read_one(Shape::value); }

struct RedisSession::SetOptions {
  cache::Write::If condition = cache::Write::If::always;
  bool get = false;
  bool keep_expiry = false;
  bool has_ttl = false;
  Duration ttl{};
};

bool RedisSession::read_set_options(SetOptions& options) {
  using If = cache::Write::If;
  const Arguments& words = arguments();
  for (std::size_t i = 3; i < words.size(); ++i) {
    const std::string_view word = words[i];
    const bool free_expiry = !options.has_ttl && !options.keep_expiry;
    const bool in_seconds = is_word(word, "EX") || is_word(word, "EXAT");
    const bool absolute = is_word(word, "EXAT") || is_word(word, "PXAT");
    if (is_word(word, "NX") && options.condition != If::present) {
      options.condition = If::absent;
    } else if (is_word(word, "XX") && options.condition != If::absent) {
      options.condition = If::present;
    } else if (is_word(word, "GET")) {
      options.get = true;
    } else if (is_word(word, "KEEPTTL") && !options.has_ttl) {
      options.keep_expiry = true;
    } else if ((in_seconds || absolute || is_word(word, "PX")) && free_expiry &&
               i + 1 < words.size()) {
      // Whether the number is right is said after the syntax, as Redis does.
      options.has_ttl = true;
      ++i;
    } else {
      fail("ERR syntax error");
      return false;
    }
  }
  for (std::size_t i = 3; options.has_ttl && i + 1 < words.size(); ++i) {
    const bool in_seconds = is_word(words[i], "EX") || is_word(words[i], "EXAT");
    const bool absolute = is_word(words[i], "EXAT") || is_word(words[i], "PXAT");
    if (!in_seconds && !absolute && !is_word(words[i], "PX")) continue;
    std::int64_t count = 0;
    if (!integer(words[i + 1], count)) return false;
    if (count <= 0) {
      fail("ERR invalid expire time in 'set' command");
      return false;
    }
    return expiry_of({words[i + 1], in_seconds ? 1000 : 1, absolute}, "set", options.ttl);
  }
  return true;
}

void RedisSession::command_set() {
  SetOptions options;
  if (arguments().size() > 3 && !read_set_options(options)) return;
  cache::Key key;
  if (!valid_key(arguments()[1], key)) return;
  if (options.get && !readable()) return;

  std::string old;
  if (options.get) {
    const auto found = look(arguments()[1]);
    RespReply out(old, version_);
    found ? out.bulk(found->value) : out.null();
  }
  if (options.has_ttl && options.ttl <= Duration::zero()) {  // An EXAT that has passed.
    if (options.condition != cache::Write::If::always) {
      if (!readable()) return;
      const bool present = look(arguments()[1]).has_value();
      if (present != (options.condition == cache::Write::If::present)) {
        options.get ? void(reply().out() += old) : reply().null();
        return;
      }
    }
    if (!options.get) return remove(key, Outcome::ok);
    return remove(key, Outcome::prepared, std::move(old));
  }
  cache::Write write;
  write.condition = options.condition;
  cache::Put& put = write.puts.emplace_back();
  put.key = std::move(key);
  put.value = arguments()[2];
  put.keep_expiry = options.keep_expiry;
  if (options.has_ttl) put.ttl = options.ttl;
  if (options.get) return this->write(std::move(write), Outcome::prepared, std::move(old));
  this->write(std::move(write),
              options.condition == cache::Write::If::always ? Outcome::ok : Outcome::ok_or_null);
}

void RedisSession::set_with(std::int64_t milliseconds_per_unit, std::string_view name) {
  Duration ttl{};
  if (!expiry_of({arguments()[2], milliseconds_per_unit, false}, name, ttl)) return;
  if (ttl <= Duration::zero())
    return fail("ERR invalid expire time in '" + std::string(name) + "' command");
  cache::Key key;
  if (!valid_key(arguments()[1], key)) return;
  cache::Write write;
  write.puts.push_back({.key = std::move(key), .value = std::string(arguments()[3]), .ttl = ttl});
  this->write(std::move(write), Outcome::ok);
}

void RedisSession::command_setnx() {
  cache::Key key;
  if (!valid_key(arguments()[1], key)) return;
  cache::Write write;
  write.condition = cache::Write::If::absent;
  write.puts.push_back({.key = std::move(key), .value = std::string(arguments()[2]), .ttl = {}});
  this->write(std::move(write), Outcome::applied);
}

void RedisSession::command_getset() {
  cache::Key key;
  if (!valid_key(arguments()[1], key) || !readable()) return;
  std::string old;
  RespReply out(old, version_);
  const auto found = look(arguments()[1]);
  found ? out.bulk(found->value) : out.null();
  cache::Write write;
  write.puts.push_back({.key = std::move(key), .value = std::string(arguments()[2]), .ttl = {}});
  this->write(std::move(write), Outcome::prepared, std::move(old));
}

void RedisSession::command_getdel() {
  cache::Key key;
  if (!valid_key(arguments()[1], key) || !readable()) return;
  const auto found = look(arguments()[1]);
  if (!found) return reply().null();
  std::string old;
  RespReply(old, version_).bulk(found->value);
  remove(key, Outcome::prepared, std::move(old));
}

void RedisSession::command_mget() {
  if (!readable()) return;
  const std::size_t count = arguments().size() - 1;
  const std::size_t start = replies_.tail().size();
  RespReply out = reply();
  out.array(count);
  std::vector<std::string_view> keys(arguments().begin() + 1, arguments().end());
  std::vector<std::string> scratch(count);
  for (std::size_t i = 0; i < count; ++i) keys[i] = encoded(keys[i], scratch[i]);
  bool fits = true;
  service_.store.lookup(table_, keys, now_, [&](std::size_t, const RedisStore::Entry* found) {
    fits = fits && (!found || out.out().size() - start + found->value.size() < reply_max);
    if (!fits) return;
    found ? out.bulk(found->value) : out.null();
    ++(found ? service_.counters.hits : service_.counters.misses);
  });
  if (fits) return;
  out.out().resize(start);
  fail("ERR the reply would be larger than 64 MiB; ask for fewer keys");
}

void RedisSession::put_many(cache::Write::If condition, Outcome outcome) {
  const Arguments& words = arguments();
  if (words.size() % 2 == 0)
    return fail_arity(condition == cache::Write::If::always ? "MSET" : "MSETNX");
  cache::Write write;
  write.condition = condition;
  write.puts.reserve(words.size() / 2);
  for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
    cache::Put& put = write.puts.emplace_back();
    if (!valid_key(words[i], put.key)) return;
    put.value = words[i + 1];
  }
  this->write(std::move(write), outcome);
}

}  // namespace muster::app
