// SPDX-License-Identifier: MIT
//
// From reconnect to healed, on two real nodes over loopback, each with a loop of its own and a
// directory: both sides write while they are cut apart, and are read without a pause all the while.
//
//   heal_bench [ENTRIES [WRITES [ROUNDS]]]      default 100000 1000 5
//
// Each side writes WRITES keys of its own and 100 that the other writes too, under `oldest`.  One
// line per figure: name, median, unit, (least..most).  Reads that were refused or missed a key that
// both have are counted; there must be none.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "muster/cache/cache.h"
#include "muster/node/node.h"
#include "muster/unsplit/unsplit.h"

namespace {

namespace asio = boost::asio;
using namespace muster;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

void pause(Clock::duration time) {
  asio::io_context loop;
  asio::steady_timer(loop, time).wait();
}

constexpr std::size_t value_bytes = 256;
constexpr std::size_t same_keys = 100;

void fail(const std::string& why) {
  std::fprintf(stderr, "heal_bench: %s\n", why.c_str());
  std::exit(1);
}

std::string key_of(const std::string& group, std::size_t number) {
  std::string text = group + std::to_string(number);
  return text + std::string(32 - std::min<std::size_t>(text.size(), 32), '.');
}

/// One node as a process has it: loop, node, cache, healer.
class Host {
 public:
  Host(const std::string& name, const std::filesystem::path& directory)
      : guard_(asio::make_work_guard(loop_)), thread_([this] { loop_.run(); }) {
    node::NodeSettings settings;
    settings.name = NodeName::parse(name).value();
    settings.directory = directory;
    settings.cookie_file = directory.parent_path() / "cookie";
    settings.use_port_mapper = false;
    settings.allow_faults = true;
    node_.emplace(loop_.get_executor(), settings, Log());
    cache::CacheSettings tables;
    tables.directory = directory;
    cache_.emplace(*node_, tables, Log());
    must(run(node_->open()));
    must(run(cache_->open()));
    unsplit_.emplace(*cache_, unsplit::UnsplitOptions(), Log());
    must(run(node_->start()));
    must(run(cache_->start()));
  }
  ~Host() {
    run(unsplit_->stop());
    run(cache_->stop());
    run(node_->stop());
    unsplit_.reset();
    cache_.reset();
    node_.reset();
    guard_.reset();
    thread_.join();
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  template <class T>
  T run(asio::awaitable<T> work) {
    return asio::co_spawn(loop_, std::move(work), asio::use_future).get();
  }
  template <class T>
  static void must(const Result<T>& result) {
    if (!result) fail(result.error().text());
  }
  void connect(const Host& other) { run(node_->connect(other.node_->view()->advertised)); }
  /// `many` keys in batches: to fill it.
  void fill(const std::string& group, std::size_t many, const std::string& value) {
    for (std::size_t first = 0; first < many; first += 1000) {
      cache::Write write;
      for (std::size_t i = first; i < std::min(many, first + 1000); ++i)
        write.puts.push_back({.key = cache::Key(key_of(group, i)), .value = value, .ttl = 24h});
      must(cache_->write_blocking("session", std::move(write)));
    }
  }
  /// One operation per key, as clients write.
  void write(const std::string& group, std::size_t many, const std::string& value) {
    std::vector<std::future<Result<cache::Written>>> answers;
    for (std::size_t i = 0; i < many; ++i)
      answers.push_back(
          asio::co_spawn(loop_, cache_->put("session", cache::Key(key_of(group, i)), value, 24h),
                         asio::use_future));
    for (auto& answer : answers) must(answer.get());
  }
  cache::TableStatus status() { return run(cache_->status()).front(); }

  std::optional<node::Node>& node() { return node_; }
  cache::Cache& cache() { return *cache_; }
  unsplit::Unsplit& unsplit() { return *unsplit_; }

 private:
  asio::io_context loop_;
  asio::executor_work_guard<asio::io_context::executor_type> guard_;
  std::optional<node::Node> node_;
  std::optional<cache::Cache> cache_;
  std::optional<unsplit::Unsplit> unsplit_;
  std::thread thread_;
};

/// Reads what both sides have, until it goes away.
class Reader {
 public:
  Reader(Host& host, std::size_t entries)
      : thread_([this, &host, entries] {
          auto last = Clock::now();
          for (std::size_t i = same_keys; !stop_; i = i + 1 < entries ? i + 1 : same_keys) {
            if (!host.cache().ready() || !host.cache().find_local("session", key_of("k", i)))
              ++refused;
            const auto now = Clock::now();
            longest = std::max(longest, now - last);
            last = now;
            pause(100us);
          }
        }) {}
  ~Reader() { finish(); }
  void finish() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  std::size_t refused = 0;
  Clock::duration longest{};

 private:
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

template <class Condition>
void wait_until(const char* what, Condition condition, Duration most = 120s) {
  const auto end = Clock::now() + most;
  while (!condition()) {
    if (Clock::now() > end) fail(std::string("never came: ") + what);
    pause(1ms);
  }
}

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

void figure(const std::string& name, std::vector<double> values, const char* unit) {
  std::ranges::sort(values);
  std::printf("%s %.6g %s (%.6g..%.6g)\n", name.c_str(), values[values.size() / 2], unit,
              values.front(), values.back());
  std::fflush(stdout);
}

void measure(const std::filesystem::path& home, std::size_t entries, std::size_t writes,
             int rounds) {
  Host a("a@127.0.0.1", home / "a"), b("b@127.0.0.1", home / "b");
  Host::must(a.run(a.cache().wait_for_tables()));
  a.fill("k", entries, std::string(value_bytes, 'x'));
  b.connect(a);
  wait_until("a copy on both", [&] { return b.status().digest == a.status().digest; });

  std::vector<double> total, refused, gap, aside;
  for (int round = 0; round < rounds; ++round) {
    const auto journal_before =
        b.run(b.unsplit().journal("session")).size() + a.run(a.unsplit().journal("session")).size();
    Host::must(a.run(a.node()->cut(NodeName::parse("b@127.0.0.1").value())));
    Host::must(b.run(b.node()->cut(NodeName::parse("a@127.0.0.1").value())));
    wait_until("the split", [&] {
      return a.node()->view()->island.size() == 1 && b.node()->view()->island.size() == 1;
    });
    const std::string suffix = std::to_string(round) + "-";
    for (auto* side : {&a, &b}) {
      const std::string value(value_bytes, side == &a ? 'A' : 'B');
      side->write((side == &a ? "a" : "b") + suffix, writes, value);
      side->write("k", same_keys, value);
    }
    Reader at_a(a, entries), at_b(b, entries);
    pause(100ms);
    const auto start = Clock::now();
    a.run(a.node()->heal());
    b.run(b.node()->heal());
    a.connect(b);
    wait_until("healed", [&] {
      const auto mine = a.status(), theirs = b.status();
      return mine.path == theirs.path && mine.digest == theirs.digest && theirs.apart.empty();
    });
    total.push_back(seconds(Clock::now() - start));
    at_a.finish();
    at_b.finish();
    refused.push_back(static_cast<double>(at_a.refused + at_b.refused));
    gap.push_back(seconds(std::max(at_a.longest, at_b.longest)));
    aside.push_back(static_cast<double>(b.run(b.unsplit().journal("session")).size() +
                                        a.run(a.unsplit().journal("session")).size() -
                                        journal_before));
  }
  const std::string name = "muster.heal." + std::to_string(entries) + ".";
  figure(name + "diverged_writes_of_a_side", {static_cast<double>(writes + same_keys)}, "count");
  figure(name + "total_from_reconnect", total, "s");
  figure(name + "reads_refused", refused, "count");
  figure(name + "longest_between_reads", gap, "s");
  figure(name + "set_aside_in_journal", aside, "count");
}

}  // namespace

int main(int count, char** words) {
  const auto argument = [&](int at, std::size_t otherwise) {
    return count > at ? std::strtoul(words[at], nullptr, 10) : otherwise;
  };
  std::string home = (std::filesystem::temp_directory_path() / "muster-heal-XXXXXX").string();
  if (mkdtemp(home.data()) == nullptr) fail("no temporary directory");
  measure(home, argument(1, 100'000), argument(2, 1000), static_cast<int>(argument(3, 5)));
  std::filesystem::remove_all(home);
}
