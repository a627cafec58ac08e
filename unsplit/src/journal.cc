// SPDX-License-Identifier: MIT
#include "muster/unsplit/journal.h"

#include <chrono>

#include "journal.pb.h"

namespace muster::unsplit {
namespace {

constexpr std::uint32_t format_version = 1;

std::int64_t microseconds(Timestamp time) { return time.time_since_epoch().count(); }
Timestamp timestamp(std::int64_t microseconds) {
  return Timestamp(std::chrono::microseconds(microseconds));
}

void append_big_endian(std::string& out, std::uint64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>((number >> shift) & 0xff));
}

}  // namespace

std::string row_prefix(std::string_view key) {
  std::string row(key);
  row.append(2, '\0');
  return row;
}

cache::Healer::Record encode(const JournalEntry& entry) {
  disk::SetAside record;
  record.set_version(format_version);
  record.set_key(entry.key);
  record.set_value(entry.value);
  record.set_stamp_time(entry.stamp.time);
  record.set_stamp_boot(entry.stamp.boot.value);
  record.set_created_boot(entry.created.origin.boot.value);
  record.set_created_number(entry.created.origin.number);
  record.set_created_sequence(entry.created.sequence);
  record.set_line(entry.line);
  record.set_expiry(microseconds(entry.expiry));
  record.set_set_aside(microseconds(entry.set_aside));
  record.set_why(entry.why);
  record.set_writer(entry.writer);
  record.set_before_time(entry.before.time);
  record.set_before_boot(entry.before.boot.value);
  record.set_to_merge(entry.to_merge);

  cache::Healer::Record result;
  result.key = row_prefix(entry.key);
  append_big_endian(result.key, entry.stamp.time);
  append_big_endian(result.key, entry.stamp.boot.value);
  record.SerializeToString(&result.value);
  return result;
}

Result<JournalEntry> decode(std::string_view row, std::string_view record) {
  disk::SetAside read;
  if (!read.ParseFromArray(record.data(), static_cast<int>(record.size())))
    return bad_input("a journal record is malformed");
  if (read.version() != format_version)
    return bad_input("a journal record has format version " + std::to_string(read.version()) +
                     ", this muster reads version 1");
  JournalEntry entry;
  entry.row = row;
  entry.key = read.key();
  entry.value = read.value();
  entry.stamp = {.time = read.stamp_time(), .boot = {read.stamp_boot()}};
  entry.created = {.origin = {.boot = {read.created_boot()}, .number = read.created_number()},
                   .sequence = read.created_sequence()};
  entry.line = read.line();
  entry.expiry = timestamp(read.expiry());
  entry.set_aside = timestamp(read.set_aside());
  entry.why = read.why();
  entry.writer = read.writer();
  entry.before = {.time = read.before_time(), .boot = {read.before_boot()}};
  entry.to_merge = read.to_merge();
  return entry;
}

}  // namespace muster::unsplit
