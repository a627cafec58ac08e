// SPDX-License-Identifier: MIT
// The client against Debian's own epmd, and against servers that misbehave.
#include "muster/discovery/port_mapper_client.h"

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <optional>

#include "discovery/real_epmd.h"

namespace muster::port_mapper {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using test::Epmd, test::free_tcp_port;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
Result<T> await(asio::io_context& io, asio::awaitable<Result<T>> task) {
  Result<T> result = bad_input("the task did not end");
  bool ended = false;
  asio::co_spawn(io, std::move(task), [&](const std::exception_ptr& exception, Result<T> value) {
    if (exception) std::rethrow_exception(exception);
    result = std::move(value);
    ended = true;
  });
  io.restart();
  while (!ended && io.run_one_for(20s) > 0) {
  }
  return result;
}

class RealEpmdTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Epmd::is_installed()) GTEST_SKIP() << Epmd::how_to_install;
    port = free_tcp_port();
    epmd.emplace(port);
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!await(io, names("127.0.0.1", port, 1s)) && std::chrono::steady_clock::now() < end) {
    }
  }
  /// Stays registered for as long as the socket is open.
  tcp::socket register_node(const Registration& node) {
    tcp::socket socket(io);
    socket.connect({asio::ip::make_address("127.0.0.1"), port});
    asio::write(socket, asio::buffer(encode(Request(AliveRequest{node}))));
    std::string answer(6, '\0');
    asio::read(socket, asio::buffer(answer));
    const auto decoded = decode_alive_answer(answer).value();
    EXPECT_TRUE(decoded && decoded->ok && decoded->extended);
    return socket;
  }

  asio::io_context io{1};
  std::uint16_t port = 0;
  std::optional<Epmd> epmd;
};

TEST_F(RealEpmdTest, ListsNobodyAtFirst) {
  const auto answer = await(io, names("127.0.0.1", port, 5s)).value();
  EXPECT_EQ(answer.mapper_port, port);
  EXPECT_TRUE(answer.names.empty());
}

TEST_F(RealEpmdTest, ListsNamesAndTheirPorts) {
  const auto a = register_node({.name = "a", .port = 4370, .extra = "muster"});
  const auto b = register_node({.name = "b", .port = 4371});
  const auto answer = await(io, names("127.0.0.1", port, 5s)).value();
  EXPECT_THAT(answer.names,
              ::testing::UnorderedElementsAre(NamedPort{"a", 4370}, NamedPort{"b", 4371}));
}

TEST_F(RealEpmdTest, TellsThePortAndTheExtraFieldOfAName) {
  const Registration node{.name = "a", .port = 4370, .extra = "muster"};
  const auto registered = register_node(node);
  EXPECT_EQ(await(io, port_of("127.0.0.1", port, "a", 5s)).value(), node);
  EXPECT_EQ(await(io, port_of("127.0.0.1", port, "nobody", 5s)).value(), std::nullopt);
}

TEST_F(RealEpmdTest, TellsOurNodesFromErlangs) {
  const auto a = register_node({.name = "a", .port = 4370, .extra = "muster"});
  const auto erlang = register_node({.name = "erlang", .port = 4371});
  KnownNames known;
  EXPECT_THAT(await(io, muster_names("127.0.0.1", port, 5s, known)).value(), ElementsAre("a"));
}

TEST_F(RealEpmdTest, AsksForTheMarkOfANameAgainOnlyWhenItsPortHasChanged) {
  std::optional<tcp::socket> a = register_node({.name = "a", .port = 4370, .extra = "muster"});
  KnownNames known{{"a", {.port = 4370, .is_ours = false}}, {"gone", {.port = 1, .is_ours = true}}};
  EXPECT_TRUE(await(io, muster_names("127.0.0.1", port, 5s, known)).value().empty());
  EXPECT_EQ(known.size(), 1u);
  a.reset();
  while (!await(io, names("127.0.0.1", port, 5s)).value().names.empty()) {
  }
  a = register_node({.name = "a", .port = 4371, .extra = "muster"});
  EXPECT_THAT(await(io, muster_names("127.0.0.1", port, 5s, known)).value(), ElementsAre("a"));
  EXPECT_TRUE(known.at("a").is_ours);
}

TEST_F(RealEpmdTest, IsFoundByHostName) { EXPECT_TRUE(await(io, names("localhost", port, 5s))); }

class PortMapperClientTest : public ::testing::Test {
 protected:
  /// A mapper that reads a request and answers with `answer`, then closes unless `stays`.
  std::uint16_t serve(std::string answer, bool stays = false) {
    acceptor.emplace(io, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
    asio::co_spawn(io, serve_one(std::move(answer), stays), [](const std::exception_ptr&) {});
    return acceptor->local_endpoint().port();
  }
  asio::awaitable<void> serve_one(std::string answer, bool stays) {
    tcp::socket socket = co_await acceptor->async_accept(asio::use_awaitable);
    std::array<char, 100> request;
    co_await socket.async_read_some(asio::buffer(request), asio::use_awaitable);
    co_await asio::async_write(socket, asio::buffer(answer), asio::use_awaitable);
    if (stays) kept.push_back(std::move(socket));
  }

  asio::io_context io{1};
  std::optional<tcp::acceptor> acceptor;
  std::vector<tcp::socket> kept;
};

TEST_F(PortMapperClientTest, ARefusedConnectionIsTheErrorWithHostAndPort) {
  const auto port = free_tcp_port();
  const auto result = await(io, names("127.0.0.1", port, 5s));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().text(),
            "port mapper at 127.0.0.1:" + std::to_string(port) + ": Connection refused");
}

TEST_F(PortMapperClientTest, ASilentMapperIsATimeOut) {
  const auto result = await(io, names("127.0.0.1", serve("", true), 50ms));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, asio::error::timed_out);
}

TEST_F(PortMapperClientTest, AnAnswerThatIsNoListOfNamesIsAnError) {
  const auto result = await(io, names("127.0.0.1", serve("HTTP/1.1 400 Bad Request\r\n\r\n"), 5s));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().text(), HasSubstr("this is no list of names"));
}

TEST_F(PortMapperClientTest, AnAnswerThatNeverEndsIsCutOff) {
  const auto result = await(io, names("127.0.0.1", serve(std::string(1 << 20, 'x'), true), 5s));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, asio::error::message_size);
}

TEST_F(PortMapperClientTest, AnAnswerThatIsCutOffIsAnError) {
  const auto result =
      await(io, port_of("127.0.0.1", serve(std::string("\x77\x00\x11", 3)), "a", 5s));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, asio::error::eof);
}

TEST_F(PortMapperClientTest, AHostThatDoesNotExistIsNamed) {
  const auto result = await(io, names("no-such-host.invalid", 1, 20s));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().text(),
              HasSubstr("port mapper at no-such-host.invalid:1: Host not found"));
}

}  // namespace
}  // namespace muster::port_mapper
