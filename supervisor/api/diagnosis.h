// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What `msbctl doctor` shows: everything the daemon needs, with what to do where it is missing.

#ifndef MSB_SUPERVISOR_API_DIAGNOSIS_H_
#define MSB_SUPERVISOR_API_DIAGNOSIS_H_

#include <functional>

#include "msb/v1/system.pb.h"
#include "supervisor/config/config.h"
#include "supervisor/images/images.h"
#include "supervisor/launch/engine_choice.h"
#include "supervisor/sandbox/boot_snapshots.h"

namespace msb {

// Hands each check to `report` as it ends. Blocks.
void Diagnose(const Config& config, const EngineFacts& engines, const Images& images,
              const BootSnapshots& snapshots, const std::function<void(msb::v1::Check)>& report);

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_DIAGNOSIS_H_
