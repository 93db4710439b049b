// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The launcher that puts each VMM into a jail of its own. Read Launch in the source first.

#ifndef MSB_SUPERVISOR_LAUNCH_JAILED_LAUNCHER_H_
#define MSB_SUPERVISOR_LAUNCH_JAILED_LAUNCHER_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "supervisor/launch/cgroup_layout.h"
#include "supervisor/launch/launch_options.h"
#include "supervisor/launch/launcher.h"

namespace msb {

// Thread-safe. A VMM is a child of this process (the jailer clones it so) and a zombie from its end
// until CleanUp, which reaps it: nothing else here may wait for any child (waitpid(-1)), and
// SIGCHLD must not be ignored. One of an earlier life of the daemon is init's to reap.
class JailedLauncher final : public Launcher {
 public:
  // Looks at the host's cgroups and makes the runtime root. kConfigInvalid for options that cannot
  // work, kHostError for a host without the controllers that the policy asks for.
  static absl::StatusOr<std::unique_ptr<JailedLauncher>> Create(LaunchOptions options);

  LaunchPlan Plan(absl::string_view id, uint32_t slot) const override;
  // Clears up first what an earlier VMM of the sandbox left. Beside Launcher's: kSandboxWrongState
  // when the sandbox's VMM still runs; kJailFailed with the jailer's own line.
  absl::StatusOr<LaunchedVmm> Launch(const LaunchSpec& spec) override;
  absl::StatusOr<LaunchedVmm> Adopt(const ProcessIdentity& process,
                                    const LaunchPlan& plan) override;
  // Read the exit event and ReadUsage before: both are gone afterwards.
  absl::Status CleanUp(const LaunchPlan& plan) override;
  absl::Status RemoveLogs(const LaunchPlan& plan) override;
  absl::StatusOr<Usage> ReadUsage(const LaunchPlan& plan) const override;

 private:
  JailedLauncher(LaunchOptions options, CgroupLayout layout)
      : options_(std::move(options)), layout_(std::move(layout)) {}
  absl::StatusOr<LaunchedVmm> LaunchUnguarded(const LaunchSpec& spec, const LaunchPlan& plan);
  absl::StatusOr<bool> Runs(const LaunchPlan& plan) const;
  absl::Status Remember(const LaunchPlan& plan, const UniqueFd& pidfd);
  UniqueFd Forget(const LaunchPlan& plan);

  const LaunchOptions options_;
  const CgroupLayout layout_;
  mutable absl::Mutex mutex_;
  // By cgroup name: the VMMs that were launched or adopted and not cleared up yet. A zombie is in
  // no cgroup any more, so that only this finds it.
  absl::flat_hash_map<std::string, UniqueFd> vmms_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_JAILED_LAUNCHER_H_
