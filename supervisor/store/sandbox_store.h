// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The daemon's journal: one row for each sandbox, each of its companions and each volume, written
// before what it speaks of is made.

#ifndef MSB_SUPERVISOR_STORE_SANDBOX_STORE_H_
#define MSB_SUPERVISOR_STORE_SANDBOX_STORE_H_

#include <map>
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

  // The same of volumes (volume_rows.cc).
  absl::Status PutVolume(const VolumeRecord& record);
  absl::Status DeleteVolume(absl::string_view name);
  absl::StatusOr<std::vector<VolumeRecord>> LoadVolumes();

  // And of private networks (private_network_rows.cc), which never change.
  absl::Status AddPrivateNetwork(const PrivateNetworkRecord& record);
  absl::Status DeletePrivateNetwork(uint32_t owner_uid, absl::string_view name);
  absl::StatusOr<std::vector<PrivateNetworkRecord>> LoadPrivateNetworks();

 private:
  SandboxStore(Database database, Statement put, Statement remove, Statement clear_companions,
               Statement add_companion)
      : database_(std::move(database)),
        put_(std::move(put)),
        delete_(std::move(remove)),
        clear_companions_(std::move(clear_companions)),
        add_companion_(std::move(add_companion)) {}
  absl::Status PutSandbox(const SandboxRecord& record);
  absl::Status PutCompanions(const SandboxRecord& record);
  absl::StatusOr<std::map<std::string, std::vector<CompanionRecord>>> LoadCompanions();

  Database database_;
  Statement put_;
  Statement delete_;
  Statement clear_companions_;
  Statement add_companion_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_STORE_SANDBOX_STORE_H_
