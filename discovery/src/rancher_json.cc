// SPDX-License-Identifier: MIT
#include "rancher_json.h"

#include <boost/asio/ip/address.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace muster::discovery {
namespace {

namespace json = boost::json;
using boost::system::error_code;

constexpr std::size_t most_levels = 16;

std::string address_of(const json::value& container) {
  const json::object* fields = container.if_object();
  const json::value* ips = fields ? fields->if_contains("ips") : nullptr;
  const json::array* list = ips ? ips->if_array() : nullptr;
  const json::string* text = list && !list->empty() ? list->front().if_string() : nullptr;
  if (!text) return "";
  error_code error;
  const auto address =
      boost::asio::ip::make_address(std::string_view(text->data(), text->size()), error);
  return error ? "" : address.to_string();
}

}  // namespace

Result<RancherContainers> read_rancher_service(std::string_view body) {
  error_code error;
  const json::value service =
      json::parse({body.data(), body.size()}, error, {}, {.max_depth = most_levels});
  if (error) return bad_input("the answer is not JSON (" + error.message() + ")");
  if (!service.is_object()) return bad_input("the answer describes no service");
  RancherContainers result;
  const json::value* containers = service.get_object().if_contains("containers");
  if (!containers || containers->is_null()) return result;
  if (!containers->is_array()) return bad_input("the answer's containers are no list");
  for (const json::value& container : containers->get_array()) {
    std::string address = address_of(container);
    if (address.empty())
      ++result.skipped;
    else
      result.addresses.push_back(std::move(address));
  }
  return result;
}

}  // namespace muster::discovery
