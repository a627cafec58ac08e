// SPDX-License-Identifier: MIT
#include "program_log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <boost/json.hpp>

namespace muster::app::cli {
namespace {

spdlog::level::level_enum level_of(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

Log program_log(Level least, LogFormat format) {
  auto logger = std::make_shared<spdlog::logger>(
      "muster", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_level(spdlog::level::trace);  // The Log has dropped what is below `least`.
  logger->flush_on(spdlog::level::trace);
  const bool is_json = format == LogFormat::json;
  logger->set_pattern(is_json ? R"({"at":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","text":%v})"
                              : "%Y-%m-%d %H:%M:%S.%e %^%-5l%$ %v");
  return Log(
      [logger, is_json](Level level, std::string_view line) {
        if (is_json)
          logger->log(level_of(level), boost::json::serialize(boost::json::value(line)));
        else
          logger->log(level_of(level), line);
      },
      least);
}

}  // namespace muster::app::cli
