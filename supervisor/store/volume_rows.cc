// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// SandboxStore: volumes. They come and go rarely: no statement is kept for them.

#include "base/status_macros.h"
#include "supervisor/store/sandbox_store.h"

namespace msb {

absl::Status SandboxStore::PutVolume(const VolumeRecord& record) {
  MSB_ASSIGN_OR_RETURN(
      Statement put,
      database_.Prepare("INSERT INTO volumes (name, state, size_mib, owner_uid, created_at_ns, "
                        "kind, owner_gid) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO "
                        "UPDATE SET state = excluded.state, size_mib = excluded.size_mib"));
  put.Bind(1, record.name)
      .Bind(2, static_cast<int64_t>(record.state))
      .Bind(3, int64_t{record.size_mib})
      .Bind(4, int64_t{record.owner_uid})
      .Bind(5, absl::ToUnixNanos(record.created_at))
      .Bind(6, int64_t{record.kind})
      .Bind(7, int64_t{record.owner_gid});
  return put.Run();
}

absl::Status SandboxStore::DeleteVolume(absl::string_view name) {
  MSB_ASSIGN_OR_RETURN(Statement remove, database_.Prepare("DELETE FROM volumes WHERE name = ?"));
  return remove.Bind(1, name).Run();
}

absl::StatusOr<std::vector<VolumeRecord>> SandboxStore::LoadVolumes() {
  MSB_ASSIGN_OR_RETURN(
      Statement query,
      database_.Prepare("SELECT name, state, size_mib, owner_uid, created_at_ns, kind, owner_gid "
                        "FROM volumes"));
  std::vector<VolumeRecord> records;
  while (true) {
    MSB_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return records;
    records.push_back({.name = query.Text(0),
                       .state = static_cast<VolumeRecord::State>(query.Integer(1)),
                       .kind = static_cast<msb::v1::VolumeKind>(query.Integer(5)),
                       .size_mib = static_cast<uint32_t>(query.Integer(2)),
                       .owner_uid = static_cast<uint32_t>(query.Integer(3)),
                       .owner_gid = static_cast<uint32_t>(query.Integer(6)),
                       .created_at = absl::FromUnixNanos(query.Integer(4))});
  }
}

}  // namespace msb
