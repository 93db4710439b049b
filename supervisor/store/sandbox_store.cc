// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/store/sandbox_store.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb {
namespace {

// Each step brings a database of its index to the next version (PRAGMA user_version). Never changed
// once released, only added to.
constexpr absl::string_view kMigrations[] = {
    R"sql(
CREATE TABLE sandboxes (
  id TEXT PRIMARY KEY NOT NULL,
  name TEXT NOT NULL UNIQUE,
  owner_uid INTEGER NOT NULL,
  slot INTEGER NOT NULL UNIQUE,
  spec BLOB NOT NULL,
  state INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  reason_detail TEXT NOT NULL,
  engine INTEGER NOT NULL,
  engine_choice TEXT NOT NULL,
  has_disk INTEGER NOT NULL,
  has_vmm INTEGER NOT NULL,
  removing INTEGER NOT NULL,
  pid INTEGER NOT NULL,
  start_time_ticks INTEGER NOT NULL,
  created_at_ns INTEGER NOT NULL,
  started_at_ns INTEGER NOT NULL,
  stopped_at_ns INTEGER NOT NULL,
  start_stages BLOB NOT NULL
) STRICT, WITHOUT ROWID;
)sql",
    // Sandboxes from before had no mounts, for which alone group and groups count.
    R"sql(
ALTER TABLE sandboxes ADD COLUMN owner_gid INTEGER NOT NULL DEFAULT 65534;
ALTER TABLE sandboxes ADD COLUMN owner_groups TEXT NOT NULL DEFAULT '';
CREATE TABLE companions (
  sandbox_id TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  pid INTEGER NOT NULL,
  start_time_ticks INTEGER NOT NULL,
  running INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (sandbox_id, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE volumes (
  name TEXT PRIMARY KEY NOT NULL,
  state INTEGER NOT NULL,
  size_mib INTEGER NOT NULL,
  owner_uid INTEGER NOT NULL,
  created_at_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
)sql",
    // Volumes from before are disks (VOLUME_KIND_DISK), for which the group does not count.
    R"sql(
ALTER TABLE volumes ADD COLUMN kind INTEGER NOT NULL DEFAULT 1;
ALTER TABLE volumes ADD COLUMN owner_gid INTEGER NOT NULL DEFAULT 65534;
)sql",
    R"sql(
CREATE TABLE private_networks (
  owner_uid INTEGER NOT NULL,
  name TEXT NOT NULL,
  created_at_ns INTEGER NOT NULL,
  PRIMARY KEY (owner_uid, name)
) STRICT, WITHOUT ROWID;
)sql",
};

constexpr absl::string_view kColumns[] = {"id",
                                          "name",
                                          "owner_uid",
                                          "slot",
                                          "spec",
                                          "state",
                                          "reason",
                                          "reason_detail",
                                          "engine",
                                          "engine_choice",
                                          "has_disk",
                                          "has_vmm",
                                          "removing",
                                          "pid",
                                          "start_time_ticks",
                                          "created_at_ns",
                                          "started_at_ns",
                                          "stopped_at_ns",
                                          "start_stages",
                                          "owner_gid",
                                          "owner_groups"};

// Not INSERT OR REPLACE: that would silently delete the row of another sandbox with the same slot.
std::string PutSql() {
  std::vector<std::string> placeholders;
  std::vector<std::string> updates;
  for (const absl::string_view column : kColumns) {
    placeholders.push_back("?");
    updates.push_back(absl::StrCat(column, " = excluded.", column));
  }
  return absl::StrCat("INSERT INTO sandboxes (", absl::StrJoin(kColumns, ", "), ") VALUES (",
                      absl::StrJoin(placeholders, ","), ") ON CONFLICT (id) DO UPDATE SET ",
                      absl::StrJoin(updates, ", "));
}

// A repeated field needs a message round it to be serialised.
std::string EncodeStages(const std::vector<msb::v1::StartStage>& stages) {
  msb::v1::Sandbox carrier;
  for (const auto& stage : stages) *carrier.add_start_stages() = stage;
  return carrier.SerializeAsString();
}

std::vector<uint32_t> DecodeGroups(absl::string_view text) {
  std::vector<uint32_t> groups;
  for (absl::string_view word : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    uint32_t group = 0;
    if (absl::SimpleAtoi(word, &group)) groups.push_back(group);
  }
  return groups;
}

CompanionRecord ReadCompanion(const Statement& row) {
  return {.name = row.Text(1),
          .pid = static_cast<int>(row.Integer(2)),
          .start_time_ticks = static_cast<uint64_t>(row.Integer(3)),
          .running = row.Integer(4) != 0,
          .reason = ReasonFromNumber(static_cast<int>(row.Integer(5))),
          .detail = row.Text(6)};
}

absl::StatusOr<SandboxRecord> ReadRow(const Statement& row) {
  SandboxRecord record;
  msb::v1::Sandbox stages;
  record.id = row.Text(0);
  record.owner_uid = static_cast<uint32_t>(row.Integer(2));
  record.slot = static_cast<uint32_t>(row.Integer(3));
  if (!record.spec.ParseFromString(row.Blob(4)) || !stages.ParseFromString(row.Blob(18))) {
    return MakeError(Reason::kJournalError,
                     absl::StrCat("the row of sandbox ", record.id, " is damaged"));
  }
  record.state = static_cast<msb::v1::SandboxState>(row.Integer(5));
  record.reason = ReasonFromNumber(static_cast<int>(row.Integer(6)));
  record.reason_detail = row.Text(7);
  record.engine = static_cast<msb::v1::Engine>(row.Integer(8));
  record.engine_choice = row.Text(9);
  record.has_disk = row.Integer(10) != 0;
  record.has_vmm = row.Integer(11) != 0;
  record.removing = row.Integer(12) != 0;
  record.pid = static_cast<int>(row.Integer(13));
  record.start_time_ticks = static_cast<uint64_t>(row.Integer(14));
  record.created_at = absl::FromUnixNanos(row.Integer(15));
  record.started_at = absl::FromUnixNanos(row.Integer(16));
  record.stopped_at = absl::FromUnixNanos(row.Integer(17));
  record.start_stages.assign(stages.start_stages().begin(), stages.start_stages().end());
  record.owner_gid = static_cast<uint32_t>(row.Integer(19));
  record.owner_groups = DecodeGroups(row.Text(20));
  return record;
}

}  // namespace

absl::StatusOr<SandboxStore> SandboxStore::Open(const std::string& path) {
  MSB_ASSIGN_OR_RETURN(Database database, Database::Open(path));
  MSB_RETURN_IF_ERROR(Migrate(database, kMigrations));
  MSB_ASSIGN_OR_RETURN(Statement put, database.Prepare(PutSql()));
  MSB_ASSIGN_OR_RETURN(Statement remove, database.Prepare("DELETE FROM sandboxes WHERE id = ?"));
  MSB_ASSIGN_OR_RETURN(Statement clear,
                       database.Prepare("DELETE FROM companions WHERE sandbox_id = ?"));
  MSB_ASSIGN_OR_RETURN(Statement add,
                       database.Prepare("INSERT INTO companions VALUES (?, ?, ?, ?, ?, ?, ?)"));
  return SandboxStore(std::move(database), std::move(put), std::move(remove), std::move(clear),
                      std::move(add));
}

absl::Status SandboxStore::Put(const SandboxRecord& record) {
  MSB_RETURN_IF_ERROR(database_.Execute("BEGIN IMMEDIATE"));
  absl::Status status = PutSandbox(record);
  if (status.ok()) status = PutCompanions(record);
  if (status.ok()) status = database_.Execute("COMMIT");
  if (!status.ok()) database_.Execute("ROLLBACK").IgnoreError();  // the first error is the cause
  return status;
}

absl::Status SandboxStore::PutCompanions(const SandboxRecord& record) {
  MSB_RETURN_IF_ERROR(clear_companions_.Bind(1, record.id).Run());
  for (const CompanionRecord& companion : record.companions) {
    add_companion_.Bind(1, record.id)
        .Bind(2, companion.name)
        .Bind(3, int64_t{companion.pid})
        .Bind(4, static_cast<int64_t>(companion.start_time_ticks))
        .Bind(5, int64_t{companion.running})
        .Bind(6, static_cast<int64_t>(companion.reason))
        .Bind(7, companion.detail);
    MSB_RETURN_IF_ERROR(add_companion_.Run());
  }
  return absl::OkStatus();
}

absl::Status SandboxStore::PutSandbox(const SandboxRecord& record) {
  put_.Bind(1, record.id)
      .Bind(2, record.spec.name())
      .Bind(3, int64_t{record.owner_uid})
      .Bind(4, int64_t{record.slot})
      .BindBlob(5, record.spec.SerializeAsString())
      .Bind(6, int64_t{record.state})
      .Bind(7, static_cast<int64_t>(record.reason))
      .Bind(8, record.reason_detail)
      .Bind(9, int64_t{record.engine})
      .Bind(10, record.engine_choice)
      .Bind(11, int64_t{record.has_disk})
      .Bind(12, int64_t{record.has_vmm})
      .Bind(13, int64_t{record.removing})
      .Bind(14, int64_t{record.pid})
      .Bind(15, static_cast<int64_t>(record.start_time_ticks))
      .Bind(16, absl::ToUnixNanos(record.created_at))
      .Bind(17, absl::ToUnixNanos(record.started_at))
      .Bind(18, absl::ToUnixNanos(record.stopped_at))
      .BindBlob(19, EncodeStages(record.start_stages))
      .Bind(20, int64_t{record.owner_gid})
      .Bind(21, absl::StrJoin(record.owner_groups, ","));
  return put_.Run();
}

absl::Status SandboxStore::Delete(absl::string_view id) { return delete_.Bind(1, id).Run(); }

absl::StatusOr<std::vector<SandboxRecord>> SandboxStore::LoadAll() {
  MSB_ASSIGN_OR_RETURN(
      Statement query,
      database_.Prepare(absl::StrCat("SELECT ", absl::StrJoin(kColumns, ", "), " FROM sandboxes")));
  std::vector<SandboxRecord> records;
  std::map<std::string, std::vector<CompanionRecord>> companions;
  MSB_ASSIGN_OR_RETURN(companions, LoadCompanions());
  while (true) {
    MSB_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return records;
    MSB_ASSIGN_OR_RETURN(SandboxRecord record, ReadRow(query));
    record.companions = std::move(companions[record.id]);
    records.push_back(std::move(record));
  }
}

absl::StatusOr<std::map<std::string, std::vector<CompanionRecord>>> SandboxStore::LoadCompanions() {
  MSB_ASSIGN_OR_RETURN(Statement query,
                       database_.Prepare("SELECT * FROM companions ORDER BY sandbox_id, name"));
  std::map<std::string, std::vector<CompanionRecord>> companions;
  while (true) {
    MSB_ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return companions;
    companions[query.Text(0)].push_back(ReadCompanion(query));
  }
}

}  // namespace msb
