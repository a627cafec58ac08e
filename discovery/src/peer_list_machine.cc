// SPDX-License-Identifier: MIT
#include "peer_list_machine.h"

#include "peer_list.h"

namespace muster::discovery {

Pass PeerListMachine::read(const Answer& answer) {
  const auto* file = std::get_if<FileRead>(&answer);
  const auto& content = file ? file->content : std::get<ProgramRan>(answer).output;
  if (!content) {
    content_.reset();
    pass_ = Pass::unknown(content.error().text());
  } else if (content_ != *content) {
    content_ = *content;
    pass_ = parse(*content);
  }
  return pass_;
}

Pass PeerListMachine::parse(const std::string& content) {
  auto list = parse_peer_list(content, options_.source);
  if (!list) return Pass::unknown(list.error().text());
  const auto& problems = list->problems.lines();
  count("bad_entries", problems.size());
  if (!problems.empty()) {
    const std::string more =
        problems.size() == 1 ? "" : " (and " + std::to_string(problems.size() - 1) + " more)";
    note(Level::warn, "skips an entry: " + problems.front() + more);
  }
  // A file that names nobody any more is an answer; one of which nothing can be read is none.
  if (list->peers.empty() && !problems.empty()) return Pass::unknown(problems.front());
  return Pass::list(std::move(list->peers));
}

}  // namespace muster::discovery
