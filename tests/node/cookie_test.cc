// SPDX-License-Identifier: MIT
#include "muster/node/cookie.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "node/temp_dir.h"

namespace muster::node {
namespace {

using ::testing::HasSubstr;

void write(const std::filesystem::path& file, std::string_view text, ::mode_t mode = 0600) {
  std::ofstream(file) << text;
  ASSERT_EQ(::chmod(file.c_str(), mode), 0);
}

TEST(Cookie, IsCreatedOnceWith256BitsForTheOwnerAlone) {
  const TempDir dir;
  const auto first = Cookie::load_or_create(dir / "cookie");
  ASSERT_TRUE(first) << first.error().text();
  EXPECT_EQ(first->weakness(), "");
  struct stat status {};
  ASSERT_EQ(::stat((dir / "cookie").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(std::filesystem::file_size(dir / "cookie"), 65u);
  const auto second = Cookie::load_or_create(dir / "cookie");
  ASSERT_TRUE(second);
  EXPECT_EQ(first->derive("link"), second->derive("link"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(Cookie, IsTheSameForAllThatStartTogether) {
  const TempDir dir;
  std::vector<std::array<std::uint8_t, 32>> keys(16);
  std::vector<std::thread> nodes;
  for (auto& key : keys) {
    nodes.emplace_back([&] {
      const auto cookie = Cookie::load_or_create(dir / "cookie");
      ASSERT_TRUE(cookie) << cookie.error().text();
      key = cookie->derive("link").bytes;
    });
  }
  for (auto& node : nodes) node.join();
  EXPECT_EQ(std::set(keys.begin(), keys.end()).size(), 1u);
}

TEST(Cookie, ThatOthersMayReadIsRefusedWithTheCommandToRun) {
  const TempDir dir;
  for (const ::mode_t mode : {0640u, 0604u, 0660u, 0644u, 0666u, 0610u}) {
    write(dir / "cookie", std::string(64, 'a'), mode);
    const auto cookie = Cookie::load_or_create(dir / "cookie");
    ASSERT_FALSE(cookie);
    EXPECT_THAT(cookie.error().text(), HasSubstr("chmod 600 " + (dir / "cookie").string()));
  }
}

TEST(Cookie, IsWeakWhenEmptyShortOrMonotonous) {
  const TempDir dir;
  const auto weakness = [&](std::string_view text) {
    write(dir / "cookie", text);
    return Cookie::load_or_create(dir / "cookie").value().weakness();
  };
  EXPECT_THAT(weakness(""), HasSubstr("empty"));
  EXPECT_THAT(weakness(" \n"), HasSubstr("empty"));
  EXPECT_THAT(weakness("monster"), HasSubstr("7 characters"));
  EXPECT_THAT(weakness("0123456789012345678901234567890\n"), HasSubstr("31 characters"));
  EXPECT_THAT(weakness(std::string(40, 'x')), HasSubstr("repeats"));
  EXPECT_EQ(weakness("01234567890123456789012345678901\n"), "");
}

TEST(Cookie, KeysDifferByPurposeAndSecretAndIgnoreTheNewline) {
  const Cookie cookie("secret");
  EXPECT_EQ(cookie.derive("link"), Cookie("secret").derive("link"));
  EXPECT_NE(cookie.derive("link"), cookie.derive("gossip"));
  EXPECT_NE(cookie.derive("link"), Cookie("secret2").derive("link"));
  EXPECT_NE(Cookie("").derive("link"), Cookie("x").derive("link"));
  const TempDir dir;
  write(dir / "cookie", "secret\r\n");
  EXPECT_EQ(Cookie::load_or_create(dir / "cookie").value().derive("link"), cookie.derive("link"));
}

TEST(Cookie, ThatCannotBeReadNamesTheFile) {
  const TempDir dir;
  EXPECT_THAT(Cookie::load_or_create(dir / "none/cookie").error().text(), HasSubstr("none/cookie"));
  EXPECT_THAT(Cookie::load_or_create(dir.path()).error().text(), HasSubstr("regular file"));
  write(dir / "cookie", std::string(5000, 'a'));
  EXPECT_THAT(Cookie::load_or_create(dir / "cookie").error().text(), HasSubstr("4096"));
}

}  // namespace
}  // namespace muster::node
