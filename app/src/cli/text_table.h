// SPDX-License-Identifier: MIT
// Rows with aligned columns, for people.
#pragma once

#include <string>
#include <vector>

namespace muster::app::cli {

class TextTable {
 public:
  using Row = std::vector<std::string>;

  explicit TextTable(Row head) : rows_{std::move(head)} {}
  void add(Row row) { rows_.push_back(std::move(row)); }
  /// To standard output; the head is bold on a terminal.
  void print() const;

 private:
  std::vector<Row> rows_;
};

/// "12.3 MiB"
[[nodiscard]] std::string size_text(double bytes);

}  // namespace muster::app::cli
