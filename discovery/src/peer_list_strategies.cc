// SPDX-License-Identifier: MIT
//
// The options of `file` and `exec`.
#include "builtin_strategies.h"
#include "peer_list_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using Make = StrategyRegistry::Make;
namespace fs = std::filesystem;

Make read_file_strategy(Fields& options) {
  options.require("path");
  const std::string path = options.string("path");
  const Duration interval = options.duration("polling_interval", 1s, 10ms, 24h);
  return [=](StrategySink& sink, const StrategyContext& context) {
    const fs::path file = context.directory / path;
    return std::make_unique<PeerListMachine>(
        PeerListMachine::Options{.source = path,
                                 .question = ReadFile{.path = file, .most_bytes = 1 << 20},
                                 .interval = interval},
        sink);
  };
}

Make read_exec_strategy(Fields& options) {
  const bool given = options.require("command");
  const std::vector<std::string> command = options.strings("command");
  if (given && (command.empty() || command.front().empty()))
    options.reject("command", "must name a program, and its arguments: [./peers.sh, --all]");
  const Duration interval = options.duration("polling_interval", 5s, 10ms, 24h);
  const Duration deadline = options.duration("deadline", 5s, 10ms, 1h);
  return [=](StrategySink& sink, const StrategyContext& context) {
    RunProgram program{.command = command, .within = deadline};
    std::string& name = program.command.front();  // A bare name is searched in PATH.
    if (name.find('/') != std::string::npos) name = (context.directory / name).string();
    return std::make_unique<PeerListMachine>(
        PeerListMachine::Options{
            .source = command.front(), .question = std::move(program), .interval = interval},
        sink);
  };
}

}  // namespace

void add_peer_list_strategies(StrategyRegistry& registry) {
  registry.add("file", read_file_strategy);
  registry.add("exec", read_exec_strategy);
}

}  // namespace muster::discovery
