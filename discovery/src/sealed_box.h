// SPDX-License-Identifier: MIT
//
// Authenticated encryption of small messages: AES-256-GCM under a key derived from a secret by
// HKDF-SHA256; and libcluster's AES-256-CBC under SHA-256 of the secret, which authenticates
// nothing.  Pure functions of key, nonce and bytes: the caller makes nonces, and never uses one
// twice with a key.
//
// Threads: one at a time per box.  Errors: bytes that do not open are nothing, never an exception;
// a failure of OpenSSL itself (no memory) is an assertion.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct evp_cipher_ctx_st;

namespace muster::discovery {

/// `size` bytes from a secret for one purpose; other purposes get unrelated bytes.
std::string derive_bytes(std::string_view secret, std::string_view purpose, std::size_t size);

struct FreeCipher {
  void operator()(evp_cipher_ctx_st* context) const;
};
using Cipher = std::unique_ptr<evp_cipher_ctx_st, FreeCipher>;

class SealedBox {
 public:
  static constexpr std::size_t nonce_size = 12;
  static constexpr std::size_t tag_size = 16;
  using Nonce = std::array<std::uint8_t, nonce_size>;

  SealedBox(std::string_view secret, std::string_view purpose);

  /// Ciphertext and tag; `header` is authenticated with it and stays readable.
  [[nodiscard]] std::string seal(const Nonce& nonce, std::string_view header,
                                 std::string_view text);
  [[nodiscard]] std::optional<std::string> open(const Nonce& nonce, std::string_view header,
                                                std::string_view sealed);

 private:
  Cipher sealer_, opener_;  // The key is set once: half the cost.
};

/// Padded by PKCS#7.
class ChainedBox {
 public:
  static constexpr std::size_t block_size = 16;

  explicit ChainedBox(std::string_view secret);

  /// `iv` of one block; nobody without the secret should be able to foresee it.
  [[nodiscard]] std::string seal(std::string_view iv, std::string_view text);
  /// Nothing where the padding is wrong: another secret as a rule, or damage.
  [[nodiscard]] std::optional<std::string> open(std::string_view iv, std::string_view sealed);

 private:
  Cipher sealer_, opener_;
};

}  // namespace muster::discovery
