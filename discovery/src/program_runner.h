// SPDX-License-Identifier: MIT
//
// Runs a program of the user's and gives what it prints.  No shell: the command is a program and
// its arguments.  It gets no input and none of our open files, has a process group of its own, and
// is killed with all of it at the deadline, at a cancelled wait, and where it prints too much.
//
// Threads: runs on the calling coroutine's executor; no signal handler is installed, SIGCHLD is not
// needed.  Errors: cannot be started, exit status or signal with the last line of its standard
// error, too much output, timed out.  Stop: cancel the coroutine.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

boost::asio::awaitable<Result<std::string>> run_program(RunProgram question);

}  // namespace muster::discovery
