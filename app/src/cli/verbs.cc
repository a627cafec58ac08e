// SPDX-License-Identifier: MIT
// What a node is asked to do.
#include <boost/json.hpp>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "http_message.h"
#include "node_client.h"

namespace muster::app::cli {

namespace json = boost::json;

namespace {

int post(const Options& options, const std::string& target, const json::object& body,
         const std::string& done) {
  auto client = NodeClient::find(options);
  if (!client) return fail(client.error().text());
  const auto answer = client->json("POST", target, json::serialize(body));
  if (!answer) return fail(answer.error().text());
  std::puts(options.json ? json::serialize(*answer).c_str() : done.c_str());
  return success;
}

std::string key_target(const Options& options, std::size_t parts) {
  std::string target = "/v1/tables/" + percent_encoded(options.table) + "/keys";
  for (std::size_t i = 0; i < parts; ++i) target += "/" + percent_encoded(options.words[i]);
  return target;
}

/// For people: what a write came to.
int tell_written(const Options& options, const NodeReply& reply, const char* what) {
  const bool says_what_became = reply.status == 200 || reply.status == 504;
  if (options.json && says_what_became) std::fputs(reply.body.c_str(), stdout);
  const std::string why = not_acknowledged(reply);
  if (!why.empty()) return fail(why);
  if (!options.json) std::puts(what);
  return success;
}

}  // namespace

int connect(const Options& options) {
  json::object body{{"node", options.words[0]}};
  if (!options.address.empty()) body["address"] = options.address;
  return post(options, "/v1/connect", body, "connected to " + options.words[0]);
}

int disconnect(const Options& options) {
  return post(options, "/v1/disconnect", {{"node", options.words[0]}},
              "disconnected from " + options.words[0]);
}

int forget(const Options& options) {
  return post(options, "/v1/forget", {{"node", options.words[0]}},
              options.words[0] + " is forgotten");
}

int leave(const Options& options) { return post(options, "/v1/leave", {}, "the node leaves"); }

int fault_cut(const Options& options) {
  return post(options, "/v1/fault",
              {{"action", "cut"}, {"a", options.words[0]}, {"b", options.words[1]}},
              "nothing passes between " + options.words[0] + " and " + options.words[1]);
}

int fault_heal(const Options& options) {
  return post(options, "/v1/fault", {{"action", "heal"}}, "all that was cut works again");
}

namespace {

int change_topology(const Options& options, const char* verb, const char* done) {
  const std::string& name = options.words[0];
  return post(options, "/v1/topologies/" + percent_encoded(name) + "/" + verb, {},
              "topology " + name + " " + done);
}

}  // namespace

int topology_add(const Options& options) { return change_topology(options, "add", "runs"); }
int topology_pause(const Options& options) { return change_topology(options, "pause", "rests"); }
int topology_resume(const Options& options) {
  return change_topology(options, "resume", "runs again");
}
int topology_refresh(const Options& options) {
  return change_topology(options, "refresh", "looks around anew");
}
int topology_remove(const Options& options) {
  return change_topology(options, "remove", "is gone; its links stay");
}

int unsplit_replay(const Options& options) {
  return post(options, "/v1/unsplit/replay",
              {{"table", options.table}, {"record", options.words[0]}}, "the value is back");
}

int get_key(const Options& options) {
  auto client = NodeClient::find(options);
  if (!client) return fail(client.error().text());
  const auto reply = client->ask("GET", key_target(options, options.words.size()));
  if (!reply) return fail(reply.error().text());
  if (reply->status != 200) return fail(error_of(*reply));
  if (options.json) {
    const json::object body{{"value", reply->body}};
    std::puts(json::serialize(body).c_str());
  } else {
    std::fwrite(reply->body.data(), 1, reply->body.size(), stdout);
    std::puts("");
  }
  return success;
}

int put_key(const Options& options) {
  auto client = NodeClient::find(options);
  if (!client) return fail(client.error().text());
  std::string value = options.words.back();
  if (value == "-")
    value.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  std::string target = key_target(options, options.words.size() - 1);
  if (!options.ttl.empty()) target += "?ttl=" + percent_encoded(options.ttl);
  const auto reply = client->ask("PUT", target, value);
  if (!reply) return fail(reply.error().text());
  return tell_written(options, *reply, "written");
}

int delete_key(const Options& options) {
  auto client = NodeClient::find(options);
  if (!client) return fail(client.error().text());
  const auto reply = client->ask("DELETE", key_target(options, options.words.size()));
  if (!reply) return fail(reply.error().text());
  const bool there = reply->body.find("\"deleted\":0") == std::string::npos;
  return tell_written(options, *reply, there ? "deleted" : "there was no such key");
}

}  // namespace muster::app::cli
