// SPDX-License-Identifier: MIT
//
// The end of a cache: it comes, whatever others and the disk do, and what was acknowledged is there
// afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lmdb.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "cache/cache_host.h"
#include "node/temp_dir.h"

namespace muster::cache {
namespace {

using node::Loop;
using node::TempDir;
using namespace std::chrono_literals;

std::future<void> begin_to_stop(Loop& loop, Host& host) {
  return boost::asio::co_spawn(loop.io(), host.cache->stop(), boost::asio::use_future);
}

/// Puts one key after the other, without end.
class Writer {
 public:
  Writer(Host& host, std::string prefix, Acknowledge acknowledge)
      : prefix_(std::move(prefix)), options_{.acknowledge = acknowledge}, thread_([this, &host] {
          write(host);
        }) {}
  ~Writer() { stop(); }
  void stop() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }
  void wait_for(std::size_t puts) const {
    while (done_ < puts) std::this_thread::yield();
  }
  /// Keys of acknowledged puts that `name` had.  After stop().
  [[nodiscard]] std::vector<std::string> held_by(std::string_view name) const {
    std::vector<std::string> keys;
    for (const auto& [key, holders] : acknowledged_) {
      const auto is_it = [&](const NodeName& holder) { return holder.text() == name; };
      if (std::ranges::any_of(holders, is_it)) keys.push_back(key);
    }
    return keys;
  }

 private:
  void write(Host& host) {
    for (int i = 0; !over_; ++i) {
      const std::string key = prefix_ + std::to_string(i);
      Write one;
      one.puts.push_back({.key = Key(key), .value = "v"});
      const auto written = host.cache->write_blocking("session", std::move(one), options_);
      if (written && written->acknowledged) acknowledged_.emplace_back(key, written->holders);
      ++done_;
    }
  }
  const std::string prefix_;
  const WriteOptions options_;
  std::vector<std::pair<std::string, std::vector<NodeName>>> acknowledged_;
  std::atomic<std::size_t> done_ = 0;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

class WhileOthersWrite : public testing::TestWithParam<Durability> {};

TEST_P(WhileOthersWrite, StopEndsAndWhatWasAcknowledgedIsThere) {
  Loop loop;
  TempDir directory;
  std::vector<std::string> acknowledged;
  {
    Host a(loop, "a@127.0.0.1", directory / "a", GetParam());
    Host b(loop, "b@127.0.0.1", directory / "b", GetParam());
    ASSERT_TRUE(a.start());
    ASSERT_TRUE(a.ready());
    ASSERT_TRUE(b.start());
    ASSERT_TRUE(b.node.connect(a.node).connected);
    ASSERT_TRUE(b.ready());
    Writer one(b, "one", Acknowledge::sync);
    std::deque<Writer> others;
    for (const char* name : {"w", "x", "y", "z"}) others.emplace_back(b, name, Acknowledge::local);
    one.wait_for(20);
    auto stopped = begin_to_stop(loop, a);
    while (a.put("late", "v")) {
    }
    const std::size_t heard = a.cache->table("session")->count();
    EXPECT_EQ(stopped.wait_for(10s), std::future_status::ready);
    others.clear();
    one.stop();
    stopped.get();
    EXPECT_EQ(a.cache->table("session")->count(), heard) << "what is left to store has an end";
    acknowledged = one.held_by("a@127.0.0.1");
  }
  EXPECT_GE(acknowledged.size(), 10u);
  Host again(loop, "a@127.0.0.1", directory / "a");
  ASSERT_TRUE(again.open());
  for (const std::string& key : acknowledged) {
    EXPECT_TRUE(again.cache->find_local("session", key)) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(CacheStop, WhileOthersWrite,
                         testing::Values(Durability::sync, Durability::async),
                         [](const auto& test) { return std::string(to_string(test.param)); });

/// Another process that can begin to write to an LMDB file and never end: to whoever else would
/// write the disk hangs.
class EndlessWriter {
 public:
  explicit EndlessWriter(std::filesystem::path directory) {
    if (::pipe(begin_) != 0 || ::pipe(begun_) != 0) std::abort();
    process_ = ::fork();
    if (process_ == 0) write(directory);
  }
  ~EndlessWriter() {
    end();
    for (const int end : {begin_[0], begin_[1], begun_[0], begun_[1]}) ::close(end);
  }
  [[nodiscard]] bool begin() {
    char byte = 'b';
    return ::write(begin_[1], &byte, 1) == 1 && ::read(begun_[0], &byte, 1) == 1 && byte == 'b';
  }
  void end() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(std::exchange(process_, 0), nullptr, 0);
  }

 private:
  [[noreturn]] void write(const std::filesystem::path& directory) {
    char byte = 'b';
    MDB_env* environment = nullptr;
    MDB_txn* transaction = nullptr;
    if (::read(begin_[0], &byte, 1) != 1 || mdb_env_create(&environment) != 0 ||
        mdb_env_open(environment, directory.c_str(), 0, 0600) != 0 ||
        mdb_txn_begin(environment, nullptr, 0, &transaction) != 0) {
      byte = 'f';
    }
    if (::write(begun_[1], &byte, 1) == 1) ::pause();
    ::_exit(1);
  }
  int begin_[2] = {-1, -1}, begun_[2] = {-1, -1};
  pid_t process_ = 0;
};

TEST(CacheStop, ADiskThatHangsIsLeftAlone) {
  TempDir directory;
  EndlessWriter writer(directory / "a");  // Before there are threads.
  Loop loop;
  {
    Host a(loop, "a@127.0.0.1", directory / "a");
    ASSERT_TRUE(a.start());
    ASSERT_TRUE(a.ready());
    ASSERT_TRUE(a.put("before", "1"));
    ASSERT_TRUE(writer.begin());
    ASSERT_TRUE(a.put("k", "1"));
    auto stopped = begin_to_stop(loop, a);
    EXPECT_EQ(stopped.wait_for(10s), std::future_status::ready);
    EXPECT_TRUE(a.node.book.wait_for("does not answer: what was not stored yet is given up"));
    EXPECT_EQ(a.cache->find_local("session", "k")->value, "1");
    writer.end();
    stopped.get();
  }
}

}  // namespace
}  // namespace muster::cache
