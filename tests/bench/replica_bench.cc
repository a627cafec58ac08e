// SPDX-License-Identifier: MIT
//
// What an operation costs on its way: encoded, issued, received and applied; a row of a copy read
// out and installed; frames and TLS of a link; the timer wheel alone.  Values of 256 bytes under
// keys of 32.
#include <benchmark/benchmark.h>

#include <memory>

#include "copy_codec.h"
#include "expiry_wheel.h"
#include "replica.h"
#include "transport/frames.h"
#include "transport/tls.h"
#include "wire_format.h"

namespace muster::cache {
namespace {

constexpr std::size_t keys = 100'000;
constexpr Timestamp start{std::chrono::seconds(1'700'000'000)};
const std::string value(256, 'v');

std::string key_at(std::size_t number) {
  std::string text = "pow:cache:session:--------------";
  for (std::size_t digit = text.size(); digit-- > 18; number /= 10) {
    text[digit] = static_cast<char>('0' + number % 10);
  }
  return text;
}

struct Sink final : ReplicaListener {
  std::string latest;
  void applied(const Operation&, std::string_view encoded) override { latest.assign(encoded); }
  void outdone(const SetAside&) override {}
  void brought_delete(std::string_view, const Dot&, const Stamp&) override {}
};

struct Copy {
  Sink sink;
  Replica replica;
  std::string key;

  explicit Copy(std::uint64_t boot)
      : replica({.boot = node::BootId{boot}, .stores = false},
                std::make_shared<Table>(Table::Options{}), sink) {
    replica.follow(path(), {node::BootId{1}, node::BootId{2}});
  }
  static Path path() { return {Line{.id = 1, .namer = {1, node::BootId{1}}, .view = 3}}; }

  void put(std::size_t number) {
    key = key_at(number);
    Operation operation;
    operation.stamp = replica.next_stamp(start);
    PutItem item{.key = key, .value = value};
    if (const auto visible = replica.table().visible(key, start)) item.created = visible->created;
    operation.puts.push_back(item);
    replica.issue(operation);
  }
};

Operation operation_of(const std::string& key) {
  Operation operation;
  operation.dot = {{node::BootId{77}, 1}, 123'456};
  operation.stamp = {1'700'000'000'000'000, node::BootId{77}};
  operation.puts.push_back({.key = key, .created = operation.dot, .value = value});
  return operation;
}

void operation_encode(benchmark::State& state) {
  const std::string key = key_at(1);
  const Operation operation = operation_of(key);
  std::string out;
  for (auto _ : state) {
    out.clear();
    encode(operation, out);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(operation_encode);

void operation_decode(benchmark::State& state) {
  const std::string key = key_at(1);
  std::string bytes;
  encode(operation_of(key), bytes);
  Operation read;
  for (auto _ : state) benchmark::DoNotOptimize(decode(bytes, read).has_value());
}
BENCHMARK(operation_decode);

void operation_issue(benchmark::State& state) {
  Copy copy(1);
  for (std::size_t i = 0; i < keys; ++i) copy.put(i);
  std::size_t i = 0;
  for (auto _ : state) copy.put(i++ * 7919 % keys);
}
BENCHMARK(operation_issue);

/// Made beforehand, in one log; applied by a copy that has the same keys already.
void operation_receive(benchmark::State& state) {
  constexpr std::size_t operations = 300'000;
  Copy origin(1);
  std::vector<std::string> encoded;
  for (std::size_t i = 0; i < keys + operations; ++i) {
    origin.put(i * 7919 % keys);
    encoded.push_back(origin.sink.latest);
  }
  Copy copy(2);
  for (std::size_t i = 0; i < keys; ++i) copy.replica.receive(encoded[i], start);
  std::size_t next = keys;
  for (auto _ : state) copy.replica.receive(encoded[next++], start);
  if (copy.replica.seen() != origin.replica.seen()) state.SkipWithError("something is missing");
}
BENCHMARK(operation_receive)->Iterations(300'000);

/// All buckets of one copy into another that begins with nothing, as a join does it.
void copy_buckets(benchmark::State& state) {
  Copy source(1);
  for (std::size_t i = 0; i < keys; ++i) source.put(i);
  BucketWriter writer;
  BucketPart part;
  std::string message;
  for (auto _ : state) {
    Copy joiner(2);
    joiner.replica.start_copy(Copy::path(), {node::BootId{1}}, source.replica.seen(), {}, {});
    for (std::uint32_t bucket = 0; bucket < Table::buckets; ++bucket) {
      message.clear();
      writer.begin(bucket, false);
      source.replica.table().scan_bucket(bucket, [&](std::string_view key) {
        writer.add_entry(key, source.replica.table().row(key));
        return true;
      });
      writer.end(true, message);
      wire_format::Reader answer(message), of_bucket({});
      while (answer.next()) of_bucket = wire_format::Reader(answer.bytes());
      while (of_bucket.next()) static_cast<void>(read_bucket(of_bucket.bytes(), part));
      for (const auto& [key, row] : part.entries) {
        joiner.replica.install(key, row, source.replica.seen());
      }
      joiner.replica.mark_installed(bucket);
    }
    joiner.replica.finish_copy();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(keys));
}
BENCHMARK(copy_buckets)->Unit(benchmark::kMillisecond);

/// As many frames as one write of a link carries.
void frames(benchmark::State& state) {
  const auto frame = std::make_shared<const std::string>(300, 'f');
  const std::int64_t count = state.range(0);
  node::FrameQueue queue;
  node::FrameReader reader;
  std::string bytes;
  for (auto _ : state) {
    for (std::int64_t i = 0; i < count; ++i) queue.push(node::Lane::urgent, frame);
    bytes.clear();
    queue.take(bytes, SIZE_MAX / 2);
    reader.push(bytes);
    while (const auto one = reader.next()) benchmark::DoNotOptimize(one->data());
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(frames)->Arg(1)->Arg(100);

void tls(benchmark::State& state) {
  const node::TlsContext context(node::Cookie("a cookie for a benchmark alone").derive("link"));
  const auto dialler = context.open(node::TlsContext::Role::dialler);
  const auto acceptor = context.open(node::TlsContext::Role::acceptor);
  std::string carried, space(std::size_t{16} << 10, '\0');
  const auto carry = [&](node::TlsChannel& from, node::TlsChannel& to) {
    carried = std::move(from.output());
    from.output().clear();
    to.feed(carried);
  };
  for (int round = 0; round < 4; ++round) {
    static_cast<void>(dialler->handshake());
    carry(*dialler, *acceptor);
    static_cast<void>(acceptor->handshake());
    carry(*acceptor, *dialler);
  }
  const std::string plain(static_cast<std::size_t>(state.range(0)), 'p');
  std::size_t received = 0;
  for (auto _ : state) {
    dialler->write(plain);
    carry(*dialler, *acceptor);
    for (auto piece = acceptor->read(space); !piece.empty(); piece = acceptor->read(space)) {
      received += piece.size();
    }
  }
  if (received == 0) state.SkipWithError("nothing came through");
  state.SetBytesProcessed(static_cast<std::int64_t>(received));
}
BENCHMARK(tls)->Arg(300)->Arg(16 << 10)->Arg(256 << 10);

/// A refresh: what a session's touch costs the wheel.
void wheel_refresh(benchmark::State& state) {
  std::vector<TimerNode> nodes(1'000'000);
  ExpiryWheel wheel;
  std::uint64_t random = 1;
  const auto later = [&] {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    return start + std::chrono::microseconds(3'600'000'000 + (random >> 34));
  };
  for (TimerNode& node : nodes) {
    node.expiry = later();
    wheel.add(node);
  }
  for (auto _ : state) {
    TimerNode& node = nodes[random % nodes.size()];
    node.unlink();
    node.expiry = later();
    wheel.add(node);
  }
  wheel.clear();
}
BENCHMARK(wheel_refresh);

void wheel_expire(benchmark::State& state) {
  std::vector<TimerNode> nodes(1'000'000);
  std::size_t due = 0;
  for (auto _ : state) {
    ExpiryWheel wheel;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      nodes[i] = {};
      nodes[i].expiry = start + std::chrono::microseconds(i * 3000);
      wheel.add(nodes[i]);
    }
    std::size_t steps = SIZE_MAX;
    while (wheel.pop(start + std::chrono::hours(1), steps) != nullptr) ++due;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(due));
}
BENCHMARK(wheel_expire)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace muster::cache

BENCHMARK_MAIN();
