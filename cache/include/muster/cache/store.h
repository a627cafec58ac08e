// SPDX-License-Identifier: MIT
//
// What a table keeps on disk, as rows.  The cache machine makes rows, a store keeps them: LMDB
// behind a thread in production (lmdb_store.h), a map in the lab.  A batch is atomic and batches
// are durable in order; that is all the machine relies on.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/cache/rows.h"
#include "muster/discovery/result.h"

namespace muster::cache {

struct StoreBatch {
  std::string table;
  std::uint64_t number =
      0;  ///< Rising per table; the store answers with it once the batch is durable.
  Rows rows;
  bool clear_first =
      false;  ///< Erase all rows of `entries` and `deletes` before; a copy starts anew.
  bool urgent =
      false;  ///< Somebody waits for it (durability: sync): commit without gathering more.
  bool read_back = false;  ///< From here on StoreImage::read() is asked for its entries.
};

/// Whether batches can become durable.  `full`: not now, they wait for room.  `failed`: never again
/// in this process, since the state of the disk is unknown.
enum class DiskState : std::uint8_t { good, full, failed };
[[nodiscard]] std::string_view to_string(DiskState state);

/// What is on disk.
class StoreImage {
 public:
  virtual ~StoreImage() = default;
  [[nodiscard]] virtual std::vector<std::string> tables() const = 0;
  using Visit = std::function<void(std::string_view key, std::string_view value)>;
  /// In key order.  The views are valid during the visit.
  virtual Result<void> for_each(std::string_view table, Space space, const Visit& visit) const = 0;
  /// One row of `entries`, as of the latest batch that is durable; any thread.  Only of a table
  /// whose latest batch said `read_back`, or that reads_back().
  virtual Result<std::optional<std::string>> read(std::string_view table,
                                                  std::string_view key) const = 0;
  /// Before the first batch: whether read() finds every row.
  [[nodiscard]] virtual bool reads_back(std::string_view table) const = 0;
};

}  // namespace muster::cache
