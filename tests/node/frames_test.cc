// SPDX-License-Identifier: MIT
#include "transport/frames.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace muster::node {
namespace {

Bytes bytes(std::size_t size, char fill) { return std::make_shared<const std::string>(size, fill); }

std::vector<std::string> read_all(FrameReader& reader, std::string_view stream, std::size_t step) {
  std::vector<std::string> frames;
  while (!stream.empty()) {
    reader.push(stream.substr(0, step));
    while (auto frame = reader.next()) frames.emplace_back(*frame);
    stream.remove_prefix(std::min(step, stream.size()));
  }
  return frames;
}

TEST(Frames, ComeOutAsTheyWentInHoweverTheStreamIsCut) {
  for (const std::size_t step : {1u, 2u, 3u, 5u, 7u, 64u, 1000u, 70'000u, 10'000'000u}) {
    FrameQueue queue;
    std::vector<std::string> sent;
    for (const std::size_t size : {1u, 2u, 3u, 4u, 5u, 100u, 3000u}) {
      queue.push(Lane::urgent, bytes(size, 'u'));
      sent.emplace_back(size, 'u');
    }
    std::string stream;
    queue.take(stream, 1 << 20);
    FrameReader reader;
    EXPECT_EQ(read_all(reader, stream, step), sent) << "step " << step;
    EXPECT_EQ(reader.broken(), "");
  }
}

TEST(Frames, UrgentOnesPassBetweenSlicesOfBulk) {
  FrameQueue queue;
  queue.push(Lane::bulk, bytes(frame_max, 'b'));
  std::string stream;
  queue.take(stream, 1);
  EXPECT_EQ(stream.size(), slice_max + 4);
  queue.push(Lane::urgent, bytes(10, 'u'));
  queue.push(Lane::bulk, bytes(5, 'c'));
  while (!queue.empty()) queue.take(stream, 256 << 10);
  FrameReader reader;
  const auto frames = read_all(reader, stream, 4096);
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[0], std::string(10, 'u'));
  EXPECT_EQ(frames[1], std::string(frame_max, 'b'));
  EXPECT_EQ(frames[2], std::string(5, 'c'));
}

TEST(Frames, BulkMovesByASliceEvenWhenUrgentOnesFillEveryRound) {
  FrameQueue queue;
  queue.push(Lane::bulk, bytes(3 * slice_max, 'b'));
  for (int i = 0; i < 100; ++i) queue.push(Lane::urgent, bytes(1000, 'u'));
  for (int round = 0; round < 3; ++round) {
    std::string stream;
    queue.take(stream, 2000);
    EXPECT_GT(stream.size(), slice_max);
    EXPECT_LT(stream.size(), slice_max + 4000);
  }
}

TEST(FrameQueue, CountsItsBytesExactly) {
  const unsigned seed = std::random_device{}();
  std::mt19937 random(seed);
  FrameQueue queue;
  FrameReader reader;
  std::size_t pushed = 0;
  std::size_t read = 0;
  for (int i = 0; i < 300; ++i) {
    const std::size_t size = 1 + random() % (random() % 10 == 0 ? frame_max : 2000);
    queue.push(random() % 2 == 0 ? Lane::bulk : Lane::urgent, bytes(size, 'x'));
    pushed += size;
    std::string stream;
    const std::size_t before = queue.bytes();
    if (random() % 3 == 0) queue.take(stream, random() % 300'000);
    const std::size_t taken = before - queue.bytes();
    for (const auto& frame : read_all(reader, stream, 1 + random() % 100'000)) read += frame.size();
    EXPECT_LE(taken, stream.size()) << "seed " << seed;
  }
  std::string rest;
  while (!queue.empty()) queue.take(rest, 1 << 20);
  for (const auto& frame : read_all(reader, rest, 65536)) read += frame.size();
  EXPECT_EQ(queue.bytes(), 0u) << "seed " << seed;
  EXPECT_EQ(read, pushed) << "seed " << seed;
}

TEST(FrameQueue, ForgetsBulkWithTheRestOfAFrameThatHasBegun) {
  FrameQueue queue;
  queue.push(Lane::bulk, bytes(2 * slice_max, 'b'));
  queue.push(Lane::bulk, bytes(7, 'b'));
  queue.push(Lane::urgent, bytes(3, 'u'));
  std::string stream;
  queue.take(stream, 1);
  queue.drop_bulk();
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_TRUE(queue.empty());
}

std::string_view why_broken(FrameReader& reader, std::string_view stream) {
  reader.push(stream);
  while (reader.next()) {
  }
  return reader.broken();
}

TEST(FrameReader, RefusesWhatIsEmptyOrTooLargeBeforeItComes) {
  using namespace std::string_view_literals;
  FrameReader zero, one_too_many, huge_slice, cut_urgent;
  EXPECT_NE(why_broken(zero, "\0\0\0\0"sv), "");
  EXPECT_NE(why_broken(one_too_many, "\x00\x10\x04\x01"sv), "");
  EXPECT_NE(why_broken(huge_slice, "\x80\x01\x00\x01"sv), "");
  EXPECT_NE(why_broken(cut_urgent, "\x40\x00\x00\x01"sv), "");
  FrameReader at_limit;
  EXPECT_EQ(why_broken(at_limit, "\x00\x10\x04\x00"sv), "");
}

TEST(FrameReader, RefusesABulkFrameThatNeverEnds) {
  std::string slice("\xC0\x01\x00\x00", 4);
  slice.append(slice_max, 'b');
  FrameReader reader;
  std::size_t slices = 0;
  while (reader.broken().empty() && slices < 100) {
    reader.push(slice);
    EXPECT_FALSE(reader.next());
    ++slices;
  }
  EXPECT_EQ(slices, 17u);
}

TEST(FrameReader, SurvivesGarbage) {
  const unsigned seed = std::random_device{}();
  std::mt19937 random(seed);
  for (int run = 0; run < 2000; ++run) {
    FrameReader reader;
    for (int piece = 0; piece < 20 && reader.broken().empty(); ++piece) {
      std::string garbage(random() % 40, '\0');
      for (char& c : garbage) c = static_cast<char>(random() % 4 == 0 ? random() : random() % 3);
      reader.push(garbage);
      while (const auto frame = reader.next()) {
        EXPECT_FALSE(frame->empty()) << "seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace muster::node
