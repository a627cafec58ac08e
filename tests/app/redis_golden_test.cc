// SPDX-License-Identifier: MIT
// The same requests to a real redis-server and to a session of ours: the replies are equal, byte by
// byte.  Skipped where redis-server is not installed.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "map_store.h"
#include "redis_session.h"

namespace muster::app {
namespace {

class RealRedis {
 public:
  RealRedis() {
    std::string pattern = (std::filesystem::temp_directory_path() / "muster-redis-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    const std::string path = directory_ / "socket";
    process_ = fork();
    if (process_ == 0) {
      execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path.c_str(), "--save",
             "", "--appendonly", "no", "--databases", "2", "--dir", directory_.c_str(), "--logfile",
             (directory_ / "log").c_str(), nullptr);
      _exit(127);
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
      socket_ = socket(AF_UNIX, SOCK_STREAM, 0);
      if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return;
      close(socket_);
      socket_ = -1;
      if (waitpid(process_, nullptr, WNOHANG) == process_) {
        process_ = -1;
        return;
      }
      std::this_thread::yield();
    }
  }
  ~RealRedis() {
    if (socket_ >= 0) close(socket_);
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
    std::filesystem::remove_all(directory_);
  }
  [[nodiscard]] bool up() const { return socket_ >= 0; }

  /// The replies to `request`, which end where the marker that is sent behind it comes back.
  std::string say(const std::string& request) {
    static const std::string marker = "*2\r\n$4\r\nECHO\r\n$9\r\n<<marker>\r\n";
    static const std::string answer = "$9\r\n<<marker>\r\n";
    const std::string bytes = request + marker;
    EXPECT_EQ(::send(socket_, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    std::string replies;
    while (!replies.ends_with(answer)) {
      std::array<char, 65536> buffer;
      const ssize_t size = recv(socket_, buffer.data(), buffer.size(), 0);
      if (size <= 0) return replies + "<closed>";
      replies.append(buffer.data(), static_cast<std::size_t>(size));
    }
    return replies.substr(0, replies.size() - answer.size());
  }

 private:
  std::filesystem::path directory_;
  pid_t process_ = -1;
  int socket_ = -1;
};

// Each line one inline request.  In this order: later ones see what earlier ones did.
constexpr const char* requests[] = {"PING",
                                    "PING hello",
                                    "PING a b",
                                    "ECHO x",
                                    "ECHO",
                                    "GET a",
                                    "get",
                                    "GET a b",
                                    "SET a 1",
                                    "GET a",
                                    "set a 2",
                                    "GET a",
                                    "SET a",
                                    "SET a 1 EX",
                                    "SET a 1 EX x",
                                    "SET a 1 EX 0",
                                    "SET a 1 EX -5",
                                    "SET a 1 PX 0",
                                    "SET a 1 EX 10 PX 10",
                                    "SET a 1 KEEPTTL EX 10",
                                    "SET a 1 NX XX",
                                    "SET a 1 XX NX",
                                    "SET a 1 WHAT",
                                    "SET a 1 EX 100",
                                    "TTL a",
                                    "SET a 2 KEEPTTL",
                                    "TTL a",
                                    "GET a",
                                    "SET a 3",
                                    "TTL a",
                                    "PTTL a",
                                    "SET n 1 NX",
                                    "SET n 2 NX",
                                    "SET n 2 XX",
                                    "SET m 2 XX",
                                    "GET m",
                                    "SET n 5 GET",
                                    "SET m 5 GET",
                                    "SET n 6 NX GET",
                                    "SET n 1 EXAT 1",
                                    "GET n",
                                    "SET n 1",
                                    "SET n 2 NX EXAT 1",
                                    "GET n",
                                    "SET n 2 NX GET EXAT 1",
                                    "SET none 2 NX EXAT 1",
                                    "GET none",
                                    "SET none 2 XX EXAT 1",
                                    "SET n 3 XX EXAT 1",
                                    "GET n",

                                    "TTL nokey",
                                    "PTTL nokey",
                                    "EXPIRE nokey 10",
                                    "EXPIRE a 10",
                                    "TTL a",
                                    "EXPIRE a x",
                                    "EXPIRE a 10 BAD",
                                    "EXPIRE a 10 NX",
                                    "EXPIRE a 100 GT",
                                    "TTL a",
                                    "EXPIRE a 5 GT",
                                    "EXPIRE a 50 LT",
                                    "TTL a",
                                    "EXPIRE a 10 NX GT",
                                    "EXPIRE a 10 GT LT",
                                    "EXPIRE a 20 XX",
                                    "TTL a",
                                    "PERSIST a",
                                    "PERSIST a",
                                    "PERSIST nokey",
                                    "TTL a",
                                    "EXPIRE a 10 XX",
                                    "EXPIRE a 10 GT",
                                    "PEXPIRE a 100000",
                                    "TTL a",
                                    "EXPIRE a -1",
                                    "GET a",
                                    "EXPIREAT m 1",
                                    "EXISTS m",
                                    "SETEX s 100 v",
                                    "TTL s",
                                    "SETEX s 0 v",
                                    "SETEX s x v",
                                    "SETEX s -1 v",
                                    "SETEX s 1",
                                    "PSETEX s 100000 w",
                                    "TTL s",
                                    "PSETEX s 0 w",
                                    "GET s",
                                    "EXPIRE s 9223372036854775807",
                                    "SET s 1 EX 9223372036854775807",
                                    "EXISTS s",
                                    "EXISTS s s x",
                                    "TYPE s",
                                    "TYPE nokey",
                                    "STRLEN s",
                                    "STRLEN nokey",
                                    "TOUCH s x",
                                    "DEL s x s",
                                    "UNLINK s",
                                    "DEL",
                                    "MSET a 1 b 2 c 3",
                                    "MGET a b nokey c",
                                    "MGET",
                                    "MSET a",
                                    "MSET a 1 b",
                                    "MSETNX a 1 z 2",
                                    "MGET a z",
                                    "MSETNX y 1 z 2",
                                    "MSETNX y",
                                    "GETDEL a",
                                    "GETDEL a",
                                    "GETSET b x",
                                    "GETSET q y",
                                    "GET q",
                                    "SETNX q z",
                                    "SETNX r z",
                                    "GET q",
                                    "DBSIZE",
                                    "SELECT 1",
                                    "DBSIZE",
                                    "GET b",
                                    "SELECT 0",
                                    "SELECT 99",
                                    "SELECT x",
                                    "SELECT -1",
                                    "KEYS nothing*",
                                    "KEYS b",
                                    "SCAN x",
                                    "SCAN 0 COUNT 0",
                                    "SCAN 0 COUNT x",
                                    "SCAN 0 MATCH",
                                    "SCAN 0 WHAT x",
                                    "SCAN 0 COUNT 100000 MATCH nokey*",
                                    "FOO",
                                    "FOO bar",
                                    "foo bar baz",
                                    "FOOfoofoofoofoo 'a b' c",
                                    "CLIENT GETNAME",
                                    "CLIENT SETNAME me",
                                    "CLIENT GETNAME",
                                    "CLIENT SETNAME 'a b'",
                                    "AUTH x",
                                    "AUTH default x",
                                    "AUTH other x",
                                    "AUTH a b c",
                                    "COMMAND COUNT x",
                                    "HELLO 9",
                                    "HELLO x",
                                    "HELLO 3 WHAT",
                                    "HELLO 3 SETNAME",
                                    "RESET",
                                    "CLIENT GETNAME",
                                    "SET 'k\\x00' v",
                                    "GET k",
                                    "DEL 'k\\x00'"};

// Where ours is meant to differ; each with its reason.
bool differs_on_purpose(std::string_view request) {
  return request == "COMMAND COUNT x";  // Redis counts its own commands in the error's words.
}

std::string ours(RedisSession& session, const std::string& bytes) {
  EXPECT_EQ(session.consume(bytes), bytes.size());
  std::string out;
  session.replies().take_ready(out);
  return out;
}

class RedisGolden : public ::testing::TestWithParam<int> {};

TEST_P(RedisGolden, RepliesAreThoseOfRedisServerByteByByte) {
  RealRedis redis;
  if (!redis.up()) GTEST_SKIP() << "redis-server is not installed";
  MapStore store;
  Access access;
  RedisCounters counters;
  RedisService service{store, access, counters, "a@127.0.0.1", 0, {}};
  RedisSession session(service, 1, [] {});
  if (GetParam() == 3) {
    redis.say("HELLO 3\r\n");
    ours(session, "HELLO 3\r\n");
  }
  for (const std::string request : requests) {
    const std::string expected = redis.say(request + "\r\n");
    const std::string actual = ours(session, request + "\r\n");
    if (!differs_on_purpose(request)) {
      EXPECT_EQ(actual, expected) << request;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, RedisGolden, ::testing::Values(2, 3));

}  // namespace
}  // namespace muster::app
