// SPDX-License-Identifier: MIT
//
// One node of a benchmark, driven by lines on standard input, one line of answer to each; the
// Erlang node in mnesia_member.erl speaks the same.  side_by_side starts both.
//
//   member NAME DIRECTORY ram_copies|disc_copies [PEER]     prints "SECONDS" when its table is
//   ready,
//                                                           counted from before it opened anything
//   fill FROM TO             puts these keys, a thousand at a time
//   put WRITERS MS KEYS      random keys below KEYS, one after the other by each writer; prints
//                            COUNT SECONDS P50 P99 (microseconds)
//   get MS KEYS              local reads; prints COUNT SECONDS
//   digest                   prints what is equal where tables are equal
//   size                     prints how many entries there are
// The end of input stops it.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <iostream>
#include <random>
#include <sstream>

#include "muster/cache/cache.h"
#include "muster/cache/huge_pages.h"
#include "muster/node/node.h"

using namespace muster;
namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto table_name = "session";

/// 32 bytes.
std::string key_text(std::uint64_t number) {
  std::string text = "pow:cache:session:--------------";
  for (std::size_t digit = text.size(); digit-- > 18; number /= 10) {
    text[digit] = static_cast<char>('0' + number % 10);
  }
  return text;
}
cache::Key key_of(std::uint64_t number) { return cache::Key(key_text(number)); }

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Member {
 public:
  Member(asio::io_context& loop, cache::Cache& cache) : loop_(loop), cache_(cache) {
    std::generate(value_.begin(), value_.end(), [this] { return static_cast<char>(random_()); });
  }

  asio::awaitable<void> serve() {
    asio::posix::stream_descriptor input(loop_, ::dup(0));
    asio::streambuf buffer;
    for (;;) {
      boost::system::error_code end;
      co_await asio::async_read_until(input, buffer, '\n',
                                      asio::redirect_error(asio::use_awaitable, end));
      if (end) co_return;
      std::istream lines(&buffer);
      std::string line;
      std::getline(lines, line);
      co_await obey(std::move(line));
    }
  }

 private:
  asio::awaitable<void> obey(std::string line) {
    std::istringstream words(line);
    std::string verb;
    std::uint64_t first = 0, second = 0, third = 0;
    words >> verb >> first >> second >> third;
    if (verb == "fill") co_await fill(first, second);
    if (verb == "put") co_await put(first, std::chrono::milliseconds(second), third);
    if (verb == "get") get(std::chrono::milliseconds(first), second);
    if (verb == "size") say(std::to_string(cache_.table(table_name)->count()));
    if (verb == "digest") {
      const auto digest = cache_.table(table_name)->digest();
      say(std::to_string(digest.low) + "-" + std::to_string(digest.high));
    }
  }

  static void say(const std::string& line) { std::cout << line << std::endl; }

  const std::string& next_value() {
    value_[random_() % value_.size()] = static_cast<char>(random_());
    return value_;
  }

  asio::awaitable<void> fill(std::uint64_t from, std::uint64_t to) {
    constexpr std::uint64_t batch = 1000;
    for (; from < to; from += batch) {
      cache::Write write;
      for (std::uint64_t i = from; i < std::min(from + batch, to); ++i) {
        cache::Put& put = write.puts.emplace_back();
        put.key = key_of(i);
        put.value = next_value();
      }
      const auto written = co_await cache_.write(table_name, std::move(write));
      // Not acknowledged in time (a busy disk): it is there, and stays.
      if (!written) co_return say(written.error().text());
    }
    say("ok");
  }

  asio::awaitable<void> put(std::uint64_t writers, Clock::duration time, std::uint64_t keys) {
    waits_.clear();
    failed_ = 0;
    const auto start = Clock::now();
    open_ = writers;
    asio::steady_timer over(loop_, Clock::time_point::max());
    for (std::uint64_t i = 0; i < writers; ++i) {
      asio::co_spawn(loop_, put_until(start + time, keys, over), [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
      });
    }
    boost::system::error_code ignored;
    co_await over.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    const double took = seconds_since(start);
    std::sort(waits_.begin(), waits_.end());
    std::ostringstream line;
    line << waits_.size() << ' ' << took << ' ' << waits_[waits_.size() / 2] << ' '
         << waits_[waits_.size() * 99 / 100];
    say(failed_ == 0 ? line.str() : std::to_string(failed_) + " puts failed");
  }

  asio::awaitable<void> put_until(Clock::time_point end, std::uint64_t keys,
                                  asio::steady_timer& over) {
    for (auto start = Clock::now(); start < end;) {
      const auto written = co_await cache_.put(table_name, key_of(random_() % keys), next_value());
      if (!written || !written->acknowledged) ++failed_;
      const auto done = Clock::now();
      waits_.push_back(std::chrono::duration<float, std::micro>(done - start).count());
      start = done;
    }
    if (--open_ == 0) over.cancel();
  }

  void get(Clock::duration time, std::uint64_t keys) {
    std::uint64_t count = 0, found = 0;
    const auto start = Clock::now();
    while (Clock::now() - start < time) {
      for (int i = 0; i < 100; ++i, ++count) {
        found += cache_.find_local(table_name, key_text(random_() % keys)) ? 1 : 0;
      }
    }
    std::ostringstream line;
    line << found << ' ' << seconds_since(start);
    say(line.str());
  }

  asio::io_context& loop_;
  cache::Cache& cache_;
  std::mt19937_64 random_{42};
  std::string value_ = std::string(256, '\0');
  std::vector<float> waits_;
  std::uint64_t open_ = 0, failed_ = 0;
};

asio::awaitable<Result<void>> begin(node::Node& node, cache::Cache& cache, std::string peer) {
  const auto start = Clock::now();
  if (auto opened = co_await node.open(); !opened) co_return opened;
  if (auto opened = co_await cache.open(); !opened) co_return opened;
  if (auto started = co_await node.start(); !started) co_return started;
  if (auto started = co_await cache.start(); !started) co_return started;
  if (!peer.empty()) {
    Peer other;
    other.name = *NodeName::parse(peer);
    const auto outcome = co_await node.connect(other);
    if (!outcome.connected) co_return bad_input("not connected: " + outcome.reason);
  }
  if (auto ready = co_await cache.wait_for_tables(); !ready) co_return ready;
  std::cout << seconds_since(start) << std::endl;
  co_return Result<void>();
}

asio::awaitable<void> run(asio::io_context& loop, std::vector<std::string> words, int& status) {
  const Log log([](Level, std::string_view line) { std::cerr << line << '\n'; }, Level::warn);
  node::NodeSettings settings{.name = *NodeName::parse(words[1]), .directory = words[2]};
  settings.cookie_file = std::filesystem::path(words[2]).parent_path() / "cookie";
  node::Node node(loop.get_executor(), std::move(settings), log);
  cache::CacheSettings cache_settings;
  cache_settings.directory = words[2];
  cache_settings.tables.front().storage =
      words[3] == "ram_copies" ? cache::Storage::ram_copies : cache::Storage::disc_copies;
  cache_settings.machine.others_may_come = words.size() > 4;
  cache::Cache cache(node, std::move(cache_settings), log);
  std::string peer;
  if (words.size() > 4) peer = words[4];
  const auto done = co_await begin(node, cache, std::move(peer));
  if (done) {
    Member member(loop, cache);
    co_await member.serve();
  } else {
    std::cerr << done.error().text() << '\n';
  }
  co_await cache.stop();
  co_await node.stop();
  status = done ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  if (count < 4 || !NodeName::parse(words[1]) || (count > 4 && !NodeName::parse(words[4]))) {
    std::cerr << "usage: member NAME DIRECTORY ram_copies|disc_copies [PEER]\n";
    return 2;
  }
  cache::use_huge_pages(words);
  asio::io_context loop(1);
  int status = 1;
  asio::co_spawn(loop, run(loop, std::vector<std::string>(words, words + count), status),
                 [](std::exception_ptr failure) {
                   if (failure) std::rethrow_exception(failure);
                 });
  loop.run();
  return status;
}
