// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the journal knows of one sandbox.

#ifndef MSB_SUPERVISOR_STORE_SANDBOX_RECORD_H_
#define MSB_SUPERVISOR_STORE_SANDBOX_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/error.h"
#include "msb/v1/sandbox.pb.h"

namespace msb {

struct SandboxRecord {
  std::string id;
  uint32_t owner_uid = 0;
  uint32_t slot = 0;          // LaunchSpec::slot: unique among all records
  msb::v1::SandboxSpec spec;  // with every default filled in; the name is spec.name()
  msb::v1::SandboxState state = msb::v1::SANDBOX_STATE_CREATING;
  Reason reason = Reason::kUnspecified;
  std::string reason_detail;
  msb::v1::Engine engine = msb::v1::ENGINE_UNSPECIFIED;  // of the last start
  std::string engine_choice;

  // Resources, each set before the resource is made and cleared after it is gone.
  bool has_disk = false;
  bool has_vmm = false;
  // Everything is to go; set before the first thing does.
  bool removing = false;

  // Of the VMM, once it runs; 0: not known.
  int pid = 0;
  uint64_t start_time_ticks = 0;

  absl::Time created_at = absl::UnixEpoch();
  absl::Time started_at = absl::UnixEpoch();  // the epoch: never
  absl::Time stopped_at = absl::UnixEpoch();
  std::vector<msb::v1::StartStage> start_stages;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_STORE_SANDBOX_RECORD_H_
