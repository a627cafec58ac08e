// SPDX-License-Identifier: MIT
#include "linearizable.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

namespace muster::testing {

namespace {

using Value = std::optional<std::string>;

/// Whether the answer fits a register that holds `value`, which is then what the register holds
/// after it.
bool apply(const RegisterOperation& operation, Value& value) {
  switch (operation.kind) {
    case RegisterOperation::Kind::get:
      return operation.value == value;
    case RegisterOperation::Kind::set:
      value = operation.value;
      return true;
    case RegisterOperation::Kind::erase:
      return std::exchange(value, std::nullopt).has_value() == operation.erased;
  }
  return false;
}

/// A point of the search: all operations before `first` are done, and those of `later`.
struct Point {
  std::size_t first = 0;
  std::set<std::size_t> later;
  Value value;

  auto operator<=>(const Point&) const = default;
};

Point after(Point point, std::size_t operation) {
  point.later.insert(operation);
  while (point.later.erase(point.first) > 0) ++point.first;
  return point;
}

class Search {
 public:
  explicit Search(std::vector<RegisterOperation> history) : history_(std::move(history)) {
    std::ranges::sort(history_, {}, &RegisterOperation::called);
  }

  bool succeeds() {
    std::vector<Point> open{Point{}};
    while (!open.empty()) {
      const Point point = std::move(open.back());
      open.pop_back();
      if (point.first == history_.size()) return true;
      for (Point& next : next_of(point))
        if (tried_.insert(next).second) open.push_back(std::move(next));
    }
    return false;
  }

 private:
  [[nodiscard]] std::vector<Point> next_of(const Point& point) const {
    std::vector<Point> points;
    auto first_answer = std::numeric_limits<std::int64_t>::max();
    for (std::size_t i = point.first; i < history_.size(); ++i) {
      if (history_[i].called > first_answer) break;  // As are all that follow.
      if (point.later.contains(i)) continue;
      first_answer = std::min(first_answer, history_[i].answered);
      Point next = point;
      if (apply(history_[i], next.value)) points.push_back(after(std::move(next), i));
    }
    return points;
  }

  std::vector<RegisterOperation> history_;
  std::set<Point> tried_;
};

}  // namespace

bool linearizable(std::vector<RegisterOperation> history) {
  return Search(std::move(history)).succeeds();
}

}  // namespace muster::testing
