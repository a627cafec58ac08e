// SPDX-License-Identifier: MIT
#include "muster/discovery/log.h"

#include <utility>

namespace muster {

Log::Log(Sink sink, Level least)
    : sink_(std::make_shared<const Sink>(std::move(sink))), least_(least) {}

Log Log::about(std::string_view topic) const {
  Log log = *this;
  log.prefix_ = fmt::format("[muster:{}] ", topic);
  return log;
}

void Log::write(Level level, std::string_view line) const {
  if (!enabled(level)) return;
  if (prefix_.empty())
    (*sink_)(level, line);
  else
    (*sink_)(level, prefix_ + std::string(line));
}

}  // namespace muster
