// SPDX-License-Identifier: MIT
//
// The few file operations that a node needs, with errors for people and durability where it is
// promised. Threads: no shared state.  All calls block.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "muster/discovery/result.h"

namespace muster::node {

class FileDescriptor {
 public:
  explicit FileDescriptor(int number = -1) : number_(number) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept;
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;

  [[nodiscard]] int get() const { return number_; }
  [[nodiscard]] bool valid() const { return number_ >= 0; }

 private:
  int number_;
};

[[nodiscard]] Error system_error(int number, std::string detail);
/// Of errno.
[[nodiscard]] Error last_error(std::string detail);

/// The whole file; an error above `limit` bytes.
Result<std::string> read_all(const FileDescriptor& file, std::size_t limit);
/// Creates `file` with mode 0600, durable; an error when it exists.
Result<void> write_new_file(const std::filesystem::path& file, std::string_view content);
/// Replaces `file` at once or not at all, durable when it returns.
Result<void> replace_file(const std::filesystem::path& file, std::string_view content);

}  // namespace muster::node
