// SPDX-License-Identifier: MIT
//
// The directory of a node: locked by one process, with the file node.state in it.
//
// File: "muster node\n", version:32, length:32, SHA-256 of the body, body (node_state.proto);
// big-endian.  It is replaced at once or not at all. Threads: one at a time; calls block for the
// disk.  Errors: sentences that name the file.
#pragma once

#include <filesystem>

#include "file_io.h"
#include "muster/discovery/node_name.h"
#include "muster/discovery/result.h"
#include "muster/node/node_machine.h"

namespace muster::node {

/// Held as long as the process lives, or this object; a second process gets an error with our
/// process id.
class DirectoryLock {
 public:
  /// Creates `directory`, mode 0700, when it is not there.
  static Result<DirectoryLock> take(const std::filesystem::path& directory);

 private:
  explicit DirectoryLock(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
};

class StateFile {
 public:
  StateFile(std::filesystem::path directory, NodeName name)
      : file_(std::move(directory) / "node.state"), name_(std::move(name)) {}

  /// An empty state when there is no file.  Errors: damaged, written by a newer muster, not ours,
  /// of another node.
  [[nodiscard]] Result<NodeState> load() const;
  /// Durable when it returns.
  [[nodiscard]] Result<void> save(const NodeState& state) const;

 private:
  std::filesystem::path file_;
  NodeName name_;
};

}  // namespace muster::node
