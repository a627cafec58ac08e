// SPDX-License-Identifier: MIT
// See state_file.h.
#include "state_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/assert.hpp>
#include <boost/endian/conversion.hpp>
#include <cerrno>

#include "node_state.pb.h"

namespace muster::node {
namespace {

constexpr std::string_view magic = "muster node\n";
constexpr std::uint32_t version = 1;
constexpr std::size_t checksum_size = 32;
constexpr std::size_t header_size = magic.size() + 4 + 4 + checksum_size;
constexpr std::size_t file_max = std::size_t{64} << 20;

std::string number(std::uint32_t value) {
  std::array<unsigned char, 4> bytes{};
  boost::endian::store_big_u32(bytes.data(), value);
  return {bytes.begin(), bytes.end()};
}

std::uint32_t number_at(std::string_view bytes, std::size_t offset) {
  return boost::endian::load_big_u32(
      reinterpret_cast<const unsigned char*>(bytes.substr(offset, 4).data()));
}

std::string checksum(std::string_view bytes) {
  std::string digest(checksum_size, '\0');
  const int good =
      EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()),
                 nullptr, EVP_sha256(), nullptr);
  BOOST_VERIFY(good == 1);
  return digest;
}

std::int64_t nanoseconds(Instant at) {
  return std::chrono::nanoseconds(at.time_since_epoch()).count();
}

std::string encode(const NodeState& state, const NodeName& name) {
  disk::State out;
  out.set_name(name.text());
  out.set_cluster(state.cluster);
  out.set_highest_ordinal(state.highest_ordinal);
  out.set_clock_mark_us(state.clock_mark.time.time_since_epoch().count());
  out.set_clock_mark_mono_ns(nanoseconds(state.clock_mark.read_at));
  out.set_host_start(state.clock_mark.host_start);
  for (const auto& [node, status] : state.membership.nodes) {
    disk::Known& known = *out.add_known();
    known.set_name(node.text());
    known.set_admissions(status.admissions);
    known.set_newest_ordinal(status.newest.ordinal);
    known.set_newest_boot(status.newest.boot.value);
  }
  for (const Peer& peer : state.peers) {
    disk::Address& address = *out.add_peers();
    address.set_name(peer.name.text());
    address.set_address(peer.address);
    address.set_port(peer.port);
  }
  return out.SerializeAsString();
}

Result<NodeState> decode(const disk::State& in) {
  NodeState state;
  state.cluster = in.cluster();
  state.highest_ordinal = in.highest_ordinal();
  state.clock_mark = {Timestamp(std::chrono::microseconds(in.clock_mark_us())),
                      Instant(std::chrono::nanoseconds(in.clock_mark_mono_ns())), in.host_start()};
  for (const disk::Known& known : in.known()) {
    const auto name = NodeName::parse(known.name());
    if (!name) return name.error();
    Membership::Status& status = state.membership.nodes[*name];
    status.admissions = known.admissions();
    status.newest = Seniority{known.newest_ordinal(), BootId{known.newest_boot()}};
  }
  for (const disk::Address& address : in.peers()) {
    const auto name = NodeName::parse(address.name());
    if (!name) return name.error();
    if (address.port() > 0xffff) return bad_input("a port is above 65535");
    state.peers.insert(Peer{*name, address.address(), static_cast<std::uint16_t>(address.port())});
  }
  return state;
}

/// The body of a file, when all before it is right.
Result<std::string_view> body_of(std::string_view file) {
  if (!file.starts_with(magic)) return bad_input("it is not a muster node's state");
  if (file.size() < header_size) return bad_input("it is damaged: too short");
  const std::uint32_t found = number_at(file, magic.size());
  if (found > version) {
    return bad_input(
        fmt::format("a newer muster wrote it (format {}, this one reads {})", found, version));
  }
  const std::string_view body = file.substr(header_size);
  if (number_at(file, magic.size() + 4) != body.size()) {
    return bad_input("it is damaged: its length is wrong");
  }
  if (file.substr(magic.size() + 8, checksum_size) != checksum(body)) {
    return bad_input("it is damaged: its checksum is wrong");
  }
  return body;
}

}  // namespace

Result<DirectoryLock> DirectoryLock::take(const std::filesystem::path& directory) {
  std::error_code failure;
  const bool made = std::filesystem::create_directories(directory, failure);
  if (failure) {
    return Error{failure, fmt::format("cannot create the directory {}", directory.string())};
  }
  if (made) std::filesystem::permissions(directory, std::filesystem::perms::owner_all, failure);
  const std::filesystem::path path = directory / "lock";
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.valid()) return last_error(fmt::format("cannot open {}", path.string()));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return last_error(fmt::format("cannot lock {}", path.string()));
    auto owner = read_all(file, 64);
    return bad_input(fmt::format("the directory {} is in use by process {}", directory.string(),
                                 owner && !owner->empty() ? *owner : "(unknown)"));
  }
  const std::string id = fmt::format("{}", ::getpid());
  if (::ftruncate(file.get(), 0) != 0 ||
      ::pwrite(file.get(), id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) {
    return last_error(fmt::format("cannot write {}", path.string()));
  }
  return DirectoryLock(std::move(file));
}

Result<NodeState> StateFile::load() const {
  const FileDescriptor file(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return NodeState();
  if (!file.valid()) return last_error(fmt::format("cannot open {}", file_.string()));
  const auto wrong = [&](const Error& why) {
    return bad_input(fmt::format("{}: {}", file_.string(), why.text()));
  };
  const auto content = read_all(file, file_max);
  if (!content) return wrong(content.error());
  const auto body = body_of(*content);
  if (!body) return wrong(body.error());
  disk::State in;
  if (!in.ParseFromArray(body->data(), static_cast<int>(body->size()))) {
    return wrong(bad_input("it is damaged: not a state"));
  }
  if (in.name() != name_.text()) {
    return wrong(bad_input(fmt::format("this directory belongs to the node {}", in.name())));
  }
  auto state = decode(in);
  if (!state) return wrong(state.error());
  return state;
}

Result<void> StateFile::save(const NodeState& state) const {
  const std::string body = encode(state, name_);
  std::string content(magic);
  content += number(version);
  content += number(static_cast<std::uint32_t>(body.size()));
  content += checksum(body);
  content += body;
  return replace_file(file_, content);
}

}  // namespace muster::node
