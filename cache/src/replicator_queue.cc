// SPDX-License-Identifier: MIT
//
// What waits on a link stays bounded, however much a peer asks for and however slowly it reads: a
// queue that is too long takes no more of the live stream (its reader catches up later), and
// whatever may be large (parts of a copy, what somebody missed, clients' questions) waits until
// there is room.  What is too large for one frame goes in pieces.
#include "replicator.h"

namespace muster::cache {
namespace {

constexpr std::size_t queue_high = std::size_t{8} << 20;
constexpr std::size_t queue_low = std::size_t{1} << 20;
/// So that what is asked for is no reason to end the stream.
constexpr std::size_t answers_queue_max = std::size_t{6} << 20;
constexpr std::size_t piece_bytes = std::size_t{512} << 10;
constexpr std::size_t pieces_bytes_max = std::size_t{64} << 20;

}  // namespace

/// Once its queue was too long, only when nearly all of it is gone.
bool Replicator::streams_to(RemoteCopy& copy) {
  const std::size_t queued = surroundings_.fabric.queued(copy.member.boot);
  if (queued > queue_high) copy.streaming = false;
  if (queued < queue_low) copy.streaming = true;
  return copy.streaming;
}

bool Replicator::has_room(RemoteCopy& copy) {
  return streams_to(copy) &&
         surroundings_.fabric.queued(copy.member.boot) + copy.taken_bytes <= answers_queue_max;
}

void Replicator::serve_waiting(Now now) {
  waits_for_room_ = false;
  for (auto& [boot, copy] : copies_) {
    if (!copy.linked || copy.wanted.nothing()) continue;
    serve(now, copy);
    waits_for_room_ = waits_for_room_ || !copy.wanted.nothing();
  }
}

void Replicator::serve(Now now, RemoteCopy& copy) {
  Wanted& wanted = copy.wanted;
  while (!wanted.questions.empty() && has_room(copy)) {
    const Wanted::Question question = std::move(wanted.questions.front());
    wanted.questions.pop_front();
    wanted.question_bytes -= question.ask.ByteSizeLong();
    if (now.mono < question.until) answer_question(now, copy.member, question.ask);
  }
  if (wanted.fetch && has_room(copy)) serve_fetch(now, copy, *std::exchange(wanted.fetch, {}));
  while (!wanted.ranges.empty() && has_room(copy)) {
    if (serve_range(copy, wanted.ranges.front())) wanted.ranges.pop_front();
  }
}

void Replicator::post(BootId to, node::Lane lane, const wire::Message& message) {
  post(to, lane, message.SerializeAsString());
}

void Replicator::post(BootId to, node::Lane lane, std::string message) {
  const auto send = [&](std::string bytes) {
    surroundings_.fabric.send(to, cache_service, lane,
                              std::make_shared<const std::string>(std::move(bytes)));
  };
  if (message.size() <= node::Fabric::max_payload) return send(std::move(message));
  for (std::size_t from = 0; from < message.size(); from += piece_bytes) {
    wire::Message part;
    part.set_table(definition_.name);
    part.mutable_piece()->set_bytes(message.substr(from, piece_bytes));
    part.mutable_piece()->set_last(from + piece_bytes >= message.size());
    part.mutable_piece()->set_bulk(lane == node::Lane::bulk);
    send(part.SerializeAsString());
  }
}

/// The message, when its last piece has come.
std::optional<wire::Message> Replicator::collect(RemoteCopy& copy, const wire::Piece& piece) {
  std::string& bytes = copy.pieces[piece.bulk() ? 1 : 0];
  bytes += piece.bytes();
  if (!piece.last() && bytes.size() <= pieces_bytes_max) return std::nullopt;
  wire::Message whole;
  const bool read = piece.last() && whole.ParseFromString(bytes);
  std::string().swap(bytes);
  if (!read || whole.has_piece() || whole.table() != definition_.name) {
    ++surroundings_.malformed;
    return std::nullopt;
  }
  return whole;
}

}  // namespace muster::cache
