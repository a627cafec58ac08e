// SPDX-License-Identifier: MIT
// epmd's protocol to the byte, and what happens to bytes that are not it.
#include "muster/discovery/port_mapper_wire.h"

#include <gtest/gtest.h>

#include <random>

namespace muster::port_mapper {
namespace {

using namespace std::string_literals;

const Registration registration{.name = "a", .port = 4370, .extra = "muster1"};

TEST(PortMapperWire, WritesRequestsAsEpmdReadsThem) {
  EXPECT_EQ(encode(Request(NamesRequest{})), "\x00\x01\x6e"s);
  EXPECT_EQ(encode(Request(PortRequest{"a"})), "\x00\x02\x7a\x61"s);
  EXPECT_EQ(encode(Request(AliveRequest{registration})),
            "\x00\x15\x78\x11\x12\x4d\x00\x00\x06\x00\x05\x00\x01\x61\x00\x07muster1"s);
}

TEST(PortMapperWire, WritesAnswersAsEpmdDoes) {
  EXPECT_EQ(encode(AliveAnswer{.ok = true, .creation = 7}), "\x76\x00\x00\x00\x00\x07"s);
  EXPECT_EQ(encode(AliveAnswer{.ok = false, .creation = 7, .extended = false}),
            "\x79\x01\x00\x07"s);
  EXPECT_EQ(encode(PortAnswer{}), "\x77\x01"s);
  EXPECT_EQ(encode(PortAnswer{registration}),
            "\x77\x00\x11\x12\x4d\x00\x00\x06\x00\x05\x00\x01\x61\x00\x07muster1"s);
  EXPECT_EQ(encode(NamesAnswer{4369, {{"a", 4370}}}), "\x00\x00\x11\x11name a at port 4370\n"s);
}

TEST(PortMapperWire, ReadsWhatItWrites) {
  for (const Request& request :
       std::vector<Request>{NamesRequest{}, PortRequest{"web-1"}, AliveRequest{registration}}) {
    const std::string bytes = encode(request);
    const auto decoded = decode_request(bytes + "next").value();
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->request, request);
    EXPECT_EQ(decoded->size, bytes.size());
    for (std::size_t size = 0; size < bytes.size(); ++size)
      EXPECT_FALSE(decode_request(std::string_view(bytes).substr(0, size)).value());
  }
  for (const bool extended : {true, false}) {
    const AliveAnswer answer{.ok = true, .creation = 513, .extended = extended};
    const std::string bytes = encode(answer);
    EXPECT_EQ(decode_alive_answer(bytes).value(), answer);
    for (std::size_t size = 0; size < bytes.size(); ++size)
      EXPECT_FALSE(decode_alive_answer(std::string_view(bytes).substr(0, size)).value());
  }
  for (const PortAnswer& answer : {PortAnswer{}, PortAnswer{registration}}) {
    const std::string bytes = encode(answer);
    EXPECT_EQ(decode_port_answer(bytes).value(), answer);
    for (std::size_t size = 0; size < bytes.size(); ++size)
      EXPECT_FALSE(decode_port_answer(std::string_view(bytes).substr(0, size)).value());
  }
  const NamesAnswer names{4369, {{"a", 4370}, {"b", 4371}}};
  EXPECT_EQ(decode_names_answer(encode(names)).value(), names);
}

TEST(PortMapperWire, RefusesRequestsThatNoFurtherByteCouldMend) {
  EXPECT_FALSE(decode_request("\x00\x00"s));              // No opcode.
  EXPECT_FALSE(decode_request("\xff\xff"s));              // Longer than any request.
  EXPECT_FALSE(decode_request("\x00\x01\x01"s));          // Unknown opcode.
  EXPECT_FALSE(decode_request("\x00\x01\x7a"s));          // No name.
  EXPECT_FALSE(decode_request("\x00\x03\x78\x11\x12"s));  // A registration that ends early.
  EXPECT_FALSE(decode_request("\x00\x0e\x78\x11\x12\x4d\x00\x00\x06\x00\x05\x00\xff\x61\x00\x00"s));
}

TEST(PortMapperWire, ReadsWhatStopsAServerOrANode) {
  for (const Request& request :
       std::vector<Request>{DumpRequest{}, KillRequest{}, StopRequest{"web-1"}}) {
    const std::string bytes = encode(request);
    EXPECT_EQ(decode_request(bytes).value()->request, request);
  }
  EXPECT_EQ(encode(Request(KillRequest{})), "\x00\x01\x6b"s);
  EXPECT_FALSE(decode_request("\x00\x01\x73"s));      // STOP whom?
  EXPECT_FALSE(decode_request("\x00\x02\x73\x00"s));  // Nobody.
}

TEST(PortMapperWire, KnowsWhatMayBeRegistered) {
  const auto with = [](std::string name, std::string extra) {
    return Registration{.name = std::move(name), .extra = std::move(extra)}.is_registrable();
  };
  EXPECT_TRUE(with("a", ""));
  EXPECT_FALSE(with("", ""));
  EXPECT_FALSE(with("a\0b"s, ""));
  EXPECT_TRUE(with(std::string(255, 'a'), std::string(1020, '\xff')));
  EXPECT_FALSE(with(std::string(256, 'a'), ""));
  EXPECT_FALSE(with("a", std::string(1021, 'a')));
  EXPECT_FALSE(with("\xff", ""));
  // The largest of them fits a request.
  std::string longest;
  for (int i = 0; i < 255; ++i) longest += "\xf0\x9f\x98\x88";
  const Registration node{.name = longest, .extra = std::string(1020, 'x')};
  EXPECT_TRUE(node.is_registrable());
  EXPECT_EQ(decode_request(encode(Request(AliveRequest{node}))).value()->request,
            Request(AliveRequest{node}));
}

TEST(PortMapperWire, ARegistrationBeyondTheLimitsIsReadSoThatItCanBeRefused) {
  const AliveRequest request{{.name = std::string(600, 'a')}};
  EXPECT_EQ(decode_request(encode(Request(request))).value()->request, Request(request));
}

TEST(PortMapperWire, SkipsAndCountsLinesThatMakeNoSense) {
  const auto answer =
      decode_names_answer(
          "\x00\x00\x11\x11name a at port 4370\nnonsense\nname b at port 99999\nname c at port 1"s)
          .value();
  EXPECT_EQ(answer.names, (std::vector<NamedPort>{{"a", 4370}, {"c", 1}}));
  EXPECT_EQ(answer.skipped, 2u);
  EXPECT_FALSE(decode_names_answer("\x00\x00\x11"s));
  EXPECT_FALSE(decode_names_answer("HTTP/1.1 400 Bad Request\r\n"));
}

TEST(PortMapperWire, KnowsOurRegistrationsByTheirMark) {
  EXPECT_TRUE(registration.is_ours());
  EXPECT_FALSE((Registration{.name = "erlang", .port = 1, .extra = ""}).is_ours());
}

TEST(PortMapperWire, NoBytesCrashTheDecoders) {
  std::mt19937 random(11);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = encode(Request(AliveRequest{registration}));
    if (round % 2) bytes = encode(PortAnswer{registration});
    for (std::size_t flips = 1 + random() % 4; flips > 0; --flips)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    bytes.resize(random() % (bytes.size() + 1));
    (void)decode_request(bytes);
    (void)decode_alive_answer(bytes);
    (void)decode_port_answer(bytes);
    (void)decode_names_answer(bytes);
  }
}

}  // namespace
}  // namespace muster::port_mapper
