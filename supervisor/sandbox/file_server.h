// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb-fs, which serves all that a sandbox mounts of the host's file systems: directories and files
// that its user named, and volumes of the directory kind (docs/adr/0009). Pure.

#ifndef MSB_SUPERVISOR_SANDBOX_FILE_SERVER_H_
#define MSB_SUPERVISOR_SANDBOX_FILE_SERVER_H_

#include "msb/v1/sandbox.pb.h"
#include "supervisor/config/config.h"
#include "supervisor/launch/launcher.h"
#include "supervisor/store/data_directory.h"
#include "supervisor/store/sandbox_record.h"

namespace msb {

inline constexpr char kFileServerCompanion[] = "fs";

bool NeedsFileServer(const msb::v1::SandboxSpec& spec);

// One source for each mount that it serves, in their order: the entries 0, 1, ... that
// MountRequestOf tells the guest of. It runs as the sandbox's owner.
CompanionSpec FileServerOf(const Config& config, const DataDirectory& data,
                           const SandboxRecord& record);

// Adds device and process to `spec` where they are needed.
void AddFileServer(const Config& config, const DataDirectory& data, const SandboxRecord& record,
                   LaunchSpec& spec);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_FILE_SERVER_H_
