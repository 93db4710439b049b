// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Why a connection into a guest broke.

#ifndef MSB_SUPERVISOR_SANDBOX_LOSS_H_
#define MSB_SUPERVISOR_SANDBOX_LOSS_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "supervisor/sandbox/sandbox.h"

namespace msb {

// A connection breaks before the news of its VMM's end is there. Waits for the sandbox to be at
// rest, when it is on its way there or gets on it within agent.loss_settle, and calls `done` with
// kSandboxStopped and the reason of that; else with `loss`. From any thread; `done` is called on
// the loop of the sandboxes.
void ExplainLoss(const SandboxContext& context, const std::weak_ptr<Sandbox>& sandbox,
                 absl::Status loss, std::function<void(absl::Status)> done);

// Whether a connection that ended with `status` may have ended with its sandbox.
bool MayBeALoss(const absl::Status& status);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_LOSS_H_
