// SPDX-License-Identifier: MIT
// Answers of the HTTP port as they are made: JSON, one line.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <string>
#include <utility>

#include "http_message.h"

namespace muster::app {

[[nodiscard]] inline HttpResponse replied(const boost::json::value& value) {
  return {.body = boost::json::serialize(value) + "\n"};
}
[[nodiscard]] inline HttpResponse refused(unsigned status, std::string why) {
  boost::json::object object;
  object["error"] = std::move(why);
  HttpResponse response = replied(std::move(object));
  response.status = status;
  return response;
}

}  // namespace muster::app
