// SPDX-License-Identifier: MIT
#include "kubernetes/kubernetes_refusal.h"

namespace muster::discovery::kubernetes {
namespace {

std::string role_needed(Resource resource, const std::string& message) {
  const std::string account = service_account_in(message);
  const char* group = resource == Resource::endpointslices ? "discovery.k8s.io" : "";
  return "it takes a Role with {apiGroups: [\"" + std::string(group) + "\"], resources: [" +
         std::string(to_string(resource)) + "], verbs: [list, watch]} bound to " +
         (account.empty() ? "this pod's service account" : "the service account " + account);
}

}  // namespace

std::string refusal(const HttpReply& reply, std::string_view verb, const Collection& collection,
                    const std::filesystem::path& account) {
  const std::string message = status_message(reply.body);
  const std::string status =
      "(" + std::to_string(reply.status) + (message.empty() ? "" : ": " + message) + ")";
  const std::string what = std::string(verb) + " " + std::string(to_string(collection.resource)) +
                           " in namespace " + collection.space + " " + status;
  switch (reply.status) {
    case 401:
      return collection.base + " does not accept the token in " + (account / "token").string() +
             " " + status;
    case 403:
      return collection.base + " forbids to " + what + "; " +
             role_needed(collection.resource, message);
    case 429:
      return collection.base + " asks to slow down " + status;
    default:
      return collection.base + " does not " + what;
  }
}

}  // namespace muster::discovery::kubernetes
