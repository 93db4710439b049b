// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the journal knows of one sandbox, and of one volume.

#ifndef MSB_SUPERVISOR_STORE_SANDBOX_RECORD_H_
#define MSB_SUPERVISOR_STORE_SANDBOX_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/error.h"
#include "msb/v1/sandbox.pb.h"
#include "msb/v1/volume.pb.h"

namespace msb {

// A process beside the VMM.
struct CompanionRecord {
  std::string name;
  int pid = 0;
  uint64_t start_time_ticks = 0;
  bool running = true;
  Reason reason = Reason::kUnspecified;  // of its end
  std::string detail;
};

struct SandboxRecord {
  std::string id;
  // Of who made it: what its mounts of the host may do.
  uint32_t owner_uid = 0;
  uint32_t owner_gid = 0;
  std::vector<uint32_t> owner_groups;
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

  std::vector<CompanionRecord> companions;  // of the run that is on

  absl::Time created_at = absl::UnixEpoch();
  absl::Time started_at = absl::UnixEpoch();  // the epoch: never
  absl::Time stopped_at = absl::UnixEpoch();
  std::vector<msb::v1::StartStage> start_stages;
};

struct VolumeRecord {
  enum class State { kMaking = 0, kReady = 1, kRemoving = 2 };
  std::string name;
  State state = State::kMaking;
  msb::v1::VolumeKind kind = msb::v1::VOLUME_KIND_DISK;
  uint32_t size_mib = 0;  // of a disk
  uint32_t owner_uid = 0;
  uint32_t owner_gid = 0;
  absl::Time created_at = absl::UnixEpoch();
};

struct PrivateNetworkRecord {
  uint32_t owner_uid = 0;
  std::string name;  // unique of its owner's
  absl::Time created_at = absl::UnixEpoch();
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_STORE_SANDBOX_RECORD_H_
