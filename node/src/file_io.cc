// SPDX-License-Identifier: MIT
// See file_io.h.  Nothing is retried after a failed fsync: what is on disk then is unknown, and
// saying so is all we can.
#include "file_io.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace muster::node {

FileDescriptor::~FileDescriptor() {
  if (number_ >= 0) ::close(number_);
}

FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept
    : number_(std::exchange(other.number_, -1)) {}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

Error system_error(int number, std::string detail) {
  return {boost::system::error_code(number, boost::system::system_category()), std::move(detail)};
}

Error last_error(std::string detail) { return system_error(errno, std::move(detail)); }

Result<std::string> read_all(const FileDescriptor& file, std::size_t limit) {
  std::string content;
  std::array<char, 4096> piece{};
  for (;;) {
    const ssize_t count = ::read(file.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return last_error("cannot read");
    if (count == 0) return content;
    content.append(piece.data(), static_cast<std::size_t>(count));
    if (content.size() > limit) return bad_input(fmt::format("longer than {} bytes", limit));
  }
}

namespace {

Result<void> write_and_sync(const std::filesystem::path& file, std::string_view content) {
  const FileDescriptor out(
      ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!out.valid()) return last_error(fmt::format("cannot create {}", file.string()));
  while (!content.empty()) {
    const ssize_t count = ::write(out.get(), content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return last_error(fmt::format("cannot write {}", file.string()));
    content.remove_prefix(static_cast<std::size_t>(count));
  }
  if (::fsync(out.get()) != 0) return last_error(fmt::format("cannot sync {}", file.string()));
  return {};
}

Result<void> sync_directory(const std::filesystem::path& directory) {
  const FileDescriptor open(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!open.valid() || ::fsync(open.get()) != 0) {
    return last_error(fmt::format("cannot sync the directory {}", directory.string()));
  }
  return {};
}

std::filesystem::path directory_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

}  // namespace

Result<void> write_new_file(const std::filesystem::path& file, std::string_view content) {
  auto written = write_and_sync(file, content);
  if (!written && written.error().code != boost::system::errc::file_exists) {
    ::unlink(file.c_str());
  }
  return written;
}

Result<void> replace_file(const std::filesystem::path& file, std::string_view content) {
  const std::filesystem::path temporary = file.string() + ".new";
  ::unlink(
      temporary.c_str());  // Left by a crash; the directory is locked, so nobody else writes it.
  if (auto written = write_new_file(temporary, content); !written) return written;
  if (::rename(temporary.c_str(), file.c_str()) != 0) {
    return last_error(fmt::format("cannot replace {}", file.string()));
  }
  return sync_directory(directory_of(file));
}

}  // namespace muster::node
