// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The daemon's journal: one row for each sandbox, written before what it speaks of is made.

#ifndef MSB_SUPERVISOR_STORE_SANDBOX_STORE_H_
#define MSB_SUPERVISOR_STORE_SANDBOX_STORE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "supervisor/store/database.h"
#include "supervisor/store/sandbox_record.h"

namespace msb {

// Threading: one thread at a time. Errors: kJournalError.
class SandboxStore {
 public:
  // Opens or makes the database and brings it to this version's schema. One that a newer version
  // wrote is refused and left alone.
  static absl::StatusOr<SandboxStore> Open(const std::string& path);

  // Writes the whole row, new or not. When it returns, a crash of the daemon does not lose it.
  absl::Status Put(const SandboxRecord& record);
  absl::Status Delete(absl::string_view id);
  absl::StatusOr<std::vector<SandboxRecord>> LoadAll();

 private:
  SandboxStore(Database database, Statement put, Statement remove)
      : database_(std::move(database)), put_(std::move(put)), delete_(std::move(remove)) {}

  Database database_;
  Statement put_;
  Statement delete_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_STORE_SANDBOX_STORE_H_
