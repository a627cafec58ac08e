// SPDX-License-Identifier: MIT
// Topologies at run time: POST /v1/topologies/NAME/add|pause|resume|refresh|remove.
#include <boost/json.hpp>

#include "admin_json.h"
#include "admin_reply.h"
#include "admin_routes.h"
#include "muster/discovery/topologies.h"

// Optimised, g++ 12 takes the allocation function of one coroutine frame for another's.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace muster::app {

namespace json = boost::json;

namespace {

HttpResponse reply_to(const Result<void>& done, const char* what, const std::string& name) {
  if (!done) return refused(409, printable(done.error().text()));
  return replied(json::object{{what, name}});
}

}  // namespace

AdminRoutes::Answer AdminRoutes::topology(const HttpRequest& request) {
  if (!parts_.topologies) co_return refused(409, "no topologies run here");
  if (!request.trusted) co_return refused(401, "send the password: Authorization: Bearer ...");
  if (request.path.size() != 4) co_return refused(404, "there is nothing here");
  const std::string name = request.path[2];
  const std::string verb = request.path[3];
  if (verb == "add") co_return add_topology(name);
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
  co_return refused(404, "a topology can be added, paused, resumed, refreshed and removed");
}

HttpResponse AdminRoutes::add_topology(const std::string& name) {
  if (!options_.find_topology) return refused(409, "this program has no file of topologies");
  const auto plan = options_.find_topology(name);
  if (!plan) return refused(409, printable(plan.error().text()));
  return reply_to(parts_.topologies->add(*plan), "added", name);
}

}  // namespace muster::app
