// SPDX-License-Identifier: MIT
// The files of the live page, embedded at build time from app/page/.
#pragma once

#include <string_view>

namespace muster::app {

struct PageFile {
  std::string_view type;
  std::string_view text;
};
/// "index.html", "page.css", "page.js"; nullptr: there is no such file.
[[nodiscard]] const PageFile* page_file(std::string_view name);

}  // namespace muster::app
