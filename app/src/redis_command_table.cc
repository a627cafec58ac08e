// SPDX-License-Identifier: MIT
// All commands by name, and COMMAND, which tells clients about them.
#include <algorithm>
#include <array>

#include "redis_session.h"

namespace muster::app {
std::span<const RedisCommand> RedisCommand::all() {
  using S = RedisSession;
  static constexpr std::array<RedisCommand, 36> table{{
      // Sorted by name: find() searches by halves.
      {"AUTH", -2, true, false, 0, 0, 0, &S::command_auth},
      {"CLIENT", -2, false, false, 0, 0, 0, &S::command_client},
      {"COMMAND", -1, false, false, 0, 0, 0, &S::command_command},
      {"DBSIZE", 1, false, false, 0, 0, 0, &S::command_dbsize},
      {"DEL", -2, false, true, 1, -1, 1, &S::command_del},
      {"ECHO", 2, false, false, 0, 0, 0, &S::command_echo},
      {"EXISTS", -2, false, false, 1, -1, 1, &S::command_exists},
      {"EXPIRE", -3, false, true, 1, 1, 1, &S::command_expire},
      {"EXPIREAT", -3, false, true, 1, 1, 1, &S::command_expireat},
      {"GET", 2, false, false, 1, 1, 1, &S::command_get},
      {"GETDEL", 2, false, true, 1, 1, 1, &S::command_getdel},
      {"GETSET", 3, false, true, 1, 1, 1, &S::command_getset},
      {"HELLO", -1, true, false, 0, 0, 0, &S::command_hello},
      {"INFO", -1, false, false, 0, 0, 0, &S::command_info},
      {"KEYS", 2, false, false, 0, 0, 0, &S::command_keys},
      {"MGET", -2, false, false, 1, -1, 1, &S::command_mget},
      {"MSET", -3, false, true, 1, -1, 2, &S::command_mset},
      {"MSETNX", -3, false, true, 1, -1, 2, &S::command_msetnx},
      {"PERSIST", 2, false, true, 1, 1, 1, &S::command_persist},
      {"PEXPIRE", -3, false, true, 1, 1, 1, &S::command_pexpire},
      {"PEXPIREAT", -3, false, true, 1, 1, 1, &S::command_pexpireat},
      {"PING", -1, false, false, 0, 0, 0, &S::command_ping},
      {"PSETEX", 4, false, true, 1, 1, 1, &S::command_psetex},
      {"PTTL", 2, false, false, 1, 1, 1, &S::command_pttl},
      {"QUIT", -1, true, false, 0, 0, 0, &S::command_quit},
      {"RESET", 1, true, false, 0, 0, 0, &S::command_reset},
      {"SCAN", -2, false, false, 0, 0, 0, &S::command_scan},
      {"SELECT", 2, false, false, 0, 0, 0, &S::command_select},
      {"SET", -3, false, true, 1, 1, 1, &S::command_set},
      {"SETEX", 4, false, true, 1, 1, 1, &S::command_setex},
      {"SETNX", 3, false, true, 1, 1, 1, &S::command_setnx},
      {"STRLEN", 2, false, false, 1, 1, 1, &S::command_strlen},
      {"TOUCH", -2, false, false, 1, -1, 1, &S::command_exists},
      {"TTL", 2, false, false, 1, 1, 1, &S::command_ttl},
      {"TYPE", 2, false, false, 1, 1, 1, &S::command_type},
      {"UNLINK", -2, false, true, 1, -1, 1, &S::command_del},
  }};
  return table;
}

const RedisCommand* RedisCommand::find(std::string_view name) {
  constexpr std::size_t longest = 12;
  if (name.size() > longest) return nullptr;
  std::array<char, longest> capitals{};
  std::ranges::transform(name, capitals.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  const std::string_view wanted(capitals.data(), name.size());
  const auto commands = all();
  const auto found = std::ranges::lower_bound(commands, wanted, {}, &RedisCommand::name);
  return found != commands.end() && found->name == wanted ? &*found : nullptr;
}

namespace {

/// One element of COMMAND's reply, in the ten parts of Redis 7.
void describe(RespReply& out, const RedisCommand& command) {
  std::string name(command.name);
  for (char& c : name) c = static_cast<char>(c - 'A' + 'a');
  out.array(10);
  out.bulk(name);
  out.integer(command.arity);
  out.set(1);
  out.simple(command.writes ? "write" : "readonly");
  out.integer(command.first_key);
  out.integer(command.last_key);
  out.integer(command.step);
  out.set(0);    // ACL categories
  out.array(0);  // tips
  out.array(0);  // key specifications
  out.array(0);  // subcommands
}

}  // namespace

void RedisSession::list_commands(const Arguments* names) {
  RespReply out = reply();
  if (!names || names->size() == 2) {
    out.array(RedisCommand::all().size());
    for (const RedisCommand& command : RedisCommand::all()) describe(out, command);
    return;
  }
  out.array(names->size() - 2);
  for (std::size_t i = 2; i < names->size(); ++i) {
    const RedisCommand* command = RedisCommand::find((*names)[i]);
    command ? describe(out, *command) : out.null_array();
  }
}

void RedisSession::command_command() {
  if (arguments().size() == 1) return list_commands(nullptr);
  const std::string_view verb = arguments()[1];
  if (is_word(verb, "COUNT") && arguments().size() == 2)
    return reply().integer(static_cast<std::int64_t>(RedisCommand::all().size()));
  if (is_word(verb, "DOCS")) return reply().map(0);
  if (is_word(verb, "INFO")) return list_commands(&arguments());
  fail("ERR unknown subcommand. Try COMMAND HELP.");
}

}  // namespace muster::app
