// SPDX-License-Identifier: MIT
#include "muster/app/admin.h"

#include <boost/json.hpp>

#include "access.h"
#include "admin_json.h"
#include "admin_routes.h"
#include "http_server.h"
#include "muster/cache/cache.h"
#include "muster/node/node.h"
#include "muster/unsplit/unsplit.h"

namespace muster::app {

namespace asio = boost::asio;

namespace {

std::string_view kind_of(node::NodeEvent::Kind kind) {
  using Kind = node::NodeEvent::Kind;
  switch (kind) {
    case Kind::nodeup:
      return "nodeup";
    case Kind::nodedown:
      return "nodedown";
    case Kind::refused:
      return "refused";
    case Kind::left:
      return "left";
    case Kind::forgotten:
      return "forgotten";
    case Kind::island:
      return "island";
    case Kind::oldest:
      return "oldest";
    case Kind::alarm:
      return "alarm";
  }
  return "event";
}

/// Empty for what comes with every write: too much for a page, and it holds keys.
std::string_view kind_of(cache::CacheEvent::Kind kind) {
  using Kind = cache::CacheEvent::Kind;
  switch (kind) {
    case Kind::joining:
      return "joining";
    case Kind::joined:
      return "joined";
    case Kind::initiated:
      return "initiated";
    case Kind::ready:
      return "ready";
    case Kind::not_ready:
      return "not_ready";
    case Kind::inconsistent_database:
      return "inconsistent_database";
    case Kind::apart:
      return "apart";
    case Kind::alarm:
      return "alarm";
    default:
      return {};
  }
}

std::string with_name(const NodeName& name, const std::string& detail) {
  if (name.empty() || detail.find(name.text()) != std::string::npos) return detail;
  return detail.empty() ? name.text() : name.text() + ": " + detail;
}

}  // namespace

class Admin::Impl {
 public:
  Impl(asio::any_io_executor executor, Parts parts, PortOptions options)
      : options_(std::move(options)),
        hub_(std::make_shared<EventHub>()),
        routes_(parts, options_, *hub_),
        server_(
            std::move(executor), access_, *hub_,
            [this](HttpRequest request) { return routes_.handle(std::move(request)); },
            [](const EventHub::Event& event) {
              return boost::json::serialize(event_json(event));
            }) {
    // The handlers stay with node and cache, which outlive us: they hold the hub, not us.
    if (parts.node)
      parts.node->on_event([hub = hub_](Now now, const node::NodeEvent& event) {
        hub->add(now.wall, std::string(kind_of(event.kind)), "node",
                 with_name(event.node.name, event.detail));
      });
    if (parts.cache)
      parts.cache->on_event([hub = hub_](Now now, const cache::CacheEvent& event) {
        if (const auto kind = kind_of(event.kind); !kind.empty())
          hub->add(now.wall, std::string(kind), "table " + event.table,
                   with_name(event.peer, event.detail));
      });
    if (parts.unsplit)
      parts.unsplit->on_heal([hub = hub_](const unsplit::Heal& heal) {
        hub->add(heal.at, heal.verdict == cache::Verdict::apart ? "refused" : "healed",
                 "table " + heal.table, heal.text);
      });
  }

  Result<std::uint16_t> listen(std::string_view address) {
    auto access = Access::load(options_.password_file);
    if (!access) return access.error();
    access_ = *access;
    const auto endpoint = parse_endpoint(address);
    if (!endpoint) return bad_input("address " + endpoint.error().text());
    if (auto allowed = access_.may_listen(endpoint->address); !allowed) return allowed.error();
    return server_.listen(*endpoint);
  }
  asio::awaitable<void> stop() { return server_.stop(); }

 private:
  const PortOptions options_;
  Access access_;
  std::shared_ptr<EventHub> hub_;
  AdminRoutes routes_;
  HttpServer server_;
};

Admin::Admin(asio::any_io_executor executor, Parts parts, PortOptions options)
    : impl_(std::make_unique<Impl>(std::move(executor), parts, std::move(options))) {}
Admin::~Admin() = default;

Result<std::uint16_t> Admin::listen(std::string_view address) { return impl_->listen(address); }
asio::awaitable<void> Admin::stop() { return impl_->stop(); }

}  // namespace muster::app
