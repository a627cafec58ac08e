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
  constexpr std::string_view setting = "glibc.malloc.hugetlb=1";
  // LMDB takes memory for each commit and gives it back: not to the system, which would clear it.
  constexpr std::string_view keep = "glibc.malloc.trim_threshold=67108864";
  // Of each size that is given back a thread keeps seven at hand: fewer than calls are in flight.
  constexpr std::string_view at_hand = "glibc.malloc.tcache_count=127";
  const char* given = std::getenv(variable);
  std::string tunables = given != nullptr ? given : "";
  if (tunables.find("glibc.malloc.hugetlb") != std::string::npos) return;
  // Its real path: so the process keeps its name.
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return;
  if (!tunables.empty()) tunables += ':';
  tunables.append(setting).append(":").append(keep).append(":").append(at_hand);
  ::setenv(variable, tunables.c_str(), 1);
  ::execv(program.c_str(), words);
}

#else

void use_huge_pages(char** /*words*/) {}

#endif

}  // namespace muster::cache
