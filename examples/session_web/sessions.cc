// SPDX-License-Identifier: MIT
#include "sessions.h"

#include <array>
#include <random>

namespace session_web {

using muster::Result;
using muster::cache::Key;
namespace asio = boost::asio;
namespace cache = muster::cache;

namespace {

const std::string table = "session";

std::string random_token() {
  std::random_device chance;  // getrandom(2) here
  std::string token;
  for (int word = 0; word < 4; ++word) {
    constexpr std::string_view digits = "0123456789abcdef";
    auto bits = chance();
    for (int digit = 0; digit < 8; ++digit, bits >>= 4) token.push_back(digits[bits & 15]);
  }
  return token;
}

bool is_token(const std::string& text) { return text.size() == 32; }

cache::Put session(const std::string& token, std::string user) {
  cache::Put put;
  put.key = Key(token);
  put.value = std::move(user);
  return put;
}

}  // namespace

asio::awaitable<Result<std::string>> Sessions::begin(std::string user) {
  const std::string token = random_token();
  const auto written = co_await cache_.put(table, Key(token), std::move(user));
  if (!written) co_return written.error();
  co_return token;
}

asio::awaitable<Result<std::optional<std::string>>> Sessions::user_of(std::string token) {
  if (!is_token(token)) co_return std::optional<std::string>();
  co_return co_await cache_.get(table, Key(token));
}

asio::awaitable<Result<std::string>> Sessions::renew(std::string token, std::string user) {
  const std::string renewed = random_token();
  cache::Write write;
  write.puts.push_back(session(renewed, std::move(user)));
  write.deletes.push_back(Key(token));
  const auto written = co_await cache_.write(table, std::move(write));
  if (!written) co_return written.error();
  co_return renewed;
}

asio::awaitable<Result<void>> Sessions::end(std::string token) {
  if (!is_token(token)) co_return Result<void>();
  const auto written = co_await cache_.erase(table, Key(token));
  if (!written) co_return written.error();
  co_return Result<void>();
}

}  // namespace session_web
