// SPDX-License-Identifier: MIT
//
// A store as the cache machine sees it, in maps: batches wait, become durable in order, and a crash
// may lose those that were still waiting.  Outlives the process that writes it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "muster/cache/store.h"

namespace muster::lab {

class SimDisk final : public cache::StoreImage {
 public:
  void submit(cache::StoreBatch batch);
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  /// Makes the oldest waiting batch durable; its rows are moved out of the result.
  cache::StoreBatch commit_one();
  void commit_all();
  void lose_waiting() { waiting_.clear(); }
  /// The oldest waiting batch fails; its rows are gone.
  cache::StoreBatch fail_one();
  void wipe();
  [[nodiscard]] std::size_t rows() const;

  [[nodiscard]] std::vector<std::string> tables() const override;
  Result<void> for_each(std::string_view table, cache::Space space,
                        const Visit& visit) const override;
  Result<std::optional<std::string>> read(std::string_view table,
                                          std::string_view key) const override;
  [[nodiscard]] bool reads_back(std::string_view) const override { return true; }

 private:
  using Rows = std::map<std::string, std::string, std::less<>>;
  using Spaces = std::array<Rows, 4>;

  void apply(const cache::StoreBatch& batch);

  std::map<std::string, Spaces, std::less<>> tables_;
  std::deque<cache::StoreBatch> waiting_;
};

}  // namespace muster::lab
