// SPDX-License-Identifier: MIT
#include "state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "node/temp_dir.h"

namespace muster::node {
namespace {

using ::testing::HasSubstr;

NodeName name_of(std::string_view text) { return NodeName::parse(text).value(); }

NodeState sample() {
  NodeState state;
  state.cluster = 0xfedcba9876543210;
  state.highest_ordinal = 17;
  state.clock_mark = {Timestamp(std::chrono::microseconds(1'700'000'000'123'456)),
                      Instant(std::chrono::nanoseconds(123'456'789)), 0x8877665544332211};
  Membership::Status status;
  status.admissions = 3;
  status.newest = Seniority{5, BootId{0x8000000000000001}};
  state.membership.nodes[name_of("b@127.0.0.1")] = status;
  state.peers.insert(Peer{name_of("b@127.0.0.1"), "127.0.0.1", 4370});
  state.peers.insert(Peer{name_of("c@host"), "", 0});
  return state;
}

std::string content(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

void overwrite(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
}

class StateFileTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string why() const {
    const auto loaded = file_.load();
    return loaded ? "" : loaded.error().text();
  }
  TempDir dir_;
  StateFile file_{dir_.path(), name_of("a@127.0.0.1")};
  std::filesystem::path path_ = dir_ / "node.state";
};

TEST_F(StateFileTest, IsEmptyAtFirstAndGivesBackWhatWasSaved) {
  const auto nothing = file_.load();
  ASSERT_TRUE(nothing);
  EXPECT_EQ(nothing->highest_ordinal, 0u);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(file_.save(sample()));
  const auto loaded = file_.load();
  ASSERT_TRUE(loaded) << loaded.error().text();
  const NodeState expected = sample();
  EXPECT_EQ(loaded->cluster, expected.cluster);
  EXPECT_EQ(loaded->highest_ordinal, expected.highest_ordinal);
  EXPECT_EQ(loaded->clock_mark, expected.clock_mark);
  EXPECT_EQ(loaded->membership.nodes, expected.membership.nodes);
  EXPECT_EQ(loaded->peers, expected.peers);
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(StateFileTest, AnyChangedByteOrLengthIsDamage) {
  ASSERT_TRUE(file_.save(sample()));
  const std::string good = content(path_);
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    overwrite(path_, bad);
    EXPECT_THAT(why(), HasSubstr(path_.string())) << "byte " << i;
    overwrite(path_, good.substr(0, i));
    EXPECT_THAT(why(), HasSubstr(path_.string())) << "length " << i;
  }
  overwrite(path_, good + "x");
  EXPECT_THAT(why(), HasSubstr("damaged"));
  overwrite(path_, good);
  EXPECT_EQ(why(), "");
}

TEST_F(StateFileTest, ForeignNewerAndAnotherNodesAreTold) {
  overwrite(path_, "something else");
  EXPECT_THAT(why(), HasSubstr("not a muster node's state"));
  ASSERT_TRUE(file_.save(sample()));
  std::string newer = content(path_);
  newer[15] = 2;
  overwrite(path_, newer);
  EXPECT_THAT(why(), HasSubstr("a newer muster wrote it (format 2, this one reads 1)"));
  ASSERT_TRUE(StateFile(dir_.path(), name_of("z@127.0.0.1")).save(sample()));
  EXPECT_THAT(why(), HasSubstr("belongs to the node z@127.0.0.1"));
}

TEST_F(StateFileTest, WhatACrashLeftBehindIsNotInTheWay) {
  overwrite(path_.string() + ".new", "half");
  EXPECT_TRUE(file_.save(sample()));
  EXPECT_EQ(why(), "");
}

TEST_F(StateFileTest, ADirectoryThatCannotBeWrittenIsNamed) {
  const StateFile nowhere(dir_ / "none", name_of("a@127.0.0.1"));
  EXPECT_THAT(nowhere.save(sample()).error().text(), HasSubstr("none/node.state"));
}

TEST(DirectoryLock, IsHeldByOneAndNamesIt) {
  const TempDir dir;
  {
    const auto held = DirectoryLock::take(dir / "deep/node");
    ASSERT_TRUE(held);
    const auto refused = DirectoryLock::take(dir / "deep/node");
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().text(), HasSubstr("process " + std::to_string(::getpid())));
    struct stat status {};
    ASSERT_EQ(::stat((dir / "deep/node").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
  }
  EXPECT_TRUE(DirectoryLock::take(dir / "deep/node"));
  overwrite(dir / "file", "");
  EXPECT_FALSE(DirectoryLock::take(dir / "file"));
}

}  // namespace
}  // namespace muster::node
