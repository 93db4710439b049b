// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/lifecycle.h"

namespace msb {

using msb::v1::SANDBOX_STATE_CREATING;
using msb::v1::SANDBOX_STATE_FAILED;
using msb::v1::SANDBOX_STATE_PAUSED;
using msb::v1::SANDBOX_STATE_RUNNING;
using msb::v1::SANDBOX_STATE_STARTING;
using msb::v1::SANDBOX_STATE_STOPPED;
using msb::v1::SANDBOX_STATE_STOPPING;
using msb::v1::SandboxState;

bool MayFollow(SandboxState from, SandboxState to) {
  switch (from) {
    case SANDBOX_STATE_CREATING:
      return IsAtRest(to);
    case SANDBOX_STATE_STOPPING:
      // A machine that did not come up from its boot snapshot is booted instead.
      return IsAtRest(to) || to == SANDBOX_STATE_STARTING;
    case SANDBOX_STATE_STOPPED:
    case SANDBOX_STATE_FAILED:
      return to == SANDBOX_STATE_STARTING;
    case SANDBOX_STATE_STARTING:
    case SANDBOX_STATE_PAUSED:
      return to == SANDBOX_STATE_RUNNING || to == SANDBOX_STATE_STOPPING;
    case SANDBOX_STATE_RUNNING:
      return to == SANDBOX_STATE_PAUSED || to == SANDBOX_STATE_STOPPING;
    default:
      return false;
  }
}

absl::string_view StateName(SandboxState state) {
  switch (state) {
    case SANDBOX_STATE_CREATING:
      return "creating";
    case SANDBOX_STATE_STARTING:
      return "starting";
    case SANDBOX_STATE_RUNNING:
      return "running";
    case SANDBOX_STATE_PAUSED:
      return "paused";
    case SANDBOX_STATE_STOPPING:
      return "stopping";
    case SANDBOX_STATE_STOPPED:
      return "stopped";
    case SANDBOX_STATE_FAILED:
      return "failed";
    default:
      return "unknown";
  }
}

bool HasVmm(SandboxState state) {
  return state == SANDBOX_STATE_STARTING || state == SANDBOX_STATE_RUNNING ||
         state == SANDBOX_STATE_PAUSED || state == SANDBOX_STATE_STOPPING;
}

bool IsAtRest(SandboxState state) {
  return state == SANDBOX_STATE_STOPPED || state == SANDBOX_STATE_FAILED;
}

}  // namespace msb
