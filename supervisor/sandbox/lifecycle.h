// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Which state may follow which (diagram: README.md).

#ifndef MSB_SUPERVISOR_SANDBOX_LIFECYCLE_H_
#define MSB_SUPERVISOR_SANDBOX_LIFECYCLE_H_

#include "absl/strings/string_view.h"
#include "msb/v1/sandbox.pb.h"

namespace msb {

bool MayFollow(msb::v1::SandboxState from, msb::v1::SandboxState to);

// "running".
absl::string_view StateName(msb::v1::SandboxState state);

// A VMM process is there or about to be.
bool HasVmm(msb::v1::SandboxState state);

// Stopped or failed: nothing of it runs.
bool IsAtRest(msb::v1::SandboxState state);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_LIFECYCLE_H_
