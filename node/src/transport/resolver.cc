// SPDX-License-Identifier: MIT
// See resolver.h.
#include "transport/resolver.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <memory>
#include <utility>

#include "muster/discovery/time.h"

namespace muster::node {
namespace {

constexpr std::size_t addresses_max = 8;

/// What a lookup that nobody waits for any more still holds.
struct Lookup {
  explicit Lookup(const Strand& strand) : resolver(strand) {}
  Resolver resolver;
  error_code error = asio::error::timed_out;
  Addresses addresses;
  Timer* done = nullptr;  ///< Nothing once nobody waits any more.
};

void look_up(const std::shared_ptr<Lookup>& lookup, const std::string& host) {
  lookup->resolver.async_resolve(
      host, "", [lookup](const error_code& error, const Resolver::results_type& results) {
        lookup->error = error;
        for (const auto& entry : results) {
          const auto address = entry.endpoint().address();
          auto& known = lookup->addresses;
          if (known.size() < addresses_max &&
              std::find(known.begin(), known.end(), address) == known.end()) {
            known.push_back(address);
          }
        }
        if (lookup->done != nullptr) lookup->done->cancel();
      });
}

}  // namespace

HostResolver::HostResolver(const Strand& strand) : strand_(strand), resolved_(strand) {}

void HostResolver::cancel() {
  cancelled_ = true;
  resolved_.cancel();
}

asio::awaitable<Result<Addresses>> HostResolver::resolve(std::string host) {
  error_code not_literal;
  const auto literal = asio::ip::make_address(host, not_literal);
  if (!not_literal) co_return Addresses(1, literal);
  const auto lookup = std::make_shared<Lookup>(strand_);
  lookup->done = &resolved_;
  resolved_.expires_at(never);
  look_up(lookup, host);
  if (!cancelled_) (void)co_await resolved_.async_wait(await_tuple);
  lookup->done = nullptr;
  lookup->resolver.cancel();
  if (!lookup->error && !lookup->addresses.empty()) co_return std::move(lookup->addresses);
  Error failure;
  failure.code = lookup->error;
  failure.detail = fmt::format("the host {} has no address", host);
  co_return failure;
}

}  // namespace muster::node
