// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a sandbox consumes: from its cgroup, its VMM and its guest.

#ifndef MSB_SUPERVISOR_SANDBOX_METRICS_H_
#define MSB_SUPERVISOR_SANDBOX_METRICS_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "msb/v1/sandbox.pb.h"
#include "supervisor/sandbox/sandbox.h"

namespace msb {

// kSandboxNotRunning without a VMM. What one of the three sources does not tell (a paused guest) is
// left at zero. Called on the loop of the sandboxes, `done` too.
void CollectMetrics(const std::shared_ptr<Sandbox>& sandbox,
                    std::function<void(absl::StatusOr<msb::v1::Metrics>)> done);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_METRICS_H_
