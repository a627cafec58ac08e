// SPDX-License-Identifier: MIT
// Erlang's external terms: every tag is read or stepped over to the byte, damage of any kind ends
// the reading.
#include "external_term.h"

#include <gmock/gmock.h>

#include <random>
#include <vector>

namespace muster::discovery::external_term {
namespace {

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

const std::string version = bytes_of("83");
const std::string atom_ok = bytes_of("77026F6B");

struct Sample {
  const char* what;
  const char* hex;  // Without the version byte.
};

// Written by Erlang/OTP 25, or by hand from the description of the format where it no longer does.
const std::vector<Sample> samples{
    {"small integer", "6105"},
    {"integer", "62FFFFFFFB"},
    {"float", "463FF8000000000000"},
    {"float as text", "63312E3530303030303030303030303030303030303030652B30300000000000"},
    {"small big", "6E0501003C534C10"},
    {"large big", "6F00000002000102"},
    {"nil", "6A"},
    {"string", "6B0006737472696E67"},
    {"empty string", "6B0000"},
    {"binary", "6D0000000362696E"},
    {"bit binary", "4D000000010320"},
    {"list", "6C00000002610161026A"},
    {"improper list",
     "6C0000000164000161640001"
     "62"},
    {"small tuple",
     "6803640001786101"
     "6A"},
    {"empty tuple", "6800"},
    {"large tuple", "690000000261016102"},
    {"map", "740000000164000378797A6104"},
    {"empty map", "7400000000"},
    {"latin1 atom", "640003626164"},
    {"small latin1 atom", "7303626164"},
    {"utf8 atom", "760003626164"},
    {"small utf8 atom", "7703626164"},
    {"pid", "6764000161000000090000000001"},
    {"new pid", "5864000D6E6F6E6F6465406E6F686F7374000000090000000000000000"},
    {"reference",
     "6564000161000000"
     "0901"},
    {"new reference", "72000264000161010000000100000002"},
    {"newer reference", "5A000364000D6E6F6E6F6465406E6F686F7374000000000003B05E1204000182D850FE"},
    {"port",
     "6664000161000000"
     "0901"},
    {"new port", "5964000D6E6F6E6F6465406E6F686F73740000000000000000"},
    {"large port",
     "787701610000000000000001"
     "00000002"},
    {"export", "716400056C697374736400036D61706102"},
    {"function",
     "70000000E801065361AA461590D1BDF1EB62D1A6EB080000002A0000000164000865726C5F6576616C612A62"
     "00329B0D5864000D6E6F6E6F6465406E6F686F7374000000090000000000000000680661026C00000001680264"
     "0001505864000D6E6F6E6F6465406E6F686F73740000000900000000000000006A6400046E6F6E656400046E6F"
     "6E6574000000006C000000016805640006636C6175736561026C0000000168036400037661726102640001586A"
     "6A6C0000000168036400057475706C6561026C0000000268036400037661726102640001586803640003766172"
     "6102640001506A6A6A"},
    {"old function",
     "75000000016764000161000000090000000001640001"
     "6D"
     "610161026103"},
};

/// A reader with the bytes that it reads.
struct Reading {
  explicit Reading(std::string text) : bytes(std::move(text)) {}
  Reading(const Reading&) = delete;

  const std::string bytes;
  Reader in{bytes};
};

TEST(ExternalTerm, StepsOverTermsOfAllTagsToTheByte) {
  for (const Sample& sample : samples) {
    Reading reading(version + bytes_of(sample.hex) + atom_ok);
    auto& in = reading.in;
    in.skip();
    EXPECT_EQ(in.atom(), "ok") << sample.what;
    EXPECT_FALSE(in.failed()) << sample.what;
  }
}

TEST(ExternalTerm, ATermThatIsCutShortAnywhereFails) {
  for (const Sample& sample : samples) {
    const std::string whole = version + bytes_of(sample.hex);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      Reader in(std::string_view(whole).substr(0, size));
      in.skip();
      EXPECT_TRUE(in.failed()) << sample.what << " cut to " << size;
      EXPECT_EQ(in.atom(), std::nullopt);
    }
  }
}

TEST(ExternalTerm, ReadsAtomsOfAllTagsAsUtf8) {
  for (const char* hex : {"640002E9E4", "7302E9E4", "760004C3A9C3A4", "7704C3A9C3A4"}) {
    Reading reading(version + bytes_of(hex));
    auto& in = reading.in;
    EXPECT_EQ(in.atom(), "\u00e9\u00e4") << hex;
  }
}

TEST(ExternalTerm, AnAtomHasAtMost255Characters) {
  const std::string longest(255, 'x');
  EXPECT_EQ(Reading(version + bytes_of("6400FF") + longest).in.atom(), longest);
  Reading too_long(version + bytes_of("640100") + longest + "x");
  EXPECT_EQ(too_long.in.atom(), std::nullopt);
  EXPECT_TRUE(too_long.in.failed());
  std::string wide;  // 255 characters of two bytes each.
  for (int i = 0; i < 255; ++i) wide += "\u00e9";
  EXPECT_EQ(Reading(version + bytes_of("7601FE") + wide).in.atom(), wide);
}

TEST(ExternalTerm, WhatIsNoAtomOrNoMapIsLeftToBeSkipped) {
  Reading reading(version + bytes_of("6105") + bytes_of("7400000000") + atom_ok);
  auto& in = reading.in;
  EXPECT_EQ(in.atom(), std::nullopt);
  EXPECT_EQ(in.map(), std::nullopt);
  in.skip();
  EXPECT_EQ(in.map(), 0u);
  EXPECT_EQ(in.atom(), "ok");
}

TEST(ExternalTerm, CompressedCachedLocalAndUnknownTermsAreRefused) {
  for (const char* hex : {"5000000004789C", "5205", "79", "00", "FF"}) {
    Reading reading(version + bytes_of(hex) + std::string(100, '\0'));
    auto& in = reading.in;
    in.skip();
    EXPECT_TRUE(in.failed()) << hex;
  }
  EXPECT_TRUE(Reading(bytes_of("826105")).in.failed());
  EXPECT_TRUE(Reading("").in.failed());
}

TEST(ExternalTerm, APromiseOfMoreTermsThanBytesIsRefusedAtOnce) {
  for (const char* hex : {"69FFFFFFFF", "6CFFFFFFFF", "74FFFFFFFF", "75FFFFFFFF"}) {
    Reading reading(version + bytes_of(hex) + std::string(1000, 'j'));
    auto& in = reading.in;
    in.skip();
    EXPECT_TRUE(in.failed()) << hex;
  }
  Reading map(version + bytes_of("74FFFFFFFF"));
  EXPECT_EQ(map.in.map(), std::nullopt);
  EXPECT_TRUE(map.in.failed());
}

TEST(ExternalTerm, DepthCostsNothing) {
  std::string deep = version;
  for (int i = 0; i < 100'000; ++i) deep += bytes_of("6801");
  Reading whole(deep + bytes_of("6A") + atom_ok);
  whole.in.skip();
  EXPECT_EQ(whole.in.atom(), "ok");
  Reader cut(deep);
  cut.skip();
  EXPECT_TRUE(cut.failed());
}

TEST(ExternalTerm, FlippedBitsNeverReadBeyondTheBytes) {
  for (std::uint64_t seed = 0; seed < 2'000; ++seed) {
    std::mt19937_64 random(seed);
    std::string bytes = version + bytes_of(samples[random() % samples.size()].hex);
    for (int flips = 0; flips < 3; ++flips)
      bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
    Reading reading(bytes);
    auto& in = reading.in;
    in.skip();
    (void)in.atom();
  }
}

}  // namespace
}  // namespace muster::discovery::external_term
