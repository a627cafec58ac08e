// SPDX-License-Identifier: MIT
//
// Between our own types and the generated messages.  Reading checks what the machines rely on and
// returns false (or an error) on what no node would have sent.
#pragma once

#include <set>

#include "muster/cache/definition.h"
#include "muster/cache/types.h"
#include "replication.pb.h"
#include "vector.h"

namespace muster::cache {

using PathMessage = google::protobuf::RepeatedPtrField<wire::Line>;
using VectorMessage = google::protobuf::RepeatedPtrField<wire::VectorEntry>;
using PrunedMessage = google::protobuf::RepeatedPtrField<wire::Pruned>;
using DroppedMessage = google::protobuf::RepeatedPtrField<wire::Dropped>;
using BootsMessage = google::protobuf::RepeatedField<std::uint64_t>;

void to_wire(const Stamp& stamp, wire::Stamp& out);
[[nodiscard]] Stamp from_wire(const wire::Stamp& in);
void to_wire(const Dot& dot, wire::Dot& out);
[[nodiscard]] Dot from_wire(const wire::Dot& in);
void to_wire(const Path& path, PathMessage& out);
[[nodiscard]] bool from_wire(const PathMessage& in, Path& path);
void to_wire(const std::set<BootId>& boots, BootsMessage& out);
[[nodiscard]] std::set<BootId> from_wire(const BootsMessage& in);

/// With what `origins` knows of each origin.
void to_wire(const Vector& vector, const Origins& origins, VectorMessage& out);
/// Sequences alone.
void to_wire(const Vector& vector, VectorMessage& out);
/// Entries of sequence 0 are skipped.  `origins`, where given, learns what the message tells of
/// origins.
[[nodiscard]] Vector from_wire(const VectorMessage& in, Origins* origins = nullptr);

void to_wire(const Pruned& pruned, PrunedMessage& out);
[[nodiscard]] Pruned from_wire(const PrunedMessage& in);
void to_wire(const Dropped& dropped, DroppedMessage& out);
[[nodiscard]] Dropped from_wire(const DroppedMessage& in);

void to_wire(const TableDefinition& definition, wire::Definition& out);
Result<TableDefinition> from_wire(const wire::Definition& in);
/// The name, and that the options make sense together; the error names what is wrong.
Result<void> check(const TableDefinition& definition);

}  // namespace muster::cache
