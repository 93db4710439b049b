// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Runs the steps of a plan.

#ifndef MSB_JAILER_RUN_H_
#define MSB_JAILER_RUN_H_

#include "jailer/plan.h"

namespace msb {

// The jailer's exit code: 0 when the executable runs in its jail, else that of the step that
// failed. Reports on the plan's status descriptor and, on failure, on stderr.
int RunPlan(const Plan& plan);

}  // namespace msb

#endif  // MSB_JAILER_RUN_H_
