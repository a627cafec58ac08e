// SPDX-License-Identifier: MIT
//
// The transport alone, against peers that behave and peers that do not.
#include "transport/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <map>
#include <random>

#include "node/test_nodes.h"

namespace muster::node {
namespace {

using discovery::DialProblem;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

Key key_of(const std::string& cookie) { return Cookie(cookie).derive("link"); }

/// A transport with an owner that keeps what it is told.
class End final : private Transport::Owner {
 public:
  explicit End(Loop& loop, Transport::Options options = {}, const std::string& cookie = test_cookie)
      : loop_(loop), strand_(asio::any_io_executor(loop.io().get_executor())) {
    transport_ = std::make_unique<Transport>(strand_, options, key_of(cookie), book.log(),
                                             static_cast<Transport::Owner&>(*this));
  }
  ~End() override { stop(); }

  void stop() {
    if (!transport_) return;
    loop_.run(stop_on_strand());
    on_strand([&] { transport_.reset(); });
  }
  template <class Work>
  void on_strand(Work work) {
    std::promise<void> done;
    asio::post(strand_, [&] {
      work();
      if (transport_) transport_->flush();
      done.set_value();
    });
    done.get_future().get();
  }
  std::uint16_t listen() {
    std::uint16_t port = 0;
    on_strand([&] {
      port = transport_->listen({asio::ip::address_v4::loopback()}, {}).value();
      transport_->accept();
    });
    return port;
  }
  void dial(LinkId link, std::uint16_t port) {
    Peer peer;
    peer.name = name_of("peer@127.0.0.1");
    peer.address = "127.0.0.1";
    peer.port = port;
    on_strand([&] { transport_->dial(link, peer); });
  }
  void transmit(LinkId link, Lane lane, std::string frame) {
    const auto shared = std::make_shared<const std::string>(std::move(frame));
    on_strand([&] { transport_->transmit(link, lane, shared); });
  }
  template <class Predicate>
  [[nodiscard]] bool wait(Predicate predicate) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, predicate);
  }
  [[nodiscard]] Transport& transport() { return *transport_; }

  LogBook book;
  // Under the mutex: read them in wait(), or when nothing happens any more.
  std::vector<LinkId> up;
  std::map<LinkId, std::string> down;
  std::map<LinkId, DialProblem> problems;
  std::vector<std::string> frames;
  std::size_t bytes = 0;

 private:
  asio::awaitable<void> stop_on_strand() {
    co_await asio::co_spawn(strand_, transport_->stop(), asio::use_awaitable);
  }
  LinkId accepted(std::string_view) override {
    const std::lock_guard lock(mutex_);
    up.push_back(LinkId{1000 + next_++});
    changed_.notify_all();
    return up.back();
  }
  void opened(LinkId link) override {
    const std::lock_guard lock(mutex_);
    up.push_back(link);
    changed_.notify_all();
  }
  void readable(LinkId, const Drain& drain) override {
    const std::lock_guard lock(mutex_);
    drain([&](std::string_view frame) {
      if (frame.size() < 100) frames.emplace_back(frame);
      bytes += frame.size();
      return true;
    });
    changed_.notify_all();
  }
  void drained(LinkId) override {}
  void closed(LinkId link, std::string_view reason, DialProblem problem) override {
    const std::lock_guard lock(mutex_);
    down[link] = reason;
    problems[link] = problem;
    changed_.notify_all();
  }

  Loop& loop_;
  Strand strand_;
  std::unique_ptr<Transport> transport_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t next_ = 0;
};

/// A peer of the test's own: a blocking socket, with TLS when wanted.
class Raw {
 public:
  explicit Raw(std::uint16_t port) : socket_(io_) {
    socket_.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port));
  }
  void send(std::string_view bytes) {
    error_code gone;
    asio::write(socket_, asio::buffer(bytes), gone);
  }
  /// True when the other side ends the connection.
  [[nodiscard]] bool ended() {
    std::array<char, 4096> space{};
    error_code error;
    while (!error) socket_.read_some(asio::buffer(space), error);
    return error == asio::error::eof || error == asio::error::connection_reset;
  }
  /// `along` goes out in one piece with the end of the handshake.
  [[nodiscard]] bool shake_hands(std::string_view along = {}) {
    channel_ = context_.open(TlsContext::Role::dialler);
    for (;;) {
      const auto progress = channel_->handshake();
      if (progress == TlsChannel::Progress::done && !along.empty()) channel_->write(along);
      send(std::exchange(channel_->output(), {}));
      if (progress != TlsChannel::Progress::more) return progress == TlsChannel::Progress::done;
      input_.resize(65536);
      error_code error;
      input_.resize(socket_.read_some(asio::buffer(input_), error));
      if (error) return false;
      channel_->feed(input_);
    }
  }
  void send_encrypted(std::string_view bytes) {
    channel_->write(bytes);
    send(std::exchange(channel_->output(), {}));
  }

 private:
  asio::io_context io_;
  tcp::socket socket_;
  TlsContext context_{key_of(test_cookie)};
  std::unique_ptr<TlsChannel> channel_;
  std::string input_;
};

TEST(Transport, CarriesBothLanesAndTellsTheEnd) {
  Loop loop;
  End server(loop);
  End client(loop);
  client.dial(LinkId{1}, server.listen());
  ASSERT_TRUE(client.wait([&] { return client.up.size() == 1; }));
  client.transmit(LinkId{1}, Lane::bulk, std::string(frame_max, 'b'));
  client.transmit(LinkId{1}, Lane::urgent, "urgent");
  client.transmit(LinkId{1}, Lane::bulk, "last");
  ASSERT_TRUE(server.wait([&] { return server.frames.size() == 2; }));
  EXPECT_EQ(server.frames, (std::vector<std::string>{"urgent", "last"}));
  EXPECT_EQ(server.bytes, frame_max + 10);
  client.stop();
  ASSERT_TRUE(server.wait([&] { return server.down.size() == 1; }));
  EXPECT_EQ(server.down.begin()->second, "closed by the peer");
}

TEST(Transport, ACloseSendsWhatIsUrgentFirst) {
  Loop loop;
  End server(loop);
  End client(loop);
  client.dial(LinkId{1}, server.listen());
  ASSERT_TRUE(client.wait([&] { return client.up.size() == 1; }));
  client.on_strand([&] {
    const auto farewell = std::make_shared<const std::string>("farewell");
    client.transport().transmit(LinkId{1}, Lane::urgent, farewell);
    client.transport().close(LinkId{1});
  });
  ASSERT_TRUE(server.wait([&] { return server.down.size() == 1; }));
  EXPECT_EQ(server.frames, std::vector<std::string>{"farewell"});
  EXPECT_TRUE(client.down.empty());
}

TEST(Transport, AWrongCookieIsAProblemOfItsOwn) {
  Loop loop;
  End server(loop);
  End client(loop, {}, "a cookie that the server does not have");
  client.dial(LinkId{1}, server.listen());
  ASSERT_TRUE(client.wait([&] { return client.down.size() == 1; }));
  EXPECT_EQ(client.problems[LinkId{1}], DialProblem::wrong_cookie);
  EXPECT_THAT(client.down[LinkId{1}], HasSubstr("peer@127.0.0.1: wrong cookie (127.0.0.1:"));
  EXPECT_TRUE(server.book.wait_for("wrong cookie"));
  EXPECT_TRUE(server.up.empty());
}

TEST(Transport, GarbageIsClosedAndSaidOnce) {
  Loop loop;
  End server(loop);
  const auto port = server.listen();
  for (int i = 0; i < 3; ++i) {
    Raw http(port);
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(http.ended());
  }
  EXPECT_TRUE(server.book.wait_for("not a muster node"));
  EXPECT_EQ(server.book.count("not a muster node"), 1u) << server.book.all();
  const unsigned seed = std::random_device{}();
  std::mt19937 random(seed);
  for (int i = 0; i < 50; ++i) {
    std::string garbage(5 + random() % 2000, '\0');
    for (char& c : garbage) c = static_cast<char>(random());
    garbage[0] = 22;  // Looks like TLS.
    garbage[1] = 3;
    Raw raw(port);
    raw.send(garbage);
    raw.send(std::string(20'000, 'g'));
    EXPECT_TRUE(raw.ended()) << "seed " << seed;
  }
  EXPECT_TRUE(server.up.empty());
}

TEST(Transport, WhoHasTheCookieMaySendOnlyFrames) {
  Loop loop;
  End server(loop);
  const auto port = server.listen();
  for (const std::string_view bad :
       {std::string_view("\0\0\0\0", 4), std::string_view("\x3f\xff\xff\xff", 4),
        std::string_view("\x80\x01\x00\x01", 4)}) {
    Raw raw(port);
    ASSERT_TRUE(raw.shake_hands());
    raw.send_encrypted(std::string("\0\0\0\2ok", 6));
    raw.send_encrypted(bad);
    EXPECT_TRUE(raw.ended());
  }
  ASSERT_TRUE(server.wait([&] { return server.down.size() == 3; }));
  EXPECT_EQ(server.frames, (std::vector<std::string>{"ok", "ok", "ok"}));
  for (const auto& [link, reason] : server.down) EXPECT_THAT(reason, HasSubstr("a frame is"));
}

TEST(Transport, PlainBytesAfterTheHandshakeEndTheLink) {
  Loop loop;
  End server(loop);
  Raw raw(server.listen());
  ASSERT_TRUE(raw.shake_hands());
  raw.send(std::string(100, 'p'));
  EXPECT_TRUE(raw.ended());
  ASSERT_TRUE(server.wait([&] { return server.down.size() == 1; }));
}

TEST(Transport, FramesThatComeAlongWithTheHandshakeAreRead) {
  Loop loop;
  End server(loop);
  const auto port = server.listen();
  const std::size_t count = 30'000;
  std::string frames;
  for (std::size_t i = 0; i < count; ++i) frames.append("\0\0\0\2ok", 6);
  for (std::size_t links = 1; links <= 5; ++links) {
    Raw eager(port);
    ASSERT_TRUE(eager.shake_hands(frames));
    EXPECT_TRUE(server.wait([&] { return server.frames.size() == links * count; }))
        << server.book.all();
  }
}

TEST(Transport, AHandshakeThatDoesNotEndIsCutAtItsBound) {
  Loop loop;
  End server(loop);
  Raw endless(server.listen());
  // A ClientHello that says it has 100,000 bytes.
  endless.send(std::string("\x16\x03\x01\x40\x00\x01\x01\x86\xa0", 9) + std::string(16380, 'x'));
  EXPECT_TRUE(endless.ended());
  EXPECT_TRUE(server.up.empty());
}

TEST(Transport, ASlowHandshakeIsCut) {
  Loop loop;
  Transport::Options options;
  options.handshake_deadline = 200ms;
  End server(loop, options);
  const auto port = server.listen();
  Raw silent(port);
  Raw slow(port);
  slow.send("\x16\x03");
  EXPECT_TRUE(silent.ended());
  EXPECT_TRUE(slow.ended());
  EXPECT_EQ(server.book.count("no link"), 0u);  // A probe of a port is not worth a line.
}

TEST(Transport, ManySilentConnectionsDoNotKeepAnHonestOneOut) {
  Loop loop;
  Transport::Options options;
  options.unproved_per_address_max = 8;
  options.handshake_deadline = 60s;
  End server(loop, options);
  const auto port = server.listen();
  std::list<Raw> silent;
  for (int i = 0; i < 30; ++i) silent.emplace_back(port);
  for (int i = 0; i < 20; ++i) {  // The oldest gave way.
    EXPECT_TRUE(silent.front().ended());
    silent.pop_front();
  }
  Raw honest(port);
  EXPECT_TRUE(honest.shake_hands());
  EXPECT_TRUE(server.wait([&] { return server.up.size() == 1; }));
}

TEST(Transport, APeerThatDoesNotReadIsCutOffAtTheBound) {
  Loop loop;
  End server(loop);
  Raw deaf(server.listen());
  ASSERT_TRUE(deaf.shake_hands());
  ASSERT_TRUE(server.wait([&] { return server.up.size() == 1; }));
  const LinkId link = server.up.front();
  const auto frame = std::make_shared<const std::string>(Fabric::max_payload, 'x');
  std::size_t most = 0;
  for (int i = 0; i < 100; ++i) {
    server.on_strand([&] {
      server.transport().transmit(link, Lane::bulk, frame);
      most = std::max(most, server.transport().queued(link));
    });
  }
  ASSERT_TRUE(server.wait([&] { return server.down.size() == 1; }));
  EXPECT_THAT(server.down[link], HasSubstr("too slow"));
  EXPECT_LE(most, Connection::queue_max + Fabric::max_payload);
}

TEST(Transport, AStalePortIsAskedForAtThePortMapper) {
  Loop loop;
  End nobody(loop);
  const auto stale = nobody.listen();
  nobody.stop();
  Transport::Options options;
  options.mapper_port = stale;  // No port mapper there either.
  End client(loop, options);
  client.dial(LinkId{1}, stale);
  ASSERT_TRUE(client.wait([&] { return client.down.size() == 1; }));
  EXPECT_EQ(client.problems[LinkId{1}], DialProblem::refused);
  EXPECT_EQ(client.down[LinkId{1}],
            "peer@127.0.0.1: connection refused (127.0.0.1:" + std::to_string(stale) + ")");
}

TEST(Transport, ADialThatIsGivenUpSaysNothing) {
  Loop loop;
  asio::io_context io;
  tcp::acceptor silent(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  End client(loop);
  client.dial(LinkId{1}, silent.local_endpoint().port());
  tcp::socket connected(io);
  silent.accept(connected);
  client.on_strand([&] { client.transport().close(LinkId{1}); });
  client.stop();
  EXPECT_TRUE(client.down.empty());
  EXPECT_TRUE(client.up.empty());
}

}  // namespace
}  // namespace muster::node
