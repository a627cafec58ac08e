// SPDX-License-Identifier: MIT
// Topologies at run time: POST /v1/topologies?name=NAME with a file as its body adds one of the
// file's, POST /v1/topologies/NAME/pause|resume|refresh|remove changes one.
#include <boost/json.hpp>

#include "admin_json.h"
#include "admin_reply.h"
#include "admin_routes.h"
#include "muster/discovery/settings_reader.h"
#include "muster/discovery/strategy_registry.h"
#include "muster/discovery/topologies.h"

// Optimised, g++ 12 takes the allocation function of one coroutine frame for another's.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace muster::app {

namespace json = boost::json;

namespace {

/// Whoever reaches this port must not come to run programs by it.
constexpr std::string_view only_in_files = "exec";

Result<discovery::TopologyPlan> plan_in(const std::string& file, const std::string& name,
                                        const discovery::StrategyRegistry& registry) {
  const auto settings = Settings::parse(file, "file");
  if (!settings) return settings.error();
  const Settings* topologies = settings->find("topologies");
  const Settings* found = topologies ? topologies->find(name) : nullptr;
  if (!found) return bad_input("the file has no topology '" + name + "'");
  Problems problems;
  auto plans = read_topologies(Settings::map({{name, *found}}), "topologies", registry, problems);
  if (!problems.empty()) return problems.error();
  if (plans.empty()) return bad_input("topology '" + name + "' says nothing");
  if (plans.front().strategy == only_in_files)
    return bad_input(
        "strategy exec can only be configured in the node's own file: it runs programs");
  return std::move(plans.front());
}

HttpResponse reply_to(const Result<void>& done, const char* what, const std::string& name) {
  if (!done) return refused(409, printable(done.error().text()));
  return replied(json::object{{what, name}});
}

}  // namespace

AdminRoutes::Answer AdminRoutes::topology(const HttpRequest& request) {
  if (!parts_.topologies) co_return refused(409, "no topologies run here");
  if (!request.trusted) co_return refused(401, "send the password: Authorization: Bearer ...");
  if (request.path.size() == 2) co_return add_topology(request);
  if (request.path.size() != 4) co_return refused(404, "there is nothing here");
  const std::string name = request.path[2];
  const std::string verb = request.path[3];
  if (verb == "resume") co_return reply_to(parts_.topologies->resume(name), "resumed", name);
  if (verb == "pause") {
    const auto done = co_await parts_.topologies->pause(name);
    co_return reply_to(done, "paused", name);
  }
  if (verb == "refresh") {
    const auto done = co_await parts_.topologies->refresh(name);
    co_return reply_to(done, "refreshed", name);
  }
  if (verb == "remove") {
    const auto done = co_await parts_.topologies->remove(name);
    co_return reply_to(done, "removed", name);
  }
  co_return refused(404, "a topology can be asked to pause, resume, refresh and remove");
}

HttpResponse AdminRoutes::add_topology(const HttpRequest& request) {
  static const discovery::StrategyRegistry builtin;
  const std::string name = request.parameter("name");
  const auto plan = plan_in(request.body, name, parts_.strategies ? *parts_.strategies : builtin);
  if (!plan) return refused(400, printable(plan.error().text()));
  return reply_to(parts_.topologies->add(*plan), "added", name);
}

}  // namespace muster::app
