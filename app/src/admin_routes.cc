// SPDX-License-Identifier: MIT
// The reading half and the dispatch; what changes something is in admin_verbs.cc.
#include "admin_routes.h"

#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>

#include "admin_json.h"
#include "admin_page.h"
#include "admin_reply.h"
#include "metrics.h"
#include "muster/cache/cache.h"
#include "muster/discovery/clock.h"
#include "muster/discovery/topologies.h"
#include "muster/unsplit/unsplit.h"

namespace muster::app {

namespace json = boost::json;

AdminRoutes::AdminRoutes(Parts parts, const PortOptions& options, EventHub& hub)
    : parts_(parts), options_(options), hub_(hub), started_(read_clock().mono) {}

AdminRoutes::Answer AdminRoutes::handle(HttpRequest request) {
  const bool keys = request.segment(1) == "tables" && request.segment(3) == "keys";
  // Values are credentials: who reads them must know the password, too.
  if (keys && !request.trusted)
    co_return refused(401, "send the password: Authorization: Bearer ...");
  if (request.segment(0) == "v1" && keys) co_return co_await this->keys(request);
  if (request.method == "GET") co_return co_await get(request);
  if (request.method == "POST" && request.segment(0) == "v1") co_return co_await post(request);
  co_return refused(404, "there is nothing here");
}

AdminRoutes::Answer AdminRoutes::get(const HttpRequest& request) {
  const std::string_view first = request.segment(0);
  const std::string_view second = request.segment(1);
  const std::size_t depth = request.path.size();
  if (const PageFile* file = page_file(depth == 0 ? "index.html" : first); file && depth <= 1)
    co_return HttpResponse{.type = std::string(file->type), .body = std::string(file->text)};
  if (first == "healthz" && depth == 1) co_return replied(json::object{{"alive", true}});
  if (first == "readyz" && depth == 1) co_return ready();
  if (first == "metrics" && depth == 1) co_return co_await metrics();
  if (first != "v1") co_return refused(404, "there is nothing here");
  if (second == "status" && depth == 2) co_return status();
  if (second == "nodes" && depth == 2 && parts_.node) co_return replied(nodes_json(*parts_.node));
  if (second == "members" && depth == 2 && parts_.node)
    co_return replied(members_json(*parts_.node));
  if (second == "tables" && depth == 2 && parts_.cache)
    co_return replied(tables_json(parts_.cache->machine().status(read_clock()),
                                  parts_.cache->node().view()->self.name));
  if (second == "topologies" && depth == 2) {
    if (!parts_.topologies) co_return replied(topologies_json({}, read_clock().mono));
    co_return replied(topologies_json(parts_.topologies->status(), read_clock().mono));
  }
  if (second == "events" && depth == 2) {
    HttpResponse response;
    response.events = true;
    co_return response;
  }
  if (second == "unsplit" && depth == 2) co_return co_await unsplit_status();
  if (second == "unsplit" && request.segment(2) == "journal" && depth == 3)
    co_return co_await journal(request);
  co_return refused(404, "there is nothing here");
}

HttpResponse AdminRoutes::ready() {
  if (!parts_.cache) return replied(json::object{{"ready", true}});
  json::array waiting;
  const NodeName self = parts_.cache->node().view()->self.name;
  for (const cache::TableStatus& table : parts_.cache->machine().status(read_clock()))
    if ((table.readiness != cache::Readiness::ready || table.disk != cache::DiskState::good) &&
        holds_copy(table.definition, self))
      waiting.push_back(json::object{{"table", table.definition.name}, {"detail", table.detail}});
  const bool all = waiting.empty();
  HttpResponse response =
      replied(json::object{{"ready", all}, {"waiting_for", std::move(waiting)}});
  response.status = all ? 200 : 503;
  return response;
}

HttpResponse AdminRoutes::status() {
  json::object object;
  object["version"] = MUSTER_VERSION;
  object["uptime_ms"] =
      std::chrono::duration_cast<std::chrono::milliseconds>(read_clock().mono - started_).count();
  object["unsplit"] = parts_.unsplit != nullptr;
  if (parts_.node) {
    const auto view = parts_.node->view();
    object["name"] = view->self.name.text();
    object["boot"] = to_string(view->self.boot);
    object["ordinal"] = view->self.ordinal;
    object["connected"] = view->connected.size();
    object["island"] = view->island.size();
    object["oldest"] = view->island.empty() ? "" : view->island.front().name.text();
  }
  if (parts_.cache) {
    const auto tables = parts_.cache->machine().status(read_clock());
    object["ready"] = parts_.cache->machine().ready();
    object["tables"] = tables_json(tables, parts_.cache->node().view()->self.name).at("tables");
  }
  return replied(std::move(object));
}

AdminRoutes::Answer AdminRoutes::metrics() {
  MetricsInput input;
  input.unsplit = parts_.unsplit != nullptr;
  if (parts_.unsplit) input.heals = co_await parts_.unsplit->totals();
  std::shared_ptr<const node::NodeView> view;
  if (parts_.node) {
    view = parts_.node->view();
    input.node = view->self.name.text();
    input.view = view.get();
  }
  if (parts_.cache) input.tables = parts_.cache->machine().status(read_clock());
  if (parts_.topologies) input.topologies = parts_.topologies->status();
  input.uptime = read_clock().mono - started_;
  co_return HttpResponse{.type = "text/plain; version=0.0.4", .body = metrics_text(input)};
}

AdminRoutes::Answer AdminRoutes::unsplit_status() {
  json::object object;
  object["running"] = parts_.unsplit != nullptr;
  object["heals"] = json::array();
  if (parts_.unsplit) {
    const auto heals = co_await parts_.unsplit->heals();
    object["heals"] = heals_json(heals).at("heals");
  }
  json::array apart;
  if (parts_.cache)
    for (const cache::TableStatus& table : parts_.cache->machine().status(read_clock()))
      for (const NodeName& peer : table.apart)
        apart.push_back(json::object{{"table", table.definition.name}, {"peer", peer.text()}});
  object["apart"] = std::move(apart);
  co_return replied(std::move(object));
}

AdminRoutes::Answer AdminRoutes::journal(const HttpRequest& request) {
  if (!parts_.unsplit || !parts_.cache) co_return refused(409, "unsplit does not run here");
  json::array records;
  const std::string wanted = request.parameter("table");
  const auto names = parts_.cache->machine().table_names();
  if (!wanted.empty() && std::ranges::find(names, wanted) == names.end())
    co_return refused(
        404, "there is no table '" + printable(wanted) + "'" + did_you_mean(wanted, names));
  for (const std::string& table : names) {
    if (!wanted.empty() && table != wanted) continue;
    const auto entries = co_await parts_.unsplit->journal(table);
    const json::value some = journal_json(table, entries, shows_keys(request));
    for (const json::value& record : some.as_array()) records.push_back(record);
  }
  co_return replied(json::object{{"records", std::move(records)}});
}

bool AdminRoutes::shows_keys(const HttpRequest& request) const {
  return options_.show_keys || (request.trusted && request.parameter("show_keys") == "true");
}

std::string AdminRoutes::field(const HttpRequest& request, const std::string& name) {
  boost::system::error_code error;
  const json::value body = json::parse(request.body, error);
  if (!error && body.is_object())
    if (const auto* value = body.as_object().if_contains(name); value && value->is_string())
      return std::string(value->as_string());
  return request.parameter(name);
}

}  // namespace muster::app
