// SPDX-License-Identifier: MIT
//
// Parts of a copy are written by hand and are the protobuf messages that replication.proto says.
#include "copy_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "key_set.h"
#include "muster/cache/key.h"
#include "replication.pb.h"

namespace muster::cache {
namespace {

const Dot created{{BootId{0x1122334455667788}, 3}, 300};
const Stamp stamp{1'700'000'000'000'000, BootId{9}};

/// As a peer reads it: parts of several buckets and what stands beside them, in one message.
wire::Message two_parts() {
  std::string bytes;
  BucketWriter writer;
  writer.begin(7, false);
  writer.add_entry("key", std::string(300, 'r'));
  writer.add_delete("gone", created, stamp);
  writer.end(false, bytes);
  writer.begin(8, true);
  writer.end(true, bytes);
  wire::Message beside;
  beside.set_table("session");
  beside.mutable_copy_answer()->set_session(77);
  beside.AppendToString(&bytes);
  wire::Message message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  return message;
}

TEST(CopyCodecTest, WritesTheMessageThatTheProtoFileDescribes) {
  const wire::Message message = two_parts();
  EXPECT_EQ(message.table(), "session");
  EXPECT_EQ(message.copy_answer().session(), 77u);
  ASSERT_EQ(message.copy_answer().buckets_size(), 2);
  wire::CopyAnswer::Bucket first, second;
  ASSERT_TRUE(first.ParseFromString(message.copy_answer().buckets(0)));
  ASSERT_TRUE(second.ParseFromString(message.copy_answer().buckets(1)));
  EXPECT_EQ(first.number(), 7u);
  EXPECT_FALSE(first.same() || first.last());
  ASSERT_EQ(first.entries_size(), 1);
  EXPECT_EQ(first.entries(0).key(), "key");
  EXPECT_EQ(first.entries(0).row(), std::string(300, 'r'));
  ASSERT_EQ(first.deletes_size(), 1);
  EXPECT_EQ(first.deletes(0).key(), "gone");
  EXPECT_EQ(first.deletes(0).created().boot(), created.origin.boot.value);
  EXPECT_EQ(first.deletes(0).created().number(), 3u);
  EXPECT_EQ(first.deletes(0).created().sequence(), 300u);
  EXPECT_EQ(first.deletes(0).stamp().time(), stamp.time);
  EXPECT_EQ(first.deletes(0).stamp().boot(), 9u);
  EXPECT_EQ(second.number(), 8u);
  EXPECT_TRUE(second.same() && second.last());
}

TEST(CopyCodecTest, ReadsWhatItWrote) {
  const wire::Message message = two_parts();
  BucketPart part;
  ASSERT_TRUE(read_bucket(message.copy_answer().buckets(0), part));
  EXPECT_EQ(part.number, 7u);
  EXPECT_FALSE(part.same || part.last);
  ASSERT_EQ(part.entries.size(), 1u);
  EXPECT_EQ(part.entries[0].first, "key");
  EXPECT_EQ(part.entries[0].second.size(), 300u);
  ASSERT_EQ(part.deletes.size(), 1u);
  EXPECT_EQ(part.deletes[0].key, "gone");
  EXPECT_EQ(part.deletes[0].created, created);
  EXPECT_EQ(part.deletes[0].stamp, stamp);
  ASSERT_TRUE(read_bucket(message.copy_answer().buckets(1), part));
  EXPECT_TRUE(part.same && part.last && part.entries.empty() && part.deletes.empty());
}

TEST(CopyCodecTest, RefusesKeysBeyondTheirLimitsAndPartsThatAreCut) {
  wire::CopyAnswer::Bucket bucket;
  BucketPart part;
  bucket.add_entries()->set_row("row");
  EXPECT_FALSE(read_bucket(bucket.SerializeAsString(), part));
  bucket.mutable_entries(0)->set_key(std::string(Key::max_encoded + 1, 'k'));
  EXPECT_FALSE(read_bucket(bucket.SerializeAsString(), part));
  bucket.mutable_entries(0)->set_key("key");
  const std::string whole = bucket.SerializeAsString();
  EXPECT_TRUE(read_bucket(whole, part));
  for (std::size_t size = 1; size < whole.size(); ++size) {
    EXPECT_FALSE(read_bucket(std::string_view(whole).substr(0, size), part)) << size;
  }
}

TEST(KeySetTest, HandsOverEachKeyOnceInTheOrderOfItsFirstCome) {
  KeySet keys;
  std::vector<std::string> expected;
  std::mt19937 random(5);
  for (int i = 0; i < 10'000; ++i) {
    const std::string key = "key" + std::to_string(random() % 3000);
    const bool first = std::find(expected.begin(), expected.end(), key) == expected.end();
    if (first) expected.push_back(key);
    keys.add(key);
    ASSERT_EQ(keys.size(), expected.size());
  }
  EXPECT_TRUE(std::ranges::equal(keys.take(), expected));
  EXPECT_EQ(keys.size(), 0u);
  keys.add(expected.front());
  EXPECT_EQ(keys.size(), 1u);
  keys.clear();
  EXPECT_EQ(keys.size(), 0u);
}

}  // namespace
}  // namespace muster::cache
