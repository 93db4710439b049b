// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb-jailer: puts one VMM process into its cage and ends. See README.md, then plan.h.

#include <cstdio>
#include <string>
#include <vector>

#include "base/version.h"
#include "jailer/plan.h"
#include "jailer/run.h"
#include "jailer/step.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments == std::vector<std::string>{"--version"}) {
    std::printf("msb-jailer %s\n", std::string(msb::Version()).c_str());
    return 0;
  }
  const absl::StatusOr<msb::Plan> plan = msb::ParsePlan(arguments);
  if (!plan.ok()) {
    std::fprintf(stderr, "%s\n", msb::FailureLine(msb::Step::kPlan, plan.status()).c_str());
    return msb::ExitCodeOf(msb::Step::kPlan);
  }
  return msb::RunPlan(*plan);
}
