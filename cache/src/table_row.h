// SPDX-License-Identifier: MIT
//
// One key's incarnations as bytes, on disk and on the wire.  The first byte is the format's
// version. Then, with V = a varint and 8 = eight bytes, little end first:
//   incarnations V, each: create dot (boot 8, number V, sequence V), shape (one byte: 1 = touched),
//     touch if touched (time 8, boot 8, expiry), values V, each:
//       marks (one byte: 1 = the stamp's boot is the dot's, 2 = never expires),
//       time 8, boot 8 unless marked, line 8, expiry 8 unless marked, length V, bytes.
// Incarnations come by rising dot, values newest first.  Whatever breaks these rules, or leaves
// bytes over, is refused.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "muster/cache/table.h"

namespace muster::cache {

[[nodiscard]] std::string encode_row(const std::vector<Incarnation>& incarnations);
/// Of one incarnation with one value, behind what `out` holds.
void append_row(std::string& out, const Dot& created, const ValueRegister& value,
                const ExpiryRegister& touch);
/// Views point into `row`.  What `incarnations` held is lost, its memory is used again; after an
/// error it holds nothing of use.
Result<void> parse_row(std::string_view row, std::vector<Incarnation>& incarnations);

}  // namespace muster::cache
