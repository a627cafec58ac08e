// SPDX-License-Identifier: MIT
//
// Frames on a link: four bytes of length, big-endian, whose two highest bits tell the lane and
// whether the frame goes on in a later slice; then the bytes.  Urgent frames are never cut; bulk
// frames are cut in slices so that urgent ones pass between them.
//
// Pure, bounded: a queue counts its bytes exactly; a reader never holds more than one frame per
// lane.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "muster/node/fabric.h"

namespace muster::node {

/// Service id, the largest payload, and room for what the node adds to its own messages.
constexpr std::size_t frame_max = Fabric::max_payload + 1024;
constexpr std::size_t slice_max = std::size_t{64} << 10;

/// What waits to be sent on one link.
class FrameQueue {
 public:
  void push(Lane lane, Bytes frame);
  /// Appends to `out` what one write shall carry: urgent frames first, about `round_max` bytes;
  /// beside urgent ones at most one slice of bulk.
  void take(std::string& out, std::size_t round_max);
  void drop_bulk();

  [[nodiscard]] bool empty() const { return urgent_.empty() && bulk_.empty(); }
  [[nodiscard]] bool urgent_empty() const { return urgent_.empty(); }
  /// Bytes of frames not yet taken, without headers.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  void take_slice(std::string& out);

  std::deque<Bytes> urgent_;
  std::deque<Bytes> bulk_;
  std::size_t bulk_offset_ = 0;  ///< Of the first bulk frame: what is already taken.
  std::size_t bytes_ = 0;
};

class FrameReader {
 public:
  /// `bytes` must stay valid until next() has returned nothing.
  void push(std::string_view bytes) { input_ = bytes; }
  /// The next complete frame, valid until the next call; nothing when more bytes are needed, or
  /// when broken().
  [[nodiscard]] std::optional<std::string_view> next();
  /// Why no frame will ever come again; empty while all is well.
  [[nodiscard]] std::string_view broken() const { return broken_; }

 private:
  struct Slice {
    std::string_view bytes;
    bool bulk;
    bool more;
  };
  [[nodiscard]] std::optional<Slice> next_slice();
  [[nodiscard]] bool check(std::uint32_t header);
  bool fill(std::size_t size);

  std::string_view input_;
  std::string partial_;  ///< The beginning of a slice, header included.
  std::string bulk_;     ///< Slices so far of a bulk frame.
  bool partial_done_ = false;
  bool bulk_done_ = false;
  std::string_view broken_;
};

}  // namespace muster::node
