// SPDX-License-Identifier: MIT
//
// What the HTTP port answers, path by path; how requests travel is http_server.h's business.
//
// Threads: the node's strand; a handler that waits (for a write, a dial) resumes there.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "event_hub.h"
#include "http_message.h"
#include "muster/app/parts.h"
#include "muster/cache/cache_machine.h"
#include "muster/discovery/node_name.h"
#include "muster/discovery/result.h"

namespace muster::app {

class AdminRoutes {
 public:
  using Answer = boost::asio::awaitable<HttpResponse>;

  AdminRoutes(Parts parts, const PortOptions& options, EventHub& hub);

  Answer handle(HttpRequest request);

 private:
  Answer get(const HttpRequest& request);
  Answer post(const HttpRequest& request);
  [[nodiscard]] HttpResponse ready();
  [[nodiscard]] HttpResponse status();
  [[nodiscard]] Answer metrics();
  Answer unsplit_status();
  Answer journal(const HttpRequest& request);
  Answer replay(const HttpRequest& request);

  // /v1/tables/TABLE/keys/PART/PART...
  Answer keys(const HttpRequest& request);
  Answer list_keys(const std::string& table, const HttpRequest& request);
  Answer get_key(std::string table, cache::Key key);
  Answer put_key(std::string table, cache::Key key, const HttpRequest& request);
  Answer delete_key(std::string table, cache::Key key);

  Answer topology(const HttpRequest& request);
  [[nodiscard]] HttpResponse add_topology(const std::string& name);

  Answer connect(NodeName name, std::string address);
  Answer disconnect(NodeName name);
  Answer forget(NodeName name);
  Answer leave();
  Answer fault(const HttpRequest& request);

  /// A field of the JSON body, or a parameter of the query.
  [[nodiscard]] static std::string field(const HttpRequest& request, const std::string& name);
  [[nodiscard]] bool shows_keys(const HttpRequest& request) const;

  Parts parts_;
  const PortOptions& options_;
  EventHub& hub_;
  const Instant started_;
};

}  // namespace muster::app
