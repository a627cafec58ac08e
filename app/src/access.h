// SPDX-License-Identifier: MIT
//
// Who may come in: everybody on loopback, elsewhere those who know the password.  Only its hash is
// kept; compared in constant time.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "muster/discovery/result.h"

namespace muster::app {

class Access {
 public:
  Access() = default;  ///< No password.
  /// An empty path: no password.  Refuses a file that others may read, is empty or longer than 1
  /// KiB.
  static Result<Access> load(const std::filesystem::path& password_file);

  [[nodiscard]] bool has_password() const { return hash_.has_value(); }
  [[nodiscard]] bool matches(std::string_view password) const;
  /// An error that says what to do, where this address needs a password and there is none.
  [[nodiscard]] Result<void> may_listen(std::string_view address) const;

 private:
  std::optional<std::array<std::uint8_t, 32>> hash_;
};

}  // namespace muster::app
