// SPDX-License-Identifier: MIT
#include "access.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "muster/app/config.h"

namespace muster::app {
namespace {

std::array<std::uint8_t, 32> hash_of(std::string_view text) {
  std::array<std::uint8_t, 32> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
  return hash;
}

}  // namespace

Result<Access> Access::load(const std::filesystem::path& password_file) {
  Access access;
  if (password_file.empty()) return access;
  const std::string shown = "password file " + password_file.string();
  struct stat status {};
  if (stat(password_file.c_str(), &status) != 0)
    return Error{boost::system::error_code(errno, boost::system::generic_category()), shown};
  if ((status.st_mode & 077) != 0)
    return bad_input(shown + " is readable by others; run: chmod 600 " + password_file.string());
  std::ifstream in(password_file);
  std::string line;
  if (!std::getline(in, line) || line.empty())
    return bad_input(shown + " is empty; its first line is the password");
  if (line.size() > 1024) return bad_input(shown + " holds a line above 1024 bytes");
  if (line.ends_with('\r')) line.pop_back();
  access.hash_ = hash_of(line);
  OPENSSL_cleanse(line.data(), line.size());
  return access;
}

bool Access::matches(std::string_view password) const {
  if (!hash_) return false;
  const auto offered = hash_of(password);
  return CRYPTO_memcmp(offered.data(), hash_->data(), offered.size()) == 0;
}

Result<void> Access::may_listen(std::string_view address) const {
  if (has_password() || is_loopback(address)) return {};
  return bad_input("listening on " + std::string(address) +
                   " needs a password: set listen.password_file or --password-file, or listen on "
                   "127.0.0.1");
}

}  // namespace muster::app
