// SPDX-License-Identifier: MIT
//
// The log as libraries see it: handed in, never global.  Shells log, machines do not.
// Levels: info = a change of state, warn = it will be tried again, error = a person is needed.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace muster {

enum class Level { debug, info, warn, error };

/// Copies share the sink.  Threads: as safe as the sink; the one that the program `muster` installs
/// is safe from any.
class Log {
 public:
  using Sink = std::function<void(Level, std::string_view line)>;

  Log() = default;  ///< Drops everything.
  Log(Sink sink, Level least);

  /// The same log with `[muster:TOPIC] ` before each line.
  [[nodiscard]] Log about(std::string_view topic) const;

  template <class... Args>
  void debug(fmt::format_string<Args...> text, Args&&... args) const {
    if (enabled(Level::debug)) write(Level::debug, fmt::format(text, std::forward<Args>(args)...));
  }
  template <class... Args>
  void info(fmt::format_string<Args...> text, Args&&... args) const {
    if (enabled(Level::info)) write(Level::info, fmt::format(text, std::forward<Args>(args)...));
  }
  template <class... Args>
  void warn(fmt::format_string<Args...> text, Args&&... args) const {
    if (enabled(Level::warn)) write(Level::warn, fmt::format(text, std::forward<Args>(args)...));
  }
  template <class... Args>
  void error(fmt::format_string<Args...> text, Args&&... args) const {
    if (enabled(Level::error)) write(Level::error, fmt::format(text, std::forward<Args>(args)...));
  }

  [[nodiscard]] bool enabled(Level level) const { return sink_ && *sink_ && level >= least_; }
  void write(Level level, std::string_view line) const;

 private:
  std::shared_ptr<const Sink> sink_;
  Level least_ = Level::info;
  std::string prefix_;
};

}  // namespace muster
