// SPDX-License-Identifier: MIT
// Disks that are full, that fail, that lose power, that hold somebody else's files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string key(int number) { return "key:" + std::to_string(number); }
std::string value(int number) { return std::to_string(number) + std::string(20'000, 'v'); }

/// Asks again on a new connection where a starved machine let the old one time out.
class PatientClient {
 public:
  explicit PatientClient(const TestNode& node) : port_(node.redis_port()) {}
  std::string ask(const std::vector<std::string>& command) {
    std::string reply;
    for (int tries = 0; tries < 5; ++tries) {
      if (!client_) client_ = std::make_unique<RedisClient>(port_);
      reply = client_->ask(command);
      if (!reply.starts_with('!')) return reply;
      client_.reset();
    }
    return reply;
  }

 private:
  std::uint16_t port_;
  std::unique_ptr<RedisClient> client_;
};

/// Writes the numbers from `first` on until the node refuses, or is gone; those acknowledged.
std::vector<int> write_until_refused(const TestNode& node, int first, int most) {
  PatientClient client(node);
  std::vector<int> acknowledged;
  for (int number = first; number < first + most; ++number) {
    const std::string reply = client.ask({"SET", key(number), value(number)});
    if (reply == "+OK") acknowledged.push_back(number);
    if (reply.starts_with('!') || reply.find("takes no writes") != std::string::npos) break;
  }
  return acknowledged;
}

std::size_t missing(const TestNode& node, const std::vector<int>& numbers) {
  PatientClient client(node);
  return static_cast<std::size_t>(std::count_if(numbers.begin(), numbers.end(), [&](int number) {
    return client.ask({"GET", key(number)}) != value(number);
  }));
}

/// A file system, mounted while this lives.
class Mount {
 public:
  explicit Mount(std::filesystem::path where) : where_(std::move(where)) {
    std::filesystem::create_directories(where_);
  }
  ~Mount() { unmount(); }
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  bool mount(const std::vector<std::string>& how) {
    std::vector<std::string> command{"mount"};
    command.insert(command.end(), how.begin(), how.end());
    command.push_back(where_.string());
    return run(command).status == 0;
  }
  void unmount() { ::umount2(where_.c_str(), MNT_DETACH); }
  [[nodiscard]] const std::filesystem::path& where() const { return where_; }

 private:
  std::filesystem::path where_;
};

class Disk : public Cluster {
 protected:
  Disk() { configure_static({"a", "b"}, "ttl: 1h, durability: sync"); }

  TestNode a_{*this, "a"};
  TestNode b_{*this, "b"};
};

TEST_F(Disk, WhenFullRefusesWritesReadsOnAndRecovers) {
  Mount disk(directory() / "small");
  if (::geteuid() != 0 || !disk.mount({"-t", "tmpfs", "-o", "size=8m", "tmpfs"})) {
    GTEST_SKIP() << "no tmpfs can be mounted here: needs root";
  }
  a_.data = disk.where() / "a";
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_}));
  const auto written = write_until_refused(a_, 0, 2'000);
  ASSERT_GT(written.size(), 50u);
  EXPECT_THAT(PatientClient(a_).ask({"SET", "refused", "1"}), HasSubstr("the disk is full"));
  EXPECT_EQ(missing(a_, written), 0u);
  EXPECT_EQ(a_.table().at("disk").as_string(), "full");
  EXPECT_EQ(http_get(a_.http_port(), "/readyz").status, 503);
  EXPECT_THAT(http_get(a_.http_port(), "/metrics").body,
              HasSubstr("muster_table_disk_ok{table=\"session\"} 0"));
  EXPECT_EQ(a_.count_in_log("writes are refused until there is room"), 1u);
  // The other goes on, whatever it writes is read here.
  EXPECT_TRUE(eventually(5s, [&] { return b_.redis({"SET", "other", "b"}) == "+OK"; }));
  EXPECT_EQ(a_.redis({"GET", "other"}), "b");

  ASSERT_TRUE(disk.mount({"-o", "remount,size=64m"}));
  EXPECT_TRUE(eventually(15s, [&] { return a_.redis({"SET", "again", "2"}) == "+OK"; }));
  EXPECT_TRUE(eventually(15s, [&] { return a_.ready(); }));
  a_.process().kill_hard();
  b_.process().kill_hard();
  a_.start_ready();
  EXPECT_EQ(missing(a_, written), 0u);
  EXPECT_EQ(a_.redis({"GET", "other"}), "b");
  EXPECT_EQ(a_.redis({"GET", "again"}), "2");
}

TEST_F(Disk, AfterAFailedSyncANodeAcknowledgesNothingAndReadsOn) {
  a_.start_ready({}, {{"LD_PRELOAD", FAILING_DISK}, {"MUSTER_FAIL_AT", "400"}});
  b_.start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_}));
  const auto written = write_until_refused(a_, 0, 1'000);
  ASSERT_LT(written.size(), 1'000u) << "nothing failed";
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(PatientClient(a_).ask({"SET", "late", std::to_string(i)}), StartsWith("-"));
  }
  EXPECT_EQ(missing(a_, written), 0u);
  EXPECT_EQ(a_.table().at("disk").as_string(), "failed");
  EXPECT_EQ(http_get(a_.http_port(), "/readyz").status, 503);
  EXPECT_EQ(a_.count_in_log("nothing is stored or acknowledged from now on"), 1u);
  EXPECT_TRUE(eventually(5s, [&] { return b_.redis({"SET", "other", "b"}) == "+OK"; }));
  EXPECT_EQ(a_.redis({"GET", "other"}), "b");
  EXPECT_EQ(missing(b_, written), 0u);
  b_.process().kill_hard();
  a_.process().kill_hard();
  a_.start_ready();
  EXPECT_EQ(missing(a_, written), 0u);
}

/// What store_writer told.
struct Told {
  std::set<std::string> acknowledged, holds;
  std::string failed, refused;
  bool acknowledged_after_failure = false;
  int status = 0;
};

Told write_store(const std::filesystem::path& directory, int count, int fail_at) {
  Environment environment;
  if (fail_at > 0) {
    environment = {{"LD_PRELOAD", FAILING_DISK}, {"MUSTER_FAIL_AT", std::to_string(fail_at)}};
  }
  const Finished finished =
      run({STORE_WRITER, directory.string(), std::to_string(count)}, environment);
  Told told;
  told.status = finished.status;
  std::istringstream lines(finished.output);
  for (std::string line; std::getline(lines, line);) {
    const auto space = line.find(' ');
    const std::string what = line.substr(0, space), rest = line.substr(space + 1);
    if (what == "acknowledged") {
      told.acknowledged.insert(rest);
      told.acknowledged_after_failure |= !told.failed.empty();
    }
    if (what == "holds") told.holds.insert(rest);
    if (what == "failed") told.failed += rest;
    if (what == "refused") told.refused = rest;
  }
  return told;
}

TEST_F(Disk, WhicheverOfItsFirst60CallsFailsNothingAcknowledgedIsLost) {
  int failures = 0;
  for (int fail_at = 1; fail_at <= 60; ++fail_at) {
    const auto where = directory() / ("store" + std::to_string(fail_at));
    const Told told = write_store(where, 30, fail_at);
    SCOPED_TRACE("call " + std::to_string(fail_at) + " fails: " + told.failed + told.refused);
    EXPECT_TRUE(told.status == 0 || (told.status == 2 && !told.refused.empty())) << told.status;
    EXPECT_FALSE(told.failed.empty() && told.refused.empty()) << "nothing failed";
    EXPECT_FALSE(told.acknowledged_after_failure);
    EXPECT_THAT(told.holds, ::testing::IsSupersetOf(told.acknowledged)) << "reads go on";
    failures += told.failed.empty() ? 0 : 1;
    const Told after = write_store(where, 0, 0);
    EXPECT_EQ(after.status, 0) << after.refused;
    EXPECT_THAT(after.holds, ::testing::IsSupersetOf(told.acknowledged));
    std::filesystem::remove_all(where);
  }
  EXPECT_GT(failures, 40);
}

/// How a node that cannot start ends.
std::string refusal(TestNode& node) {
  node.start();
  EXPECT_EQ(node.process().wait(20s), 1) << node.log();
  const std::string log = node.log();
  return log.substr(log.size() - std::min<std::size_t>(log.size(), 600));
}

TEST_F(Disk, OfAnotherNodeIsRefused) {
  a_.start_ready();
  a_.process().kill_hard();
  b_.data = a_.data;
  EXPECT_THAT(refusal(b_), HasSubstr("a@127.0.0.1"));
  a_.start_ready();
}

TEST_F(Disk, InUseIsRefused) {
  a_.start_ready();
  TestNode again(*this, "a");
  EXPECT_THAT(refusal(again), HasSubstr("in use"));
}

TEST_F(Disk, DamagedOrOfAnotherProgramIsRefused) {
  a_.start_ready();
  ASSERT_EQ(write_until_refused(a_, 0, 30).size(), 30u);
  a_.process().kill_hard();
  const auto data = a_.data / "data.mdb";
  const auto length = std::filesystem::file_size(data);
  std::filesystem::resize_file(data, length / 2);
  EXPECT_THAT(refusal(a_), HasSubstr("is damaged"));
  std::ofstream(data) << std::string(10'000, 'x');
  EXPECT_THAT(refusal(a_), HasSubstr("is not an LMDB file"));
  std::filesystem::remove(data);
  a_.start_ready();
}

TEST_F(Disk, ThatCannotBeWrittenIsRefused) {
  Mount disk(directory() / "small");
  if (::geteuid() != 0 || !disk.mount({"-t", "tmpfs", "-o", "size=8m", "tmpfs"})) {
    GTEST_SKIP() << "no tmpfs can be mounted here: needs root";
  }
  a_.data = disk.where() / "a";
  a_.start_ready();
  a_.process().kill_hard();
  ASSERT_TRUE(disk.mount({"-o", "remount,ro"}));
  EXPECT_THAT(refusal(a_), HasSubstr("Read-only file system"));
  ASSERT_TRUE(disk.mount({"-o", "remount,rw"}));
  a_.start_ready();
}

/// An XFS of its own in a file, whose power can be cut.
class PowerSupply {
 public:
  static constexpr std::size_t least = std::size_t{320} << 20;  // That mkfs.xfs takes.

  PowerSupply(const std::filesystem::path& directory, std::size_t bytes)
      : image_(directory / "disk.img"), disk_(directory / "disk") {
    std::ofstream(image_).flush();
    std::filesystem::resize_file(image_, bytes);
    works_ = ::geteuid() == 0 && run({"mkfs.xfs", "-q", image_.string()}).status == 0 && on();
  }
  [[nodiscard]] bool works() const { return works_; }
  [[nodiscard]] const std::filesystem::path& where() const { return disk_.where(); }
  bool on() { return disk_.mount({"-o", "loop", image_.string()}); }
  [[nodiscard]] bool cut() const {
    return run({"xfs_io", "-x", "-c", "shutdown", where().string()}).status == 0;
  }
  /// When nobody uses it any more.
  [[nodiscard]] bool unplug() const {
    return eventually(10s, [&] { return ::umount(where().c_str()) == 0; });
  }

 private:
  std::filesystem::path image_;
  Mount disk_;
  bool works_ = false;
};

TEST_F(Disk, WhenThePowerIsCutNothingAcknowledgedIsLost) {
  const std::size_t of_one_round = std::size_t{64} << 20;
  const auto rounds = static_cast<std::size_t>(repetitions(4));
  PowerSupply power(directory(), PowerSupply::least + rounds * of_one_round);
  if (!power.works()) GTEST_SKIP() << "needs root, loop devices and mkfs.xfs (xfsprogs)";
  a_.data = power.where() / "a";
  std::vector<int> written;
  for (int round = 0; round < repetitions(4); ++round) {
    a_.start_ready();
    ASSERT_EQ(missing(a_, written), 0u) << "after " << round << " cuts";
    std::jthread cutter([&power, round] {
      (void)eventually(std::chrono::milliseconds(100 + 73 * (round % 11)), [] { return false; });
      EXPECT_TRUE(power.cut());
    });
    const auto more = write_until_refused(a_, 100'000 * round, 100'000);
    cutter.join();
    EXPECT_FALSE(more.empty());
    written.insert(written.end(), more.begin(), more.end());
    EXPECT_THAT(PatientClient(a_).ask({"SET", "late", "1"}), StartsWith("-"));
    EXPECT_EQ(missing(a_, written), 0u) << "reads go on without a disk";
    a_.process().kill_hard();
    ASSERT_TRUE(power.unplug());
    ASSERT_TRUE(power.on());
  }
  a_.start_ready();
  EXPECT_EQ(missing(a_, written), 0u);
  a_.process().kill_hard();
}

TEST_F(Disk, UsesAllThereIsAndSaysOnceThatLittleIsLeft) {
  PowerSupply power(directory(), PowerSupply::least);
  if (!power.works()) GTEST_SKIP() << "needs root, loop devices and mkfs.xfs (xfsprogs)";
  const std::size_t left = std::size_t{24} << 20;
  const auto others = std::filesystem::space(power.where()).available - left;
  const auto file = power.where() / "others";
  ASSERT_EQ(run({"fallocate", "-l", std::to_string(others), file.string()}).status, 0);
  a_.data = power.where() / "a";
  a_.start_ready();
  const auto written = write_until_refused(a_, 0, 10'000);
  EXPECT_GT(written.size(), (left - (std::size_t{4} << 20)) / value(0).size());
  EXPECT_EQ(a_.count_in_log("little room is left for tables"), 1u);
  a_.process().kill_hard();
  std::filesystem::remove(file);
  a_.start_ready();
  EXPECT_EQ(missing(a_, written), 0u);
}

}  // namespace
}  // namespace muster::testing
