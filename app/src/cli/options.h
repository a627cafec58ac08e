// SPDX-License-Identifier: MIT
// What the command line said; command_line.cc fills it in, the other files of this folder act on
// it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "muster/app/config.h"

namespace muster::app::cli {

struct Options {
  std::string file;
  Overrides overrides;
  bool json = false;
  bool once = false;
  bool show_keys = false;
  std::string port;  ///< Of the node to talk to.
  std::string password_file;
  std::string table = "session";
  bool table_given = false;
  std::string ttl;
  std::string host;
  std::string address;
  std::vector<std::string> words;
  char** program = nullptr;  ///< The words of main().
};

// Exit statuses.
constexpr int success = 0;
constexpr int failure = 1;
constexpr int usage = 2;

/// Parses, runs the verb, returns the exit status.
int run(int count, char** words);

// start.cc
int start(const Options& options);
// offline.cc: no node is needed
int check(const Options& options);
int discover(const Options& options);
int names(const Options& options);
// views.cc: what a node shows
int status(const Options& options);
int nodes(const Options& options);
int tables(const Options& options);
int topologies(const Options& options);
int list_keys(const Options& options);
int unsplit_status(const Options& options);
int unsplit_journal(const Options& options);
// verbs.cc: what a node is asked to do
int connect(const Options& options);
int disconnect(const Options& options);
int forget(const Options& options);
int leave(const Options& options);
int get_key(const Options& options);
int put_key(const Options& options);
int delete_key(const Options& options);
int unsplit_replay(const Options& options);
int fault_cut(const Options& options);
int fault_heal(const Options& options);
int topology_add(const Options& options);
int topology_pause(const Options& options);
int topology_resume(const Options& options);
int topology_refresh(const Options& options);
int topology_remove(const Options& options);

/// The Config that file, environment and flags make; nothing where there were problems, which are
/// then printed.
std::optional<Config> configure(const Options& options);
/// To standard error.
int fail(const std::string& message);

}  // namespace muster::app::cli
