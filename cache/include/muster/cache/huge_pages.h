// SPDX-License-Identifier: MIT
//
// A table is many small blocks all over the heap; on pages of 4 KiB most of the time of a join or a
// load goes into page faults.  glibc asks for huge pages where GLIBC_TUNABLES says so at the start
// of a process (glibc.malloc.hugetlb=1, since 2.35), and at no other time.
#pragma once

namespace muster::cache {

/// Early in main(), before any thread or socket: starts the program anew, in this
/// process, with that setting; returns where it stands already, where malloc is another one, or
/// where that fails.  `words` are those of main().
void use_huge_pages(char** words);

}  // namespace muster::cache
