// SPDX-License-Identifier: MIT
//
// Preloaded into a program (LD_PRELOAD), makes one call fail with EIO: the MUSTER_FAIL_AT-th that
// writes to or syncs a file called data.mdb.  All later ones work again, so a program that tries
// once more gets away with it, and is found out.
//
// Covers what LMDB calls: write, pwrite, writev, pwritev, fdatasync, fsync, msync.
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

bool is_data(int file) {
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(file);
  const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
  return length > 0 &&
         std::string_view(path.data(), static_cast<std::size_t>(length)).ends_with("/data.mdb");
}

bool fails_now() {
  static const long fail_at = [] {
    const char* text = std::getenv("MUSTER_FAIL_AT");
    return text == nullptr ? 0 : std::atol(text);
  }();
  static std::atomic<long> calls = 0;
  if (++calls != fail_at) return false;
  errno = EIO;
  return true;
}

template <class Function>
Function* original(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

#define MUSTER_FAILING(result, name, parameters, arguments)            \
  extern "C" result name parameters {                                  \
    static const auto call = original<result parameters>(#name);       \
    return is_data(file) && fails_now() ? result(-1) : call arguments; \
  }

MUSTER_FAILING(ssize_t, write, (int file, const void* data, size_t size), (file, data, size))
MUSTER_FAILING(ssize_t, pwrite, (int file, const void* data, size_t size, off_t at),
               (file, data, size, at))
MUSTER_FAILING(ssize_t, pwrite64, (int file, const void* data, size_t size, off64_t at),
               (file, data, size, at))
MUSTER_FAILING(ssize_t, writev, (int file, const iovec* parts, int count), (file, parts, count))
MUSTER_FAILING(ssize_t, pwritev, (int file, const iovec* parts, int count, off_t at),
               (file, parts, count, at))
MUSTER_FAILING(ssize_t, pwritev64, (int file, const iovec* parts, int count, off64_t at),
               (file, parts, count, at))
MUSTER_FAILING(int, fdatasync, (int file), (file))
MUSTER_FAILING(int, fsync, (int file), (file))

extern "C" int msync(void* address, size_t length, int flags) {
  static const auto call = original<int(void*, size_t, int)>("msync");
  return fails_now() ? -1 : call(address, length, flags);
}
