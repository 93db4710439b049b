// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// SandboxStore: its rows of private networks, which are few.

#include "base/status_macros.h"
#include "supervisor/store/sandbox_store.h"

namespace msb {

absl::Status SandboxStore::AddPrivateNetwork(const PrivateNetworkRecord& record) {
  MSB_ASSIGN_OR_RETURN(Statement add,
                       database_.Prepare("INSERT INTO private_networks (owner_uid, name, "
                                         "created_at_ns) VALUES (?, ?, ?)"));
  add.Bind(1, int64_t{record.owner_uid})
      .Bind(2, record.name)
      .Bind(3, absl::ToUnixNanos(record.created_at));
  return add.Run();
}

absl::Status SandboxStore::DeletePrivateNetwork(uint32_t owner_uid, absl::string_view name) {
  MSB_ASSIGN_OR_RETURN(
      Statement remove,
      database_.Prepare("DELETE FROM private_networks WHERE owner_uid = ? AND name = ?"));
  return remove.Bind(1, int64_t{owner_uid}).Bind(2, name).Run();
}

absl::StatusOr<std::vector<PrivateNetworkRecord>> SandboxStore::LoadPrivateNetworks() {
  MSB_ASSIGN_OR_RETURN(
      Statement query,
      database_.Prepare("SELECT owner_uid, name, created_at_ns FROM private_networks"));
  std::vector<PrivateNetworkRecord> records;
  while (true) {
    MSB_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return records;
    records.push_back({.owner_uid = static_cast<uint32_t>(query.Integer(0)),
                       .name = query.Text(1),
                       .created_at = absl::FromUnixNanos(query.Integer(2))});
  }
}

}  // namespace msb
