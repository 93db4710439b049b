// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// From the configuration's words to what the launcher is told.

#ifndef MSB_SUPERVISOR_DAEMON_LAUNCH_SETTINGS_H_
#define MSB_SUPERVISOR_DAEMON_LAUNCH_SETTINGS_H_

#include <string>

#include "supervisor/config/config.h"
#include "supervisor/launch/engine_choice.h"
#include "supervisor/launch/image_jobs.h"
#include "supervisor/launch/launch_options.h"
#include "supervisor/sandbox/boot_snapshots.h"
#include "supervisor/store/data_directory.h"

namespace msb {

std::string QemuDirectory(const Config& config);

LaunchOptions LaunchOptionsOf(const Config& config, const EngineFacts& engines);

BootSnapshots::Options BootSnapshotOptionsOf(const Config& config, const EngineFacts& engines,
                                             const DataDirectory& data);

ImageJobOptions ImageJobOptionsOf(const Config& config);

}  // namespace msb

#endif  // MSB_SUPERVISOR_DAEMON_LAUNCH_SETTINGS_H_
