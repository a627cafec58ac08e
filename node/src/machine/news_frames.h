// SPDX-License-Identifier: MIT
//
// News of members and links, in frames of a bounded size.
#pragma once

#include <vector>

#include "machine/link_states.h"
#include "machine/membership_book.h"
#include "machine/node_wire_codec.h"

namespace muster::node {

class NewsFrames {
 public:
  void add(const KnownNode& node) {
    wire::Known known;
    encode(node, known);
    make_room(known.ByteSizeLong());
    *update().add_known() = std::move(known);
  }
  void add(const LinkStateRecord& record) {
    wire::LinkState state;
    encode(record, state);
    make_room(state.ByteSizeLong());
    *update().add_links() = std::move(state);
  }
  /// All that was added; nothing may be added after.
  [[nodiscard]] const std::vector<Bytes>& frames() {
    close();
    return frames_;
  }

 private:
  /// Some of it above a frame's size: a record of many links goes alone.
  static constexpr std::size_t budget = std::size_t{1} << 18;

  wire::Update& update() { return *message_.mutable_update(); }
  void make_room(std::size_t size) {
    constexpr std::size_t tag = 8;
    if (size_ + size > budget) close();
    size_ += size + tag;
  }
  void close() {
    if (size_ == 0) return;
    frames_.push_back(encode(message_));
    message_.Clear();
    size_ = 0;
  }

  wire::Control message_;
  std::size_t size_ = 0;
  std::vector<Bytes> frames_;
};

}  // namespace muster::node
