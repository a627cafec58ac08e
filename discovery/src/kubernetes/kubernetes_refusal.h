// SPDX-License-Identifier: MIT
//
// What to say, and to do, when the API server of Kubernetes answers with something else than what
// was asked.  Pure text.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "kubernetes/kubernetes_address.h"
#include "muster/discovery/strategy_machine.h"

namespace muster::discovery::kubernetes {

/// One line; of the body no more than its message.  `verb` is list or watch, `account` the
/// directory of the service account.
[[nodiscard]] std::string refusal(const HttpReply& reply, std::string_view verb,
                                  const Collection& collection,
                                  const std::filesystem::path& account);

}  // namespace muster::discovery::kubernetes
