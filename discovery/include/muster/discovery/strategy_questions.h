// SPDX-License-Identifier: MIT
//
// What a strategy can ask of the world, and how it is answered: each kind of question with its
// answer below it.  topologies.h performs them; a test answers them by hand (test_kit.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "muster/discovery/peer.h"
#include "muster/discovery/result.h"
#include "muster/discovery/time.h"

namespace muster::discovery {

/// The group that send() sends to and datagrams come from; opened anew when asked again.  Until
/// withdrawn it also tells, opened or not, each time when the way to the group is another one.
struct OpenGroup {
  std::string address = {};  ///< Multicast group of either family, or broadcast address.
  std::uint16_t port = 0;
  std::string bind = {};       ///< if_addr.
  std::string interface = {};  ///< By name, or by an address of either family: joined and sent on,
                               ///< the same for both.  Empty, 0.0.0.0 or ::: the system's choice.
  int hops = 1;
  bool broadcast = false;  ///< No multicast options at all.
};
struct GroupOpened {
  Result<void> result = {};
};
/// Its interface came, went, or has another address or route; nothing is opened anew by itself.
struct GroupChanged {};

/// The names at a host's port mapper, with what each registered.
struct AskNames {
  std::string host = {};
  Duration within = {};
};
struct NamesFound {
  Result<std::vector<std::string>>
      names;  ///< Ours only: Erlang's nodes are left out by their missing mark.
};

struct ReadFile {
  std::filesystem::path path = {};
  std::size_t most_bytes = std::size_t{64} * 1024;
};
struct FileRead {
  Result<std::string> content = {};
};

class DiscoverCall;  // poller.h: a user's own coroutine.
struct Discover {
  std::shared_ptr<const DiscoverCall> call = {};
  Duration within = {};
};
struct Discovered {
  Result<PeerSet> peers = {};
};

/// DNS.  Never from a cache of ours; `ttl` says how long the answer holds.
struct LookUp {
  enum class Kind {
    ipv4,       ///< A records.
    addresses,  ///< A and AAAA records.
    services    ///< SRV records, and the A and AAAA records of their targets.
  };
  Kind kind = Kind::addresses;
  std::string name = {};
  std::vector<std::string> servers = {};  ///< "10.0.0.2", "10.0.0.2:5353", "[::1]:53"; empty: the
                                          ///< system's.
  bool search = false;                    ///< Try the system's search list for relative names.
  bool target_addresses = true;           ///< Of services: look these up, too.
  Duration within = {};
};
struct LookedUp {
  enum class Kind { found, no_such_name, no_records, failed };
  struct Service {
    std::string target = {};  ///< Without a final dot.
    std::uint16_t port = 0;
    std::vector<std::string> addresses = {};  ///< Empty: they could not be found.
  };
  Kind kind = Kind::failed;
  std::string reason = {};                  ///< Unless found.
  std::vector<std::string> addresses = {};  ///< IPv4, then IPv6 in its short form.
  std::vector<Service> services = {};       ///< Those of the best priority first.
  Duration ttl = {};                        ///< The least of all records.
  std::size_t skipped = 0;                  ///< Records that could not be used.
};

/// One HTTP/1.1 request.  Redirects are not followed.
struct HttpRequest {
  std::string method = "GET";
  std::string url = {};  ///< "https://10.0.0.1:6443/api/...", http likewise.
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  Duration within = {};                            ///< To the end of the answer ...
  std::size_t most_bytes = std::size_t{16} << 20;  ///< ... and its largest size.
  // For https, as PEM text; the server's certificate is always verified.
  std::string trusted = {};      ///< Authorities; empty: the system's.
  std::string certificate = {};  ///< Ours and ...
  std::string key = {};          ///< ... its key, where the server wants one.
  /// The body of a 200 comes line by line: HttpAnswer (its body empty) within `within`, HttpLine
  /// for each line of at most `most_bytes`, HttpEnded.  Any other status is answered whole, by
  /// HttpAnswer alone.
  bool stream = false;
  Duration quiet = std::chrono::minutes(2);  ///< A stream without a byte for so long is ended.
  /// May be sent twice, as a GET may: once more when a connection that was used before breaks.
  bool repeatable = false;
};
struct HttpReply {
  int status = 0;
  std::string reason = {};
  std::string body = {};
  std::optional<Duration> retry_after = {};
};
struct HttpAnswer {
  Result<HttpReply> reply = {};
};
struct HttpLine {
  std::string line = {};
};
struct HttpEnded {
  Result<void> result = {};
};

/// A program of the user's, without a shell; what it prints is the answer.
struct RunProgram {
  std::vector<std::string> command = {};
  Duration within = {};  ///< Killed after that.
  std::size_t most_bytes = std::size_t{1} << 20;
};
struct ProgramRan {
  Result<std::string> output = {};  ///< An Error also where it did not exit with 0.
};

using Question =
    std::variant<OpenGroup, AskNames, ReadFile, Discover, LookUp, HttpRequest, RunProgram>;
using Answer = std::variant<GroupOpened, GroupChanged, NamesFound, FileRead, Discovered, LookedUp,
                            HttpAnswer, HttpLine, HttpEnded, ProgramRan>;
using QuestionId = std::uint64_t;

}  // namespace muster::discovery
