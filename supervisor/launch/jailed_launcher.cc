// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/jailed_launcher.h"

#include <unistd.h>

#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/launch/cgroup.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/jailer_command.h"
#include "supervisor/launch/jailer_run.h"
#include "supervisor/launch/process.h"
#include "supervisor/launch/runtime_files.h"
#include "supervisor/launch/vmm_inputs.h"

namespace msb {
namespace {

constexpr uint32_t kFirstGuestCid = 3;  // VIRTIO 1.2, 5.10.4: 0, 1 and 2 are reserved
constexpr uint32_t kLowestBaseUid = 1000;
constexpr uint32_t kHighestBaseUid = static_cast<uint32_t>(INT32_MAX) - kUserIds;
static_assert(CompanionUser(kMaxSlots - 1, kOwnUsers - 1) + 1 == kSnapshotUser);
static_assert(kSnapshotUser + 1 == kUserIds);
constexpr size_t kMaxRuntimeRootBytes = 50;

absl::Status CheckOptions(const LaunchOptions& options) {
  const auto invalid = [](absl::string_view what) {
    return MakeError(Reason::kConfigInvalid, what);
  };
  for (const std::string* path : {&options.jailer_path, &options.vmm_path, &options.runtime_root}) {
    if (path->empty() || path->front() != '/') {
      return invalid(absl::StrCat("\"", *path, "\" is no absolute path"));
    }
  }
  if (options.runtime_root.size() > kMaxRuntimeRootBytes) {
    return invalid(absl::StrCat("the runtime directory ", options.runtime_root, " has more than ",
                                kMaxRuntimeRootBytes,
                                " bytes: the paths of sockets would not fit"));
  }
  if (options.base_uid < kLowestBaseUid || options.base_uid > kHighestBaseUid) {
    return invalid(absl::StrCat("the first user id of the sandboxes is ", kLowestBaseUid, " to ",
                                kHighestBaseUid));
  }
  return absl::OkStatus();
}

absl::Status CheckCgroups(const CgroupLayout& layout, CgroupPolicy policy) {
  const std::string missing = layout.MissingControllers();
  if (missing.empty()) return absl::OkStatus();
  const std::string text = absl::StrCat("this host has no cgroup controller ", missing);
  if (policy == CgroupPolicy::kRequired) {
    return MakeError(Reason::kHostError, absl::StrCat(text, ": mount the cgroup file systems"));
  }
  MSB_LOG(kWarning) << text << ": sandboxes run without these limits";
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<JailedLauncher>> JailedLauncher::Create(LaunchOptions options) {
  MSB_RETURN_IF_ERROR(CheckOptions(options));
  MSB_ASSIGN_OR_RETURN(CgroupLayout layout, DetectCgroupLayout());
  MSB_RETURN_IF_ERROR(CheckCgroups(layout, options.cgroup_policy));
  const absl::Status made = MakePrivateDirectory(options.runtime_root);
  if (!made.ok()) return WithReason(Reason::kHostError, "the runtime directory", made);
  return std::unique_ptr<JailedLauncher>(new JailedLauncher(std::move(options), std::move(layout)));
}

LaunchPlan JailedLauncher::Plan(absl::string_view id, uint32_t slot) const {
  LaunchPlan plan;
  plan.id = std::string(id);
  plan.runtime_directory = absl::StrCat(options_.runtime_root, "/", id);
  plan.control_socket = plan.runtime_directory + "/control.sock";
  plan.vsock_socket = plan.runtime_directory + "/vsock.sock";
  plan.link_socket = plan.runtime_directory + "/link.sock";
  plan.console_log = plan.runtime_directory + "/console.log";
  plan.vmm_log = plan.runtime_directory + "/vmm.log";
  plan.exit_event = plan.runtime_directory + "/exit_event";
  plan.cgroup = absl::StrCat(options_.cgroup_parent, "/", id);
  plan.uid = options_.base_uid + VmmUser(slot);
  for (uint32_t i = 0; i < kOwnUsers; ++i) {
    plan.companion_uids[i] = options_.base_uid + CompanionUser(slot, i);
  }
  plan.guest_cid = kFirstGuestCid + slot;
  return plan;
}

absl::StatusOr<LaunchedVmm> JailedLauncher::Launch(const LaunchSpec& spec) {
  MSB_RETURN_IF_ERROR(CheckLaunchSpec(spec));
  const LaunchPlan plan = Plan(spec.id, spec.slot);
  MSB_ASSIGN_OR_RETURN(const bool running, Runs(plan));
  if (running) {
    return MakeError(Reason::kSandboxWrongState,
                     absl::StrCat("the VMM of ", spec.id, " still runs"));
  }
  MSB_RETURN_IF_ERROR(CleanUp(plan));
  auto undo = absl::MakeCleanup([&] {
    absl::Status undone = CleanUp(plan).status();
    undone.Update(RemoveLogs(plan));
    if (!undone.ok()) {
      MSB_LOG(kError) << "after a failed launch of " << spec.id << ": " << undone;
    }
  });
  MSB_ASSIGN_OR_RETURN(LaunchedVmm vmm, LaunchUnguarded(spec, plan));
  std::move(undo).Cancel();
  return vmm;
}

absl::StatusOr<LaunchedVmm> JailedLauncher::LaunchUnguarded(const LaunchSpec& spec,
                                                            const LaunchPlan& plan) {
  if (spec.engine == msb::vmm::v1::ENGINE_QEMU && options_.qemu_directory.empty()) {
    return MakeError(Reason::kQemuUnavailable, "the engine qemu is not installed");
  }
  MSB_ASSIGN_OR_RETURN(RuntimeFiles files, MakeRuntimeFiles(plan));
  const UniqueFd vmm_log = std::move(files.vmm_log);
  MSB_ASSIGN_OR_RETURN(VmmInputs inputs, OpenVmmInputs(spec, plan, options_, std::move(files)));
  std::optional<JailerRun> jailer;
  auto companions =
      StartCompanions(plan, spec.companions, [&](std::vector<UniqueFd*> sockets) -> absl::Status {
        for (size_t i = 0; i < sockets.size(); ++i) {
          inputs.fds[VmmFdOfCompanion(i)] = std::move(*sockets[i]);
        }
        JailRequest request{
            .command_line = JailerCommandLine(spec, plan, options_, layout_, inputs),
            .executable = options_.vmm_path,
            .log_fd = vmm_log.get()};
        for (const auto& [number, fd] : inputs.fds) request.fds[number] = fd.get();
        MSB_ASSIGN_OR_RETURN(jailer, JailerRun::Start(request, options_));
        return absl::OkStatus();
      });
  if (!jailer) return companions.status();
  const JailerOutcome outcome = std::move(*jailer).Finish();
  if (!outcome.pid) return outcome.status;

  // A child of ours that nobody reaps before CleanUp: the pid is its own.
  LaunchedVmm vmm;
  MSB_ASSIGN_OR_RETURN(vmm.pidfd, OpenPidfd(*outcome.pid));
  MSB_RETURN_IF_ERROR(Remember(plan.cgroup, vmm.pidfd, UniqueFd()));
  MSB_RETURN_IF_ERROR(companions.status());  // the VMM is known by now, and undone with the rest
  MSB_RETURN_IF_ERROR(outcome.status);
  for (StartedCompanion& started : *companions) {
    vmm.companions.push_back(std::move(started.companion));
  }
  vmm.process.pid = *outcome.pid;
  MSB_ASSIGN_OR_RETURN(vmm.process.start_time_ticks, ReadStartTime(*outcome.pid));
  return vmm;
}

absl::StatusOr<UniqueFd> JailedLauncher::OpenRunning(const ProcessIdentity& process,
                                                     const std::string& cgroup,
                                                     const absl::Status& gone) const {
  auto pidfd = OpenPidfd(process.pid);
  if (!pidfd.ok()) return gone;
  // Asked behind the pidfd: if the process of that start time lives now, the pidfd is its.
  const auto start_time = ReadStartTime(process.pid);
  if (!start_time.ok() || *start_time != process.start_time_ticks || HasEnded(*pidfd)) return gone;
  const auto cgroups = ReadHostFile(absl::StrCat("/proc/", process.pid, "/cgroup"));
  if (!layout_.hierarchies.empty() && (!cgroups.ok() || !IsMemberOf(*cgroups, cgroup))) return gone;
  return pidfd;
}

absl::StatusOr<LaunchedVmm> JailedLauncher::Adopt(const ProcessIdentity& process,
                                                  const LaunchPlan& plan) {
  LaunchedVmm vmm{.process = process};
  const absl::Status gone =
      MakeError(Reason::kVmmDied, absl::StrCat("process ", process.pid, " is gone"));
  MSB_ASSIGN_OR_RETURN(vmm.pidfd, OpenRunning(process, plan.cgroup, gone));
  MSB_RETURN_IF_ERROR(Remember(plan.cgroup, vmm.pidfd, UniqueFd()));
  return vmm;
}

absl::StatusOr<std::optional<int>> JailedLauncher::ClearCgroup(const std::string& name,
                                                               Known& known) {
  const absl::Time deadline = absl::Now() + options_.kill_timeout;
  const Cgroup cgroup(layout_, name);
  if (known.pidfd.valid()) {
    MSB_RETURN_IF_ERROR(Kill(known.pidfd));
    if (!WaitForEnd(known.pidfd, deadline).ok()) {
      return MakeError(Reason::kHostError,
                       absl::StrCat("the process of cgroup ", name, " is killed and does not end"));
    }
  }
  MSB_RETURN_IF_ERROR(cgroup.Kill(deadline));
  std::optional<int> wait_status;
  if (known.pidfd.valid()) wait_status = Reap(known.pidfd);
  MSB_RETURN_IF_ERROR(cgroup.Remove());
  return wait_status;
}

absl::StatusOr<std::optional<int>> JailedLauncher::CleanUp(const LaunchPlan& plan) {
  Known vmm = Forget(plan.cgroup);
  auto remember_again = absl::MakeCleanup([&] {
    if (vmm.pidfd.valid()) Remember(plan.cgroup, vmm.pidfd, UniqueFd()).IgnoreError();
  });
  MSB_ASSIGN_OR_RETURN(const std::optional<int> wait_status, ClearCgroup(plan.cgroup, vmm));
  std::move(remember_again).Cancel();
  MSB_ASSIGN_OR_RETURN(const std::set<std::string> companions, CompanionsOf(plan));
  for (const std::string& name : companions) {
    MSB_RETURN_IF_ERROR(EndCompanion(plan, name).status());
  }
  MSB_RETURN_IF_ERROR(RemoveRuntimeFiles(plan));
  return wait_status;
}

absl::Status JailedLauncher::RemoveLogs(const LaunchPlan& plan) { return RemoveLogFiles(plan); }

absl::StatusOr<Launcher::Usage> JailedLauncher::ReadUsage(const LaunchPlan& plan) const {
  MSB_ASSIGN_OR_RETURN(Usage usage, Cgroup(layout_, plan.cgroup).ReadUsage());
  MSB_ASSIGN_OR_RETURN(const std::set<std::string> companions, CompanionsOf(plan));
  for (const std::string& name : companions) {
    const auto more = Cgroup(layout_, PathsOf(plan, name).cgroup).ReadUsage();
    if (!more.ok()) continue;  // it has just ended
    usage.cpu_ns += more->cpu_ns;
    usage.memory_bytes += more->memory_bytes;
  }
  return usage;
}

absl::StatusOr<bool> JailedLauncher::Runs(const LaunchPlan& plan) const {
  MSB_ASSIGN_OR_RETURN(const std::set<int> processes, Cgroup(layout_, plan.cgroup).Processes());
  if (!processes.empty()) return true;
  absl::MutexLock lock(&mutex_);
  const auto vmm = known_.find(plan.cgroup);
  return vmm != known_.end() && !HasEnded(vmm->second.pidfd);
}

absl::Status JailedLauncher::Remember(const std::string& cgroup, const UniqueFd& pidfd,
                                      UniqueFd log) {
  MSB_ASSIGN_OR_RETURN(UniqueFd copy, Duplicate(pidfd));
  absl::MutexLock lock(&mutex_);
  known_[cgroup] = Known{.pidfd = std::move(copy), .log = std::move(log)};
  return absl::OkStatus();
}

JailedLauncher::Known JailedLauncher::Forget(const std::string& cgroup) {
  absl::MutexLock lock(&mutex_);
  auto node = known_.extract(cgroup);
  return node.empty() ? Known() : std::move(node.mapped());
}

}  // namespace msb
