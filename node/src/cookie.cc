// SPDX-License-Identifier: MIT
//
// A new cookie is written to a file of its own and then linked to its name, which succeeds for one
// of many: nobody ever reads half a cookie, and all who start together end up with the same one.
#include "muster/node/cookie.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <pwd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/assert.hpp>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <set>

#include "file_io.h"

namespace muster::node {
namespace {

constexpr std::size_t shortest_strong = 32;
constexpr std::size_t longest = 4096;

Result<std::string> random_text() {
  std::array<unsigned char, 32> bits{};
  std::size_t filled = 0;
  while (filled < bits.size()) {
    const ssize_t count = ::getrandom(bits.data() + filled, bits.size() - filled, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return last_error("cannot get random bits for a cookie");
    filled += static_cast<std::size_t>(count);
  }
  return fmt::format("{:02x}", fmt::join(bits, ""));
}

/// Success also when another node was first.
Result<void> create(const std::filesystem::path& file) {
  const auto text = random_text();
  if (!text) return text.error();
  const std::string temporary = fmt::format("{}.{}", file.string(), text->substr(0, 16));
  if (auto written = write_new_file(temporary, *text + "\n"); !written) return written.error();
  const bool linked = ::link(temporary.c_str(), file.c_str()) == 0;
  const int reason = errno;
  ::unlink(temporary.c_str());
  if (linked || reason == EEXIST) return {};
  return system_error(reason, fmt::format("cannot create the cookie {}", file.string()));
}

Result<Cookie> read(const FileDescriptor& descriptor, const std::filesystem::path& file) {
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) {
    return last_error(fmt::format("cannot read the cookie {}", file.string()));
  }
  if (!S_ISREG(status.st_mode)) {
    return bad_input(fmt::format("the cookie {} is not a regular file", file.string()));
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return bad_input(
        fmt::format("the cookie {} is open to others than its owner; run: chmod 600 {}",
                    file.string(), file.string()));
  }
  auto text = read_all(descriptor, longest);
  if (!text) return bad_input(fmt::format("the cookie {}: {}", file.string(), text.error().text()));
  while (!text->empty() && std::string_view(" \t\r\n").find(text->back()) != std::string::npos) {
    text->pop_back();
  }
  return Cookie(std::move(*text));
}

}  // namespace

Key::~Key() { OPENSSL_cleanse(bytes.data(), bytes.size()); }

Result<Cookie> Cookie::load_or_create(const std::filesystem::path& file) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    const FileDescriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (descriptor.valid()) return read(descriptor, file);
    if (errno != ENOENT) return last_error(fmt::format("cannot read the cookie {}", file.string()));
    if (auto created = create(file); !created) return created.error();
  }
  return bad_input(fmt::format("the cookie {} disappeared while it was read", file.string()));
}

std::string Cookie::weakness() const {
  if (text_.empty()) return "it is empty";
  if (text_.size() < shortest_strong) {
    return fmt::format("it has {} characters, {} are needed", text_.size(), shortest_strong);
  }
  if (std::set<char>(text_.begin(), text_.end()).size() < 8) return "it repeats a few characters";
  return {};
}

Key Cookie::derive(std::string_view purpose) const {
  const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(
      EVP_KDF_fetch(nullptr, "HKDF", nullptr), &EVP_KDF_free);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      EVP_KDF_CTX_new(kdf.get()), &EVP_KDF_CTX_free);
  std::string digest = "SHA256";
  std::string salt = "muster 1";
  std::string info(purpose);
  std::string secret =
      text_ + '\0';  // HKDF refuses an empty key; an empty cookie is weak, not fatal.
  const std::array parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.data(), salt.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  Key key;
  const int derived =
      EVP_KDF_derive(context.get(), key.bytes.data(), key.bytes.size(), parameters.data());
  BOOST_VERIFY(derived == 1);
  OPENSSL_cleanse(secret.data(), secret.size());
  return key;
}

std::filesystem::path default_cookie_file() {
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return std::filesystem::path(home) / ".muster.cookie";
  }
  const passwd* user = ::getpwuid(::geteuid());
  return std::filesystem::path(user != nullptr ? user->pw_dir : "/") / ".muster.cookie";
}

}  // namespace muster::node
