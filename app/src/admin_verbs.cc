// SPDX-License-Identifier: MIT
// What the HTTP port can be asked to do.  Statements with co_await hold named values only: the
// compiler of Debian 12 destroys other temporaries twice.
#include <boost/json.hpp>

#include "admin_json.h"
#include "admin_reply.h"
#include "admin_routes.h"
#include "muster/app/config.h"
#include "muster/cache/cache.h"
#include "muster/unsplit/unsplit.h"

// Optimised, g++ 12 takes the allocation function of one coroutine frame for another's.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace muster::app {

namespace json = boost::json;

namespace {

HttpResponse written_reply(const Result<cache::Written>& written) {
  if (!written) {
    const bool unknown = written.error().code == std::errc::timed_out;
    return refused(unknown ? 504 : 409, printable(written.error().text()));
  }
  json::object object;
  object["applied"] = written->applied;
  object["acknowledged"] = written->acknowledged;
  object["everywhere"] = written->everywhere;
  object["deleted"] = written->deleted;
  json::array holders;
  for (const NodeName& name : written->holders) holders.emplace_back(name.text());
  object["holders"] = std::move(holders);
  HttpResponse response = replied(std::move(object));
  if (!written->acknowledged && written->applied) response.status = 504;
  return response;
}

HttpResponse done_reply(const Result<void>& done) {
  if (!done) return refused(409, printable(done.error().text()));
  return replied(json::object{{"ok", true}});
}

}  // namespace

AdminRoutes::Answer AdminRoutes::post(const HttpRequest& request) {
  const std::string_view verb = request.segment(1);
  if (verb == "topologies") co_return co_await topology(request);
  if (verb == "unsplit" && request.segment(2) == "replay") co_return co_await replay(request);
  if (request.path.size() != 2 || !parts_.node) co_return refused(404, "there is nothing here");
  if (verb == "leave") co_return co_await leave();
  if (verb == "fault") co_return co_await fault(request);
  if (verb != "connect" && verb != "disconnect" && verb != "forget")
    co_return refused(404, "there is nothing here");
  auto name = NodeName::parse(field(request, "node"));
  if (!name) co_return refused(400, printable(name.error().text()));
  if (verb == "connect") co_return co_await connect(*name, field(request, "address"));
  if (verb == "disconnect") co_return co_await disconnect(*name);
  co_return co_await forget(*name);
}

AdminRoutes::Answer AdminRoutes::connect(NodeName name, std::string address) {
  Peer peer;
  peer.name = name;
  if (!address.empty()) {
    const auto endpoint = parse_endpoint(address);
    if (!endpoint) co_return refused(400, "address " + printable(endpoint.error().text()));
    peer.address = endpoint->address;
    peer.port = endpoint->port;
  }
  const node::ConnectOutcome outcome = co_await parts_.node->connect(std::move(peer));
  if (!outcome.connected) co_return refused(409, printable(outcome.reason));
  co_return replied(json::object{{"connected", name.text()}});
}

AdminRoutes::Answer AdminRoutes::disconnect(NodeName name) {
  const std::string text = name.text();
  const bool was = co_await parts_.node->disconnect(std::move(name));
  if (!was) co_return refused(409, text + " is not connected");
  co_return replied(json::object{{"disconnected", text}});
}

AdminRoutes::Answer AdminRoutes::forget(NodeName name) {
  const auto done = co_await parts_.node->forget(std::move(name));
  co_return done_reply(done);
}

AdminRoutes::Answer AdminRoutes::leave() {
  // The program ends itself in order, and leaves as it does so; else the node alone leaves.
  if (options_.on_left) {
    options_.on_left();
    co_return replied(json::object{{"leaving", true}});
  }
  const auto done = co_await parts_.node->leave();
  co_return done_reply(done);
}

AdminRoutes::Answer AdminRoutes::fault(const HttpRequest& request) {
  const std::string action = field(request, "action");
  if (action == "heal") {
    co_await parts_.node->heal();
    co_return replied(json::object{{"healed", true}});
  }
  if (action != "cut") co_return refused(400, "action must be cut or heal");
  auto one = NodeName::parse(field(request, "a"));
  auto other = NodeName::parse(field(request, "b"));
  if (!one || !other) co_return refused(400, "a and b must be node names");
  const NodeName self = parts_.node->view()->self.name;
  if (*other == self) std::swap(*one, *other);
  if (*one != self) co_return refused(409, "ask one of the two: this is " + self.text());
  const auto done = co_await parts_.node->cut(std::move(*other));
  co_return done_reply(done);
}

AdminRoutes::Answer AdminRoutes::replay(const HttpRequest& request) {
  if (!parts_.unsplit) co_return refused(409, "unsplit does not run here");
  std::string table = field(request, "table");
  const std::string record = field(request, "record");
  if (table.empty()) table = "session";
  const auto entries = co_await parts_.unsplit->journal(table);
  for (const unsplit::JournalEntry& entry : entries) {
    if (record_id(entry.row) != record) continue;
    const auto done = co_await parts_.unsplit->replay(table, entry.row);
    co_return done_reply(done);
  }
  co_return refused(404, "the journal of table '" + printable(table) + "' has no such record");
}

AdminRoutes::Answer AdminRoutes::keys(const HttpRequest& request) {
  if (!parts_.cache) co_return refused(404, "there are no tables here");
  const std::string table = request.path[2];
  const auto names = parts_.cache->machine().table_names();
  if (std::ranges::find(names, table) == names.end())
    co_return refused(404,
                      "there is no table '" + printable(table) + "'" + did_you_mean(table, names));
  const std::vector<std::string> parts(request.path.begin() + 4, request.path.end());
  if (parts.empty() && request.method == "GET") co_return co_await list_keys(table, request);
  cache::Key key(parts);
  if (parts.empty() || !key.valid())
    co_return refused(400, "a key has 1 to " + std::to_string(cache::Key::max_encoded) + " bytes");
  if (request.method == "GET") co_return co_await get_key(table, std::move(key));
  if (request.method == "DELETE") co_return co_await delete_key(table, std::move(key));
  if (request.method == "PUT" || request.method == "POST")
    co_return co_await put_key(table, std::move(key), request);
  co_return refused(405, "GET, PUT and DELETE are understood");
}

AdminRoutes::Answer AdminRoutes::get_key(std::string table, cache::Key key) {
  const auto found = co_await parts_.cache->get(std::move(table), std::move(key));
  if (!found) co_return refused(503, printable(found.error().text()));
  if (!*found) co_return refused(404, "there is no such key");
  co_return HttpResponse{.type = "application/octet-stream", .body = **found};
}

AdminRoutes::Answer AdminRoutes::put_key(std::string table, cache::Key key,
                                         const HttpRequest& request) {
  if (request.body.size() > cache::max_value_bytes)
    co_return refused(413,
                      "a value has at most " + std::to_string(cache::max_value_bytes) + " bytes");
  std::optional<Duration> ttl;
  if (const std::string text = request.parameter("ttl"); !text.empty()) {
    const auto parsed = parse_duration(text);
    if (!parsed || *parsed <= Duration::zero())
      co_return refused(400, "ttl must be a time like 30m");
    ttl = *parsed;
  }
  const auto written =
      co_await parts_.cache->put(std::move(table), std::move(key), request.body, ttl);
  co_return written_reply(written);
}

AdminRoutes::Answer AdminRoutes::delete_key(std::string table, cache::Key key) {
  cache::WriteOptions options;
  const auto written = co_await parts_.cache->erase(std::move(table), std::move(key), options);
  co_return written_reply(written);
}

/// ?part=user&part=... is not possible with a map: the pattern is one parameter, parts parted by
/// '/', percent-encoded within; `_` is any part, a last `*` any further ones.
AdminRoutes::Answer AdminRoutes::list_keys(const std::string& table, const HttpRequest& request) {
  cache::Pattern pattern;
  pattern.any_tail = true;
  if (const std::string text = request.parameter("pattern"); !text.empty()) {
    HttpRequest parsed;
    if (!parse_target("/" + text, parsed)) co_return refused(400, "bad pattern");
    pattern.any_tail = false;
    for (const std::string& part : parsed.path) {
      pattern.any_tail = part == "*" && &part == &parsed.path.back();
      if (pattern.any_tail) break;
      if (part == "_")
        pattern.parts.emplace_back(std::nullopt);
      else
        pattern.parts.emplace_back(part);
    }
  }
  constexpr std::size_t most = 10'000;
  const auto found = co_await parts_.cache->all(table, std::move(pattern), most);
  if (!found) co_return refused(503, printable(found.error().text()));
  json::array keys;
  for (const auto& [key, value] : *found) {
    json::object entry;
    entry["key"] = key_json(key, shows_keys(request));
    entry["bytes"] = value.size();
    keys.push_back(std::move(entry));
  }
  json::object object;
  object["keys"] = std::move(keys);
  object["complete"] = found->size() < most;
  co_return replied(std::move(object));
}

}  // namespace muster::app
