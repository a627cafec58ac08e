// SPDX-License-Identifier: MIT
// The Redis port of a real node: over sockets, through the cache, with redis-cli where installed.
#include <gmock/gmock.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>

#include "test_node.h"

namespace muster::app {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class Client {
 public:
  explicit Client(std::uint16_t port) { socket_.connect({asio::ip::address_v4::loopback(), port}); }
  void send(const std::string& bytes) {
    boost::system::error_code error;
    asio::write(socket_, asio::buffer(bytes), error);
  }
  std::string read(std::size_t size) {
    std::string bytes(size, '\0');
    boost::system::error_code error;
    bytes.resize(asio::read(socket_, asio::buffer(bytes), error));
    return bytes;
  }
  std::string say(const std::string& bytes, const std::string& expected) {
    send(bytes);
    return read(expected.size());
  }
  /// All until the other side closes.
  std::string read_to_end() {
    std::string bytes;
    boost::system::error_code error;
    asio::read(socket_, asio::dynamic_buffer(bytes), error);
    return bytes;
  }

 private:
  asio::io_context loop_;
  tcp::socket socket_{loop_};
};

class RedisPortTest : public ::testing::Test {
 protected:
  void expect(Client& client, const std::string& bytes, const std::string& expected) {
    const std::string actual = client.say(bytes, expected);
    EXPECT_TRUE(actual == expected)
        << "got " << actual.substr(0, 300) << "\nfor " << bytes.substr(0, 300);
  }
  TestNode node_;
};

TEST_F(RedisPortTest, KeepsWhatItIsGiven) {
  Client client(node_.redis_port());
  expect(client, "SET a 1 EX 100\r\nGET a\r\nTTL a\r\nDEL a\r\nGET a\r\n",
         "+OK\r\n$1\r\n1\r\n:100\r\n:1\r\n$-1\r\n");
  expect(client,
         "SET a 1\r\nSET a 2 NX\r\nSET a 2 XX\r\nGET a\r\nTTL a\r\nEXPIRE a 50\r\nTTL a\r\n",
         "+OK\r\n$-1\r\n+OK\r\n$1\r\n2\r\n:-1\r\n:1\r\n:50\r\n");
  expect(client, "SET a 3 KEEPTTL\r\nTTL a\r\nPERSIST a\r\nTTL a\r\n",
         "+OK\r\n:50\r\n:1\r\n:-1\r\n");
  expect(client, "MSET x 1 y 2\r\nMGET x y z\r\nSELECT 1\r\nGET x\r\n",
         "+OK\r\n*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n+OK\r\n$-1\r\n");
}

TEST_F(RedisPortTest, CarriesValuesOfAnyBytesAndSizes) {
  Client client(node_.redis_port());
  for (const std::size_t size : {0u, 1u, 1000u, 65536u, 524288u}) {
    std::string value(size, '\0');
    for (std::size_t i = 0; i < size; ++i) value[i] = static_cast<char>(i * 7);
    const std::string bulk = "$" + std::to_string(size) + "\r\n" + value + "\r\n";
    expect(client, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n" + bulk + "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
           "+OK\r\n" + bulk);
  }
}

TEST_F(RedisPortTest, AnswersALongPipelineToASlowReader) {
  Client client(node_.redis_port());
  const std::string value(10'000, 'v');
  expect(client, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10000\r\n" + value + "\r\n", "+OK\r\n");
  std::string pipeline, expected;
  for (int i = 0; i < 2000; ++i) {
    pipeline += "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    expected += "$10000\r\n" + value + "\r\n";
  }
  client.send(pipeline);
  Client other(node_.redis_port());
  expect(other, "PING\r\n", "+PONG\r\n");
  EXPECT_TRUE(client.read(expected.size()) == expected);
}

TEST_F(RedisPortTest, ReadsRequestsThatArriveInPieces) {
  Client client(node_.redis_port());
  const std::string request = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";
  for (const char c : request) client.send(std::string(1, c));
  EXPECT_EQ(client.read(5), "+OK\r\n");
}

TEST_F(RedisPortTest, ClosesOnGarbageAndOnHttpAndGoesOn) {
  Client http(node_.redis_port());
  http.send("POST / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(http.read_to_end(), "");
  Client broken(node_.redis_port());
  broken.send("PING\r\n*1\r\nx\r\n");
  EXPECT_EQ(broken.read_to_end(), "+PONG\r\n-ERR Protocol error: expected '$', got 'x'\r\n");
  Client quits(node_.redis_port());
  quits.send("QUIT\r\n");
  EXPECT_EQ(quits.read_to_end(), "+OK\r\n");
  Client good(node_.redis_port());
  expect(good, "PING\r\n", "+PONG\r\n");
}

TEST_F(RedisPortTest, StopsWhileClientsAreConnected) {
  Client idle(node_.redis_port());
  Client half(node_.redis_port());
  half.send("*3\r\n$3\r\nSET\r\n");
  expect(idle, "PING\r\n", "+PONG\r\n");
}

TEST_F(RedisPortTest, WorksWithRedisCli) {
  if (std::system("command -v redis-cli >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "redis-cli is not installed";
  const auto cli = [this](const std::string& words) {
    const std::string command =
        "redis-cli -p " + std::to_string(node_.redis_port()) + " " + words + " 2>&1";
    std::string output;
    FILE* pipe = popen(command.c_str(), "r");
    std::array<char, 4096> buffer;
    while (const auto size = std::fread(buffer.data(), 1, buffer.size(), pipe))
      output.append(buffer.data(), size);
    pclose(pipe);
    return output;
  };
  EXPECT_EQ(cli("SET greeting 'hello world' EX 100"), "OK\n");
  EXPECT_EQ(cli("GET greeting"), "hello world\n");
  EXPECT_EQ(cli("-3 GET greeting"), "hello world\n");
  EXPECT_EQ(cli("--scan --pattern 'gre*'"), "greeting\n");
  EXPECT_EQ(cli("DBSIZE"), "1\n");
  EXPECT_EQ(cli("-n 1 DBSIZE"), "0\n");
  EXPECT_THAT(cli("INFO keyspace"), HasSubstr("db0:keys=1"));
  EXPECT_THAT(cli("--bigkeys"), HasSubstr("Sampled 1 keys"));
  EXPECT_THAT(cli("COMMAND COUNT"), "36\n");
}

}  // namespace
}  // namespace muster::app
