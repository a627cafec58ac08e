// SPDX-License-Identifier: MIT
#include "hosted_nodes.h"

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <sstream>

#include "cluster.h"

namespace muster::testing {

namespace {

constexpr std::size_t keys_at_once = 200;

/// Calls `take` with the keys, some at a time.
template <class Take>
void in_pieces(const std::vector<std::string>& keys, Take take) {
  for (std::size_t from = 0; from < keys.size(); from += keys_at_once) {
    const auto first = keys.begin() + static_cast<std::ptrdiff_t>(from);
    const auto piece = std::min(keys_at_once, keys.size() - from);
    take(std::vector<std::string>(first, first + static_cast<std::ptrdiff_t>(piece)));
  }
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

HostedNodes::HostedNodes(const Switch& hosts) : hosts_(hosts), processes_(hosts.size()) {
  std::string list;
  for (std::size_t node = 0; node < size(); ++node) list += (node == 0 ? "" : ", ") + name(node);
  std::ofstream(file("muster.yaml"))
      << "topologies:\n  static: {strategy: epmd, config: {hosts: [" << list << "]}}\n"
      << "tables: {session: {ttl: 1h, on_split: merge}}\n";
  for (std::size_t node = 0; node < size(); ++node) start(node);
}

std::string HostedNodes::name(std::size_t node) {
  return std::string(1, static_cast<char>('a' + node)) + "@" + Switch::address(node);
}

std::string HostedNodes::file(const std::string& base) const {
  return (directory_.path() / base).string();
}

void HostedNodes::start(std::size_t node) {
  if (processes_[node] && processes_[node]->running()) return;
  auto command = hosts_.host(node).enter();
  command.insert(command.end(),
                 {muster_program(), "start", file("muster.yaml"), "--name", name(node), "--port",
                  std::to_string(http_port), "--resp-port", std::to_string(redis_port), "--dir",
                  file(name(node)), "--cookie-file", file("cookie")});
  processes_[node] = std::make_unique<Process>(
      command, Environment{{"HOME", directory_.path().string()}}, file(name(node) + ".log"));
}

std::unique_ptr<RedisClient> HostedNodes::redis(std::size_t node) const {
  const Inside inside(hosts_.host(node));
  return std::make_unique<RedisClient>(redis_port);
}

boost::json::value HostedNodes::get(std::size_t node, const std::string& path) const {
  const Inside inside(hosts_.host(node));
  boost::system::error_code error;
  auto answer = boost::json::parse(http_get(http_port, path).body, error);
  return error ? boost::json::value() : answer;
}

std::string HostedNodes::state(std::size_t node) const {
  const auto tables = get(node, "/v1/tables");
  const auto status = get(node, "/v1/status");
  const auto nodes = get(node, "/v1/nodes");
  if (!tables.is_object() || !status.is_object() || !nodes.is_object()) return "";
  std::size_t linked = 0;
  for (const auto& each : nodes.at("nodes").as_array())
    linked += each.at("connected").as_bool() ? 1 : 0;
  std::string text =
      std::to_string(linked) + " linked, oldest " + std::string(status.at("oldest").as_string());
  for (const auto& each : tables.at("tables").as_array()) {
    text += ", " + std::string(each.at("readiness").as_string());
    if (const auto* digest = each.as_object().if_contains("digest"))
      text += " " + std::string(digest->as_string());
  }
  return text;
}

bool HostedNodes::converged() const {
  const std::string first = state(0);
  if (!first.starts_with(std::to_string(size() - 1) + " linked") ||
      first.find(", ready") == std::string::npos)
    return false;
  for (std::size_t node = 1; node < size(); ++node)
    if (state(node) != first) return false;
  return true;
}

std::string HostedNodes::states() const {
  std::string text;
  for (std::size_t node = 0; node < size(); ++node) text += "\n" + name(node) + ": " + state(node);
  return text;
}

std::size_t HostedNodes::resident_mebibytes(std::size_t node) const {
  std::ifstream status("/proc/" + std::to_string(processes_[node]->id()) + "/status");
  for (std::string word; status >> word;) {
    std::size_t kibibytes = 0;
    if (word == "VmRSS:" && status >> kibibytes) return kibibytes / 1024;
  }
  return 0;
}

std::string HostedNodes::logs() const {
  std::string text;
  for (std::size_t node = 0; node < size(); ++node)
    text += "---- end of the log of " + name(node) + '\n' +
            run({"tail", "-n", "60", file(name(node) + ".log")}).output;
  return text;
}

Contents contents_of(RedisClient& redis) {
  Contents contents;
  in_pieces(lines_of(redis.ask({"KEYS", "*"})), [&](std::vector<std::string> keys) {
    std::vector<std::string> command{"MGET"};
    command.insert(command.end(), keys.begin(), keys.end());
    std::vector<std::string> values = lines_of(redis.ask(command));
    values.resize(keys.size(), "!no answer");
    for (std::size_t i = 0; i < keys.size(); ++i) contents[keys[i]] = values[i];
  });
  return contents;
}

std::map<std::string, std::int64_t> time_left(RedisClient& redis,
                                              const std::vector<std::string>& keys) {
  std::map<std::string, std::int64_t> left;
  in_pieces(keys, [&](const std::vector<std::string>& piece) {
    for (const auto& key : piece) redis.send({"PTTL", key});
    for (const auto& key : piece) {
      const std::string reply = redis.read_reply();
      left[key] = reply.starts_with(':') ? std::stoll(reply.substr(1)) : -3;
    }
  });
  return left;
}

}  // namespace muster::testing
