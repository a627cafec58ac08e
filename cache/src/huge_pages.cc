// SPDX-License-Identifier: MIT
#include "muster/cache/huge_pages.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace muster::cache {

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void use_huge_pages(char** words) {
  constexpr const char* variable = "GLIBC_TUNABLES";
  constexpr std::string_view mark = "glibc.malloc.hugetlb";
  constexpr std::string_view settings =
      "glibc.malloc.hugetlb=1"
      // LMDB takes memory for each commit and gives it back, messages likewise: not to the system,
      // which would clear it.
      ":glibc.malloc.trim_threshold=67108864"
      ":glibc.malloc.mmap_threshold=33554432"
      // Of each size that is given back a thread keeps seven at hand: fewer than calls are in
      // flight.
      ":glibc.malloc.tcache_count=127"
      // The heap grows in steps that are worth touching ahead (heap_ahead.h).
      ":glibc.malloc.top_pad=8388608";
  const char* given = std::getenv(variable);
  std::string tunables = given != nullptr ? given : "";
  if (tunables.find(mark) != std::string::npos) return;
  // Its real path: so the process keeps its name.
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return;
  if (!tunables.empty()) tunables += ':';
  tunables.append(settings);
  ::setenv(variable, tunables.c_str(), 1);
  ::execv(program.c_str(), words);
}

#else

void use_huge_pages(char** /*words*/) {}

#endif

}  // namespace muster::cache
