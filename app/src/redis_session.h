// SPDX-License-Identifier: MIT
//
// One client of the Redis port: bytes in, replies out in the order of the requests.  All requests
// of a read are started before anything waits: GETs in a row are looked up as one batch, writes
// that wait for replicas wait together.  No socket here; redis_port.cc owns it.
//
// Invariants: a request is answered exactly once, in order; a session that is waiting for writes is
// not destroyed (open() tells).  Bounds: consume() stops taking requests while too much is unsent
// or unanswered.  Threads: the node's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "access.h"
#include "redis_store.h"
#include "reply_queue.h"
#include "resp_parser.h"
#include "resp_reply.h"

namespace muster::app {

/// Shared by all sessions of a port, for INFO and metrics.
struct RedisCounters {
  std::uint64_t connections = 0;  ///< Ever.
  std::uint64_t clients = 0;      ///< Now.
  std::uint64_t rejected = 0;
  std::uint64_t commands = 0;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t protocol_errors = 0;
};

/// What a session stands on; outlives it.
struct RedisService {
  RedisStore& store;
  const Access& access;
  RedisCounters& counters;
  std::string node;  ///< For INFO.
  std::uint16_t port = 0;
  Instant started{};
};

struct RedisCommand;

class RedisSession {
 public:
  static constexpr std::size_t output_max = 1
                                            << 20;  ///< Unsent replies beyond it: no new requests.
  static constexpr std::size_t open_max = 1024;     ///< Unanswered requests beyond it: likewise.
  static constexpr std::size_t reply_max = std::size_t{64} << 20;  ///< Of one command.
  static constexpr std::size_t batch_min = 4, batch_max = 32;      ///< GETs looked up at once.

  /// `wake` is called when a reply became ready outside consume().
  RedisSession(RedisService& service, std::uint64_t id, std::function<void()> wake);

  /// Takes complete requests from the front; returns the bytes used.
  std::size_t consume(std::string_view bytes);
  /// consume() stopped for want of room, not of bytes.
  [[nodiscard]] bool held_back() const {
    return replies_.ready().size() > output_max || replies_.open() >= open_max;
  }
  [[nodiscard]] bool closing() const { return closing_; }  ///< Close once all is sent.
  [[nodiscard]] bool authenticated() const { return authenticated_; }
  [[nodiscard]] std::size_t wanted() const { return parser_.wanted(); }
  [[nodiscard]] ReplyQueue& replies() { return replies_; }
  [[nodiscard]] std::size_t open() const { return replies_.open(); }

 private:
  friend struct RedisCommand;
  using Arguments = std::vector<std::string_view>;
  using Ticket = ReplyQueue::Ticket;

  void run(std::string_view request);
  bool take_get(std::string_view request);
  void flush_gets();
  void unknown_command();
  void wait_for_get(std::string_view raw);

  [[nodiscard]] RespReply reply() { return {replies_.tail(), version_}; }
  void fail(std::string_view error) { reply().error(error); }
  void fail_arity(std::string_view command);
  void fulfil(Ticket ticket, std::string_view text);
  /// Makes the reply of a ticket by `fill(RespReply&)`.
  template <class Fill>
  void answer(Ticket ticket, Fill fill) {
    scratch_.clear();
    RespReply out(scratch_, version_);
    fill(out);
    fulfil(ticket, scratch_);
  }

  // Arguments.
  [[nodiscard]] const Arguments& arguments() const { return parser_.arguments(); }
  bool integer(std::string_view text, std::int64_t& value);  ///< Replies itself when false.
  bool valid_key(std::string_view raw, cache::Key& key);     ///< Likewise.
  /// Likewise, where the table's local copy must be read and may not.
  bool readable();
  /// The encoded form: the text itself, or within `scratch`.
  [[nodiscard]] static std::string_view encoded(std::string_view raw, std::string& scratch);
  /// In `name` command: `text` in `unit`s from now, or, absolute, since 1970; false: it replied.
  struct ExpireArgument {
    std::string_view text;
    std::int64_t milliseconds_per_unit = 1000;
    bool absolute = false;
  };
  bool expiry_of(const ExpireArgument& argument, std::string_view name, Duration& left);

  // Reads of one entry: at once, or by a member when the local copy may not be read.
  enum class Shape : std::uint8_t { value, ttl, pttl, exists, type, length };
  void read_one(Shape shape);
  void answer_read(RespReply& out, Shape shape, const RedisStore::Entry* found) const;
  [[nodiscard]] std::optional<cache::Table::Found> look(std::string_view raw);

  // Writes: the reply once it is acknowledged.
  enum class Outcome : std::uint8_t { ok, ok_or_null, applied, deleted, prepared };
  void write(cache::Write write, Outcome outcome, std::string prepared = {});
  void touch(const cache::Key& key, std::optional<Duration> ttl, Outcome outcome,
             std::string prepared = {});
  void remove(const cache::Key& key, Outcome outcome, std::string prepared = {});
  void written(Ticket ticket, Outcome outcome, std::string_view prepared,
               const Result<cache::Written>& result);

  // redis_server_commands.cc
  void command_ping();
  void command_echo();
  void command_hello();
  void command_auth();
  void command_select();
  void command_quit();
  void command_reset();
  void command_client();
  void command_command();
  void command_info();
  void command_dbsize();
  bool log_in(std::string_view user, std::string_view password);
  void list_commands(const Arguments* names);

  // redis_string_commands.cc
  struct SetOptions;
  bool read_set_options(SetOptions& options);
  void command_get();
  void command_set();
  void set_with(std::int64_t milliseconds_per_unit, std::string_view name);
  void command_setex() { set_with(1000, "setex"); }
  void command_psetex() { set_with(1, "psetex"); }
  void command_setnx();
  void command_getset();
  void command_getdel();
  void command_mget();
  void put_many(cache::Write::If condition, Outcome outcome);
  void command_mset() { put_many(cache::Write::If::always, Outcome::ok); }
  void command_msetnx() { put_many(cache::Write::If::absent, Outcome::applied); }
  void command_strlen() { read_one(Shape::length); }

  // redis_key_commands.cc
  void command_del();
  void command_exists();
  void command_ttl() { read_one(Shape::ttl); }
  void command_pttl() { read_one(Shape::pttl); }
  void command_type() { read_one(Shape::type); }
  void expire(std::int64_t milliseconds_per_unit, bool absolute, std::string_view name);
  void command_expire() { expire(1000, false, "expire"); }
  void command_pexpire() { expire(1, false, "pexpire"); }
  void command_expireat() { expire(1000, true, "expireat"); }
  void command_pexpireat() { expire(1, true, "pexpireat"); }
  void command_persist();
  void command_scan();
  void command_keys();

  RedisService& service_;
  const std::uint64_t id_;
  const std::function<void()> wake_;
  RespParser parser_;
  ReplyQueue replies_;
  RespVersion version_ = 2;
  std::size_t table_ = 0;
  const RedisCommand* latest_ = nullptr;  // As a rule the next one is the same.
  std::string client_name_;
  bool authenticated_ = false;
  bool closing_ = false;
  bool consuming_ = false;
  bool batching_ = false;               // A GET may go into the batch.
  Timestamp now_{};                     // Of this consume().
  std::vector<std::string_view> gets_;  // Keys of GETs that are not looked up yet.
  std::size_t batch_ = batch_min;       // How many of them are looked up at once.
  std::string scratch_;
};

/// One row of the command table.
struct RedisCommand {
  std::string_view name;  ///< In capitals.
  int arity = 0;          ///< With the name; negative: at least.
  bool before_auth = false;
  bool writes = false;
  int first_key = 0, last_key = 0, step = 0;  ///< As COMMAND tells them.
  void (RedisSession::*run)() = nullptr;

  /// By any spelling of its name; nullptr: unknown.
  static const RedisCommand* find(std::string_view name);
  static std::span<const RedisCommand> all();
};

/// User bytes for an error line, at most `most`: what could end it or confuse a terminal is
/// replaced.
[[nodiscard]] std::string shown(std::string_view bytes, std::size_t most = 128);

/// "GET" == "get": `word` against a literal in capitals.
[[nodiscard]] bool is_word(std::string_view word, std::string_view capitals);

}  // namespace muster::app
