// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The launcher that puts each VMM into a jail of its own. Read Launch in the source first.

#ifndef MSB_SUPERVISOR_LAUNCH_JAILED_LAUNCHER_H_
#define MSB_SUPERVISOR_LAUNCH_JAILED_LAUNCHER_H_

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "supervisor/launch/cgroup_layout.h"
#include "supervisor/launch/launch_options.h"
#include "supervisor/launch/launcher.h"

namespace msb {

// Thread-safe. A VMM or companion is a child of this process (the jailer clones it so) and a zombie
// from its end until CleanUp, which reaps it: nothing else here may wait for any child
// (waitpid(-1)), and SIGCHLD must not be ignored. One of an earlier life of the daemon is init's to
// reap.
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
  absl::StatusOr<std::optional<int>> CleanUp(const LaunchPlan& plan) override;
  absl::Status RemoveLogs(const LaunchPlan& plan) override;
  absl::Status CheckSources(const LaunchPlan& plan, const CompanionSpec& spec) override;
  absl::StatusOr<StartedCompanion> StartCompanion(const LaunchPlan& plan,
                                                  const CompanionSpec& spec) override;
  absl::StatusOr<LaunchedCompanion> AdoptCompanion(absl::string_view name,
                                                   const ProcessIdentity& process,
                                                   const LaunchPlan& plan) override;
  absl::StatusOr<CompanionEnd> EndCompanion(const LaunchPlan& plan,
                                            absl::string_view name) override;
  absl::StatusOr<Usage> ReadUsage(const LaunchPlan& plan) const override;

 private:
  JailedLauncher(LaunchOptions options, CgroupLayout layout)
      : options_(std::move(options)), layout_(std::move(layout)) {}
  absl::StatusOr<LaunchedVmm> LaunchUnguarded(const LaunchSpec& spec, const LaunchPlan& plan);
  absl::StatusOr<bool> Runs(const LaunchPlan& plan) const;
  // A pidfd for a process of an earlier life that is still the same one; `gone` else.
  absl::StatusOr<UniqueFd> OpenRunning(const ProcessIdentity& process, const std::string& cgroup,
                                       const absl::Status& gone) const;

  // What is held of a process that was launched or adopted and not cleared up yet.
  struct Known {
    UniqueFd pidfd;
    UniqueFd log;  // of a companion
  };
  absl::Status Remember(const std::string& cgroup, const UniqueFd& pidfd, UniqueFd log);
  Known Forget(const std::string& cgroup);
  // Kills and reaps all that is in the cgroup and removes it. The wait status of the known process.
  absl::StatusOr<std::optional<int>> ClearCgroup(const std::string& name, Known& known);

  // jailed_companions.cc
  struct PendingCompanion;
  absl::StatusOr<PendingCompanion> BeginCompanion(const LaunchPlan& plan,
                                                  const CompanionSpec& spec) const;
  absl::StatusOr<StartedCompanion> FinishCompanion(const LaunchPlan& plan,
                                                   PendingCompanion pending);
  // `meanwhile` runs while their jailers do, and may take the VMM's end of each one's socket.
  using Meanwhile = absl::FunctionRef<absl::Status(std::vector<UniqueFd*> vmm_sockets)>;
  absl::StatusOr<std::vector<StartedCompanion>> StartCompanions(
      const LaunchPlan& plan, const std::vector<CompanionSpec>& specs, Meanwhile meanwhile);
  absl::StatusOr<std::set<std::string>> CompanionsOf(const LaunchPlan& plan) const;

  const LaunchOptions options_;
  const CgroupLayout layout_;
  mutable absl::Mutex mutex_;
  // By cgroup name. A zombie is in no cgroup any more, so that only this finds it.
  absl::flat_hash_map<std::string, Known> known_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_JAILED_LAUNCHER_H_
