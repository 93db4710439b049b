// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The command lines of msb-jailer (jailer/plan.h has its flags).

#ifndef MSB_SUPERVISOR_LAUNCH_JAILER_COMMAND_H_
#define MSB_SUPERVISOR_LAUNCH_JAILER_COMMAND_H_

#include <string>
#include <vector>

#include "supervisor/launch/cgroup_layout.h"
#include "supervisor/launch/companion.h"
#include "supervisor/launch/image_jobs.h"
#include "supervisor/launch/launch_options.h"
#include "supervisor/launch/launcher.h"
#include "supervisor/launch/vmm_inputs.h"

namespace msb {

// Numbers in the jailer, beside those of the jailed process.
inline constexpr int kJailerStatusFd = 40;
inline constexpr int kJailerExecFd = 41;

// That of a VMM, with the program's own name.
std::vector<std::string> JailerCommandLine(const LaunchSpec& spec, const LaunchPlan& plan,
                                           const LaunchOptions& options, const CgroupLayout& layout,
                                           const VmmInputs& inputs);

// That of a companion.
std::vector<std::string> JailerCommandLine(const CompanionSpec& spec, const LaunchPlan& plan,
                                           const CgroupLayout& layout);

// That of an image job. Of the host it sees what looking up names and trusting certificates takes,
// and that with a network alone.
std::vector<std::string> JailerCommandLine(const ImageJobRequest& request, uint32_t uid,
                                           const std::string& cgroup, const LaunchOptions& launch,
                                           const ImageJobOptions& options,
                                           const CgroupLayout& layout);

// That of a jailer which only opens the companion's sources; `root` is any directory of ours.
inline constexpr char kSourceCheckName[] = "check";
std::vector<std::string> SourceCheckCommandLine(const CompanionSpec& spec, const LaunchPlan& plan,
                                                const std::string& root,
                                                const CgroupLayout& layout);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_JAILER_COMMAND_H_
