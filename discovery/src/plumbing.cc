// SPDX-License-Identifier: MIT
#include "muster/discovery/plumbing.h"

#include <boost/asio/error.hpp>
#include <cassert>

namespace muster::discovery {

std::string_view reason_of(DialProblem problem) {
  switch (problem) {
    case DialProblem::none:
      return "";
    case DialProblem::refused:
      return "refused";
    case DialProblem::timed_out:
      return "timed out";
    case DialProblem::unreachable:
      return "unreachable";
    case DialProblem::unresolved:
      return "host name not found";
    case DialProblem::not_registered:
      return "not registered";
    case DialProblem::wrong_cookie:
      return "wrong cookie";
    case DialProblem::other_cluster:
      return "other cluster";
    case DialProblem::name_form:
      return "name form";
    case DialProblem::not_part_of_network:
      return "not part of network";
    case DialProblem::other:
      return "failed";
  }
  assert(false && "a DialProblem outside its enum");
  return "";
}

std::string DialOutcome::text() const {
  std::string text(reason_of(problem));
  if (!detail.empty()) text += " (" + detail + ")";
  return text;
}

DialOutcome DialOutcome::failed(const Error& error) {
  namespace net = boost::asio::error;
  if (error.code == net::connection_refused) return {DialProblem::refused, error.detail};
  if (error.code == net::timed_out) return {DialProblem::timed_out, error.detail};
  if (error.code == net::host_unreachable || error.code == net::network_unreachable)
    return {DialProblem::unreachable, error.detail};
  if (error.code == net::host_not_found || error.code == net::host_not_found_try_again)
    return {DialProblem::unresolved, error.detail};
  return {DialProblem::other, error.text()};
}

}  // namespace muster::discovery
