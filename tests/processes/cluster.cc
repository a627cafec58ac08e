// SPDX-License-Identifier: MIT
#include "cluster.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <iostream>

namespace muster::testing {

using namespace std::chrono_literals;

TestNode::TestNode(Cluster& cluster, std::string base)
    : cookie_file((cluster.directory() / "cookie").string()),
      data(cluster.directory() / base),
      cluster_(cluster),
      base_(std::move(base)),
      port_(free_ports(2)) {}

void TestNode::start(const std::vector<std::string>& more, const Environment& also) {
  std::vector<std::string> command{muster_program(),
                                   "start",
                                   cluster_.configuration().string(),
                                   "--name",
                                   name(),
                                   "--port",
                                   std::to_string(http_port()),
                                   "--resp-port",
                                   std::to_string(redis_port()),
                                   "--dir",
                                   data.string(),
                                   "--cookie-file",
                                   cookie_file};
  command.insert(command.end(), more.begin(), more.end());
  process_.reset();
  Environment environment = cluster_.environment();
  environment.insert(also.begin(), also.end());
  process_ =
      std::make_unique<Process>(command, environment, cluster_.directory() / (base_ + ".log"));
}

void TestNode::start_ready(const std::vector<std::string>& more, const Environment& also) {
  start(more, also);
  EXPECT_TRUE(eventually(20s, [this] { return ready() || !process_->running(); }));
  EXPECT_TRUE(process_->running()) << name() << " has ended";
}

bool TestNode::ready() const { return http_get(port_, "/readyz").status == 200; }

Finished TestNode::command(std::vector<std::string> words) const {
  words.insert(words.begin(), muster_program());
  words.insert(words.end(), {"--port", std::to_string(port_)});
  return run(words, cluster_.environment());
}

std::string TestNode::redis(const std::vector<std::string>& words) const {
  return RedisClient(redis_port()).ask(words);
}

bool TestNode::sees(const TestNode& other) const {
  boost::system::error_code error;
  const auto answer = boost::json::parse(http_get(port_, "/v1/nodes").body, error);
  if (error) return false;
  for (const auto& node : answer.at("nodes").as_array()) {
    if (node.at("name").as_string() == other.name()) return node.at("connected").as_bool();
  }
  return false;
}

std::string TestNode::oldest() const {
  boost::system::error_code error;
  const auto answer = boost::json::parse(http_get(port_, "/v1/status").body, error);
  return error ? "" : std::string(answer.at("oldest").as_string());
}

boost::json::object TestNode::table(const std::string& name) const {
  boost::system::error_code error;
  const auto answer = boost::json::parse(http_get(port_, "/v1/tables").body, error);
  if (error) return {};
  for (const auto& each : answer.at("tables").as_array()) {
    if (each.at("name").as_string() == name) return each.as_object();
  }
  return {};
}

std::string TestNode::replicas(const std::string& table_name) const {
  const auto said = table(table_name);
  std::vector<std::string> names;
  if (const auto* list = said.if_contains("replicas")) {
    for (const auto& each : list->as_array()) names.emplace_back(each.as_string());
  }
  std::sort(names.begin(), names.end());
  std::string all;
  for (const auto& each : names) all += (all.empty() ? "" : " ") + each;
  return all;
}

std::string TestNode::log() const { return process_ ? process_->output() : std::string(); }

std::size_t TestNode::count_in_log(const std::string& words) const {
  const std::string text = log();
  std::size_t count = 0;
  for (auto at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++count;
  return count;
}

Cluster::Cluster() : mapper_port_(free_port()) { configure_static({"a", "b", "c"}); }

void Cluster::configure(const std::string& yaml) { std::ofstream(configuration()) << yaml; }

void Cluster::configure_static(const std::vector<std::string>& bases, const std::string& session) {
  std::string hosts;
  for (const auto& base : bases) hosts += (hosts.empty() ? "" : ", ") + base + "@127.0.0.1";
  configure("topologies:\n  static: {strategy: epmd, config: {hosts: [" + hosts +
            "]}}\ntables:\n  session: {" + session + "}\n");
}

Environment Cluster::environment() const {
  return {{"ERL_EPMD_PORT", std::to_string(mapper_port_)}, {"HOME", directory().string()}};
}

void Cluster::TearDown() {
  if (!HasFailure()) return;
  for (const auto& entry : std::filesystem::directory_iterator(directory())) {
    if (entry.path().extension() != ".log") continue;
    const auto end = run({"tail", "-n", "40", entry.path().string()});
    std::cerr << "---- end of " << entry.path().filename() << '\n' << end.output;
  }
}

bool form_a_mesh(const std::vector<const TestNode*>& nodes) {
  return eventually(15s, [&] {
    for (const auto* from : nodes) {
      for (const auto* to : nodes) {
        if (from != to && !from->sees(*to)) return false;
      }
    }
    return true;
  });
}

bool form_a_cluster(const std::vector<const TestNode*>& nodes) {
  if (!form_a_mesh(nodes)) return false;
  const auto everywhere = [&](auto condition) {
    return eventually(15s, [&] { return std::all_of(nodes.begin(), nodes.end(), condition); });
  };
  return everywhere([](const auto* node) { return node->ready(); }) &&
         eventually(5s,
                    [&] {
                      return nodes[0]->redis({"SET", "founded", "1"}) == "+OK";
                    }) &&
         everywhere([](const auto* node) {
           return node->ready() && node->redis({"GET", "founded"}) == "1";
         });
}

std::string muster_program() { return MUSTER_PROGRAM; }

int repetitions(int otherwise) {
  const char* text = std::getenv("MUSTER_KILLS");
  return text ? std::atoi(text) : otherwise;
}

}  // namespace muster::testing
