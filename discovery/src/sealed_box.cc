// SPDX-License-Identifier: MIT
#include "sealed_box.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <cassert>

namespace muster::discovery {
namespace {

constexpr std::size_t key_size = 32;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

void must(int result) {
  assert(result == 1 && "OpenSSL failed");
  (void)result;
}

}  // namespace

std::string derive_bytes(std::string_view secret, std::string_view purpose, std::size_t size) {
  EVP_KDF* const kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  assert(kdf);
  EVP_KDF_CTX* const context = EVP_KDF_CTX_new(kdf);
  assert(context);
  std::string digest = "SHA256", salt = "muster", key(secret), info(purpose), derived(size, '\0');
  const std::array parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.data(), salt.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key.data(), key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  must(EVP_KDF_derive(context, bytes_of(derived), size, parameters.data()));
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
  return derived;
}

void FreeCipher::operator()(evp_cipher_ctx_st* context) const { EVP_CIPHER_CTX_free(context); }

SealedBox::SealedBox(std::string_view secret, std::string_view purpose)
    : sealer_(EVP_CIPHER_CTX_new()), opener_(EVP_CIPHER_CTX_new()) {
  assert(sealer_ && opener_);
  const std::string key = derive_bytes(secret, purpose, key_size);
  must(EVP_EncryptInit_ex(sealer_.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key), nullptr));
  must(EVP_DecryptInit_ex(opener_.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key), nullptr));
}

std::string SealedBox::seal(const Nonce& nonce, std::string_view header, std::string_view text) {
  EVP_CIPHER_CTX* const context = sealer_.get();
  std::string sealed(text.size() + tag_size, '\0');
  int size = 0;
  must(EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()));
  must(EVP_EncryptUpdate(context, nullptr, &size, bytes_of(header),
                         static_cast<int>(header.size())));
  must(EVP_EncryptUpdate(context, bytes_of(sealed), &size, bytes_of(text),
                         static_cast<int>(text.size())));
  must(EVP_EncryptFinal_ex(context, bytes_of(sealed) + size, &size));
  must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, tag_size, sealed.data() + text.size()));
  return sealed;
}

std::optional<std::string> SealedBox::open(const Nonce& nonce, std::string_view header,
                                           std::string_view sealed) {
  if (sealed.size() < tag_size) return std::nullopt;
  EVP_CIPHER_CTX* const context = opener_.get();
  std::string text(sealed.size() - tag_size, '\0');
  std::string tag(sealed.substr(text.size()));
  int size = 0;
  must(EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()));
  must(EVP_DecryptUpdate(context, nullptr, &size, bytes_of(header),
                         static_cast<int>(header.size())));
  must(EVP_DecryptUpdate(context, bytes_of(text), &size, bytes_of(sealed),
                         static_cast<int>(text.size())));
  must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, tag_size, tag.data()));
  if (EVP_DecryptFinal_ex(context, bytes_of(text) + size, &size) != 1) return std::nullopt;
  return text;
}

ChainedBox::ChainedBox(std::string_view secret)
    : sealer_(EVP_CIPHER_CTX_new()), opener_(EVP_CIPHER_CTX_new()) {
  assert(sealer_ && opener_);
  std::string key(key_size, '\0');
  must(EVP_Digest(secret.data(), secret.size(), bytes_of(key), nullptr, EVP_sha256(), nullptr));
  must(EVP_EncryptInit_ex(sealer_.get(), EVP_aes_256_cbc(), nullptr, bytes_of(key), nullptr));
  must(EVP_DecryptInit_ex(opener_.get(), EVP_aes_256_cbc(), nullptr, bytes_of(key), nullptr));
}

std::string ChainedBox::seal(std::string_view iv, std::string_view text) {
  assert(iv.size() == block_size);
  std::string sealed(text.size() + block_size, '\0');
  int size = 0, last = 0;
  must(EVP_EncryptInit_ex(sealer_.get(), nullptr, nullptr, nullptr, bytes_of(iv)));
  must(EVP_EncryptUpdate(sealer_.get(), bytes_of(sealed), &size, bytes_of(text),
                         static_cast<int>(text.size())));
  must(EVP_EncryptFinal_ex(sealer_.get(), bytes_of(sealed) + size, &last));
  sealed.resize(static_cast<std::size_t>(size + last));
  return sealed;
}

std::optional<std::string> ChainedBox::open(std::string_view iv, std::string_view sealed) {
  assert(iv.size() == block_size);
  std::string text(sealed.size() + block_size, '\0');
  int size = 0, last = 0;
  must(EVP_DecryptInit_ex(opener_.get(), nullptr, nullptr, nullptr, bytes_of(iv)));
  must(EVP_DecryptUpdate(opener_.get(), bytes_of(text), &size, bytes_of(sealed),
                         static_cast<int>(sealed.size())));
  if (EVP_DecryptFinal_ex(opener_.get(), bytes_of(text) + size, &last) != 1) {
    ERR_clear_error();  // Wrong padding leaves its errors queued on the thread.
    return std::nullopt;
  }
  text.resize(static_cast<std::size_t>(size + last));
  return text;
}

}  // namespace muster::discovery
