// SPDX-License-Identifier: MIT
// Commands about the connection and the server.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "redis_session.h"

namespace muster::app {
namespace {

// What we are compatible with: clients choose features by it.
constexpr std::string_view compatible_version = "7.0.15";

bool is_client_name(std::string_view name) {
  return name.size() <= 256 &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

void RedisSession::command_ping() {
  if (arguments().size() > 2) return fail_arity("PING");
  arguments().size() == 2 ? reply().bulk(arguments()[1]) : reply().simple("PONG");
}

void RedisSession::command_echo() { reply().bulk(arguments()[1]); }

void RedisSession::command_quit() {
  reply().ok();
  closing_ = true;
}

void RedisSession::command_reset() {
  version_ = 2;
  table_ = 0;
  client_name_.clear();
  authenticated_ = !service_.access.has_password();
  reply().simple("RESET");
}

bool RedisSession::log_in(std::string_view user, std::string_view password) {
  // As in Redis, the default user without a password takes any.
  authenticated_ =
      user == "default" && (!service_.access.has_password() || service_.access.matches(password));
  if (!authenticated_) {
    ++service_.counters.rejected;
    fail("WRONGPASS invalid username-password pair or user is disabled.");
  }
  return authenticated_;
}

void RedisSession::command_auth() {
  if (arguments().size() > 3) return fail("ERR syntax error");
  if (!service_.access.has_password() && arguments().size() == 2)
    return fail(
        "ERR AUTH <password> called without any password configured for the default user. Are you "
        "sure your configuration is correct?");
  const bool has_user = arguments().size() == 3;
  if (log_in(has_user ? arguments()[1] : "default", arguments().back())) reply().ok();
}

void RedisSession::command_hello() {
  const Arguments& words = arguments();
  std::int64_t version = version_;
  if (words.size() > 1) {
    const auto [end, error] =
        std::from_chars(words[1].data(), words[1].data() + words[1].size(), version);
    if (error != std::errc() || end != words[1].data() + words[1].size())
      return fail("ERR Protocol version is not an integer or out of range");
    if (version != 2 && version != 3) return fail("NOPROTO unsupported protocol version");
  }
  for (std::size_t i = 2; i < words.size(); ++i) {
    if (is_word(words[i], "AUTH") && i + 2 < words.size()) {
      if (!log_in(words[i + 1], words[i + 2])) return;
      i += 2;
    } else if (is_word(words[i], "SETNAME") && i + 1 < words.size()) {
      if (!is_client_name(words[i + 1]))
        return fail("ERR Client names cannot contain spaces, newlines or special characters.");
      client_name_ = words[++i];
    } else {
      return fail("ERR Syntax error in HELLO option '" + shown(words[i]) + "'");
    }
  }
  if (!authenticated_)
    return fail(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
        "<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
        "RESP protocol version at the same time");
  version_ = static_cast<RespVersion>(version);
  RespReply out = reply();
  out.map(7);
  out.bulk("server");
  out.bulk("muster");
  out.bulk("version");
  out.bulk(compatible_version);
  out.bulk("proto");
  out.integer(version_);
  out.bulk("id");
  out.integer(static_cast<std::int64_t>(id_));
  out.bulk("mode");
  out.bulk("standalone");
  out.bulk("role");
  out.bulk("master");
  out.bulk("modules");
  out.array(0);
}

void RedisSession::command_select() {
  std::int64_t number = 0;
  if (!integer(arguments()[1], number)) return;
  if (number < 0 || number >= static_cast<std::int64_t>(service_.store.tables()))
    return fail("ERR DB index is out of range");
  table_ = static_cast<std::size_t>(number);
  reply().ok();
}

void RedisSession::command_client() {
  const std::string_view verb = arguments()[1];
  const std::size_t count = arguments().size();
  if (is_word(verb, "ID") && count == 2) return reply().integer(static_cast<std::int64_t>(id_));
  if (is_word(verb, "GETNAME") && count == 2)
    return client_name_.empty() ? reply().null() : reply().bulk(client_name_);
  if (is_word(verb, "SETINFO") && count == 4) return reply().ok();
  if (is_word(verb, "SETNAME") && count == 3) {
    if (!is_client_name(arguments()[2]))
      return fail("ERR Client names cannot contain spaces, newlines or special characters.");
    client_name_ = arguments()[2];
    return reply().ok();
  }
  fail("ERR unknown subcommand or wrong number of arguments. Try CLIENT HELP.");
}

void RedisSession::command_dbsize() {
  if (!readable()) return;
  reply().integer(static_cast<std::int64_t>(service_.store.count(table_)));
}

void RedisSession::command_info() {
  const auto wanted = [&](std::string_view section) {
    return arguments().size() == 1 ||
           std::ranges::any_of(arguments().begin() + 1, arguments().end(), [&](auto word) {
             return is_word(word, section) || is_word(word, "ALL") || is_word(word, "DEFAULT") ||
                    is_word(word, "EVERYTHING");
           });
  };
  std::string text;
  const auto line = [&](std::string_view name, const auto& value) {
    text += fmt::format("{}:{}\r\n", name, value);
  };
  const RedisCounters& counters = service_.counters;
  const auto up = std::chrono::steady_clock::now() - service_.started;
  const auto start = [&](std::string_view title) {
    text += fmt::format("{}# {}\r\n", text.empty() ? "" : "\r\n", title);
  };
  if (wanted("SERVER")) {
    start("Server");
    line("redis_version", compatible_version);
    line("redis_mode", "standalone");
    line("muster_version", MUSTER_VERSION);
    line("muster_node", service_.node);
    line("tcp_port", service_.port);
    line("uptime_in_seconds", std::chrono::duration_cast<std::chrono::seconds>(up).count());
  }
  if (wanted("CLIENTS")) {
    start("Clients");
    line("connected_clients", counters.clients);
  }
  if (wanted("STATS")) {
    start("Stats");
    line("total_connections_received", counters.connections);
    line("total_commands_processed", counters.commands);
    line("keyspace_hits", counters.hits);
    line("keyspace_misses", counters.misses);
  }
  if (wanted("REPLICATION")) {
    start("Replication");
    line("role", "master");
    line("connected_slaves", 0);
  }
  if (wanted("KEYSPACE")) {
    start("Keyspace");
    for (std::size_t i = 0; i < service_.store.tables(); ++i)
      if (const std::size_t keys = service_.store.count(i); keys > 0)
        text += fmt::format("db{}:keys={},expires=0,avg_ttl=0\r\n", i, keys);
  }
  reply().verbatim(text);
}

}  // namespace muster::app
