// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "jailer/step.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace msb {
namespace {

struct StepText {
  absl::string_view name;
  absl::string_view remedy;
};

// Indexed by the step's number.
constexpr StepText kTexts[] = {
    {"plan", "the caller's flags are wrong: jailer/plan.h lists them"},
    {"privileges", "start the daemon as root (sudo msbd, or its systemd unit)"},
    {"descriptors", "the caller must pass every descriptor that it names"},
    {"cgroup", "check that the cgroup file systems are mounted, writable and have the controllers"},
    {"namespaces", "the host must allow new namespaces: a container needs CAP_SYS_ADMIN for it"},
    {"session", "a bug of the jailer's or an unusual kernel: please report it"},
    {"root", "check the runtime directory of the daemon and that tmpfs can be mounted"},
    {"mounts", "check that what is to be mounted exists on this host"},
    {"pivot", "the daemon's own root must be a mount point, not an initramfs"},
    {"rlimits", "a bug of the jailer's or an unusual kernel: please report it"},
    {"capabilities", "the daemon needs CAP_SETPCAP, to give all others away"},
    {"identity",
     "the daemon needs CAP_SETUID and CAP_SETGID, and the user ids it is configured with"},
    {"lockdown", "a bug of the jailer's or an unusual kernel: please report it"},
    {"exec",
     "check that the VMM is a static executable for this machine that all users may execute"},
    {"sources", "check that what is to be mounted exists and that its user may reach and open it"},
};
static_assert(sizeof(kTexts) / sizeof(kTexts[0]) == kStepCount);

}  // namespace

absl::string_view NameOf(Step step) { return kTexts[static_cast<int>(step)].name; }

std::string FailureLine(Step step, const absl::Status& status) {
  const std::string line =
      absl::StrCat("msb-jailer: step ", static_cast<int>(step), " (", NameOf(step),
                   "): ", status.message(), "; ", kTexts[static_cast<int>(step)].remedy);
  return absl::StrReplaceAll(line, {{"\n", " "}});
}

}  // namespace msb
