// SPDX-License-Identifier: MIT
// See frames.h.
#include "transport/frames.h"

#include <algorithm>
#include <boost/assert.hpp>
#include <boost/endian/conversion.hpp>
#include <utility>

namespace muster::node {
namespace {

constexpr std::uint32_t bulk_bit = std::uint32_t{1} << 31;
constexpr std::uint32_t more_bit = std::uint32_t{1} << 30;
constexpr std::size_t header_size = 4;

void append_slice(std::string& out, std::string_view bytes, std::uint32_t bits) {
  unsigned char header[header_size];
  boost::endian::store_big_u32(header, static_cast<std::uint32_t>(bytes.size()) | bits);
  out.append(reinterpret_cast<const char*>(header), header_size);
  out.append(bytes);
}

std::uint32_t header_of(std::string_view bytes) {
  return boost::endian::load_big_u32(reinterpret_cast<const unsigned char*>(bytes.data()));
}

std::size_t size_of(std::uint32_t header) { return header & ~(bulk_bit | more_bit); }

}  // namespace

void FrameQueue::push(Lane lane, Bytes frame) {
  BOOST_ASSERT(frame && !frame->empty() && frame->size() <= frame_max);
  bytes_ += frame->size();
  (lane == Lane::urgent ? urgent_ : bulk_).push_back(std::move(frame));
}

void FrameQueue::take(std::string& out, std::size_t round_max) {
  const std::size_t end = out.size() + round_max;
  const bool any_urgent = !urgent_.empty();
  while (!urgent_.empty() && out.size() < end) {
    bytes_ -= urgent_.front()->size();
    append_slice(out, *urgent_.front(), 0);
    urgent_.pop_front();
  }
  // One slice even when urgent frames fill every round: bulk is slow then, but never stands still.
  const std::size_t bulk_end = any_urgent ? out.size() + 1 : end;
  while (!bulk_.empty() && out.size() < bulk_end) take_slice(out);
}

void FrameQueue::take_slice(std::string& out) {
  const std::string_view rest = std::string_view(*bulk_.front()).substr(bulk_offset_);
  const std::string_view slice = rest.substr(0, slice_max);
  const bool more = slice.size() < rest.size();
  append_slice(out, slice, bulk_bit | (more ? more_bit : 0));
  bytes_ -= slice.size();
  bulk_offset_ += slice.size();
  if (more) return;
  bulk_.pop_front();
  bulk_offset_ = 0;
}

void FrameQueue::drop_bulk() {
  for (const Bytes& frame : bulk_) bytes_ -= frame->size();
  bytes_ += bulk_offset_;
  bulk_offset_ = 0;
  bulk_.clear();
}

std::optional<std::string_view> FrameReader::next() {
  if (bulk_done_) {
    bulk_.clear();
    bulk_done_ = false;
  }
  while (auto slice = next_slice()) {
    if (!slice->bulk || (!slice->more && bulk_.empty())) return slice->bytes;
    if (bulk_.size() + slice->bytes.size() > frame_max) {
      broken_ = "a bulk frame is larger than allowed";
      return std::nullopt;
    }
    bulk_.append(slice->bytes);
    if (slice->more) continue;
    bulk_done_ = true;
    return bulk_;
  }
  return std::nullopt;
}

std::optional<FrameReader::Slice> FrameReader::next_slice() {
  if (std::exchange(partial_done_, false)) partial_.clear();
  if (!broken_.empty()) return std::nullopt;
  if (partial_.empty() && input_.size() >= header_size) {  // The usual case: no copy.
    const std::uint32_t header = header_of(input_);
    if (!check(header)) return std::nullopt;
    const std::size_t size = size_of(header);
    if (input_.size() >= header_size + size) {
      const std::string_view bytes = input_.substr(header_size, size);
      input_.remove_prefix(header_size + size);
      return Slice{bytes, (header & bulk_bit) != 0, (header & more_bit) != 0};
    }
  }
  if (!fill(header_size)) return std::nullopt;
  const std::uint32_t header = header_of(partial_);
  if (!check(header) || !fill(header_size + size_of(header))) return std::nullopt;
  partial_done_ = true;
  return Slice{std::string_view(partial_).substr(header_size), (header & bulk_bit) != 0,
               (header & more_bit) != 0};
}

bool FrameReader::check(std::uint32_t header) {
  const bool bulk = (header & bulk_bit) != 0;
  const bool more = (header & more_bit) != 0;
  const std::size_t size = size_of(header);
  if (size == 0) {
    broken_ = "a frame is empty";
  } else if (size > (bulk ? slice_max : frame_max)) {
    broken_ = "a frame is larger than allowed";
  } else if (more && !bulk) {
    broken_ = "an urgent frame is cut in slices";
  }
  return broken_.empty();
}

bool FrameReader::fill(std::size_t size) {
  if (partial_.size() < size) {
    const std::size_t count = std::min(size - partial_.size(), input_.size());
    partial_.append(input_.substr(0, count));
    input_.remove_prefix(count);
  }
  return partial_.size() >= size;
}

}  // namespace muster::node
