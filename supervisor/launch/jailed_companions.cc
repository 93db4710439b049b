// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// JailedLauncher: the companions of a VMM.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unix_socket.h"
#include "supervisor/launch/cgroup.h"
#include "supervisor/launch/companion_log.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/jailed_launcher.h"
#include "supervisor/launch/jailer_command.h"
#include "supervisor/launch/jailer_run.h"
#include "supervisor/launch/process.h"
#include "supervisor/launch/sealed_frame.h"

namespace msb {
namespace {

// Between a sandbox's id and a companion's name. No id has it.
constexpr char kNameSeparator = '+';

struct CompanionFds {
  UniqueFd control_listener;
  UniqueFd companion_socket;
  UniqueFd vmm_socket;
  UniqueFd input;
  UniqueFd log;
};

absl::StatusOr<UniqueFd> OpenPipe(const std::string& path, int mode) {
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall(path, [&] {
                         return ::open(path.c_str(), mode | O_NONBLOCK | O_CLOEXEC);
                       }));
  return UniqueFd(fd);
}

absl::Status ConnectLifetime(const std::string& path, CompanionFds& fds) {
  const bool first = ::mkfifo(path.c_str(), 0600) == 0;
  if (!first && errno != EEXIST) return absl::ErrnoToStatus(errno, path);
  MSB_ASSIGN_OR_RETURN(fds.companion_socket, OpenPipe(path, O_RDONLY));
  if (first) {
    MSB_ASSIGN_OR_RETURN(fds.vmm_socket, OpenPipe(path, O_WRONLY));
    return absl::OkStatus();
  }
  // Who comes when nobody writes any more never hears of an end.
  char none;
  if (::read(fds.companion_socket.get(), &none, 1) < 0 && errno == EAGAIN) return absl::OkStatus();
  return MakeError(Reason::kVmmDied, "the VMM has ended");
}

absl::Status Connect(VmmLink link, const CompanionPaths& paths, CompanionFds& fds) {
  if (link == VmmLink::kSocketpair) {
    int ends[2];
    MSB_RETURN_IF_ERROR(Syscall(
        "socketpair", [&] { return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends); }));
    fds.companion_socket = UniqueFd(ends[0]);
    fds.vmm_socket = UniqueFd(ends[1]);
    return absl::OkStatus();
  }
  return ConnectLifetime(paths.vmm_pipe, fds);
}

absl::StatusOr<CompanionFds> MakeFds(const CompanionSpec& spec, const CompanionPaths& paths,
                                     uint64_t log_bytes) {
  CompanionFds fds;
  MSB_RETURN_IF_ERROR(Connect(spec.vmm_link, paths, fds));
  MSB_ASSIGN_OR_RETURN(fds.control_listener, ListenUnix(paths.control_socket));
  MSB_ASSIGN_OR_RETURN(fds.log, MakeCompanionLog(log_bytes));
  if (!spec.input.empty()) {
    MSB_ASSIGN_OR_RETURN(fds.input, MakeSealedFrame(spec.input));
  }
  return fds;
}

JailRequest RequestOf(const CompanionSpec& spec, const CompanionFds& fds) {
  JailRequest request{.executable = spec.executable, .fds = spec.fds, .log_fd = fds.log.get()};
  request.fds[kCompanionControlFd] = fds.control_listener.get();
  request.fds[kCompanionVmmFd] = fds.companion_socket.get();
  if (fds.input.valid()) request.fds[kCompanionInputFd] = fds.input.get();
  return request;
}

// The jailer's own, or that it could not open a source, by the reason and the name of the source.
absl::Status StatusOf(const JailerOutcome& outcome, const std::vector<CompanionSource>& sources) {
  if (!outcome.failed_source) return outcome.status;
  const auto failed = std::find_if(
      sources.begin(), sources.end(),
      [&](const CompanionSource& source) { return source.fd == outcome.failed_source->fd; });
  if (failed == sources.end()) return outcome.status;
  return MakeError(failed->reason, absl::StrCat(failed->label, ": ", outcome.failed_source->cause));
}

}  // namespace

struct JailedLauncher::PendingCompanion {
  std::string name;
  std::vector<CompanionSource> sources;
  CompanionFds fds;
  JailerRun jailer;
};

CompanionPaths PathsOf(const LaunchPlan& plan, absl::string_view companion) {
  const std::string base = absl::StrCat(plan.runtime_directory, "/", companion);
  return {.control_socket = base + ".sock",
          .vmm_pipe = base + ".vmm.pipe",
          .log = base + ".log",
          .cgroup = absl::StrCat(plan.cgroup, std::string(1, kNameSeparator), companion)};
}

absl::StatusOr<JailedLauncher::PendingCompanion> JailedLauncher::BeginCompanion(
    const LaunchPlan& plan, const CompanionSpec& spec) const {
  auto fds = MakeFds(spec, PathsOf(plan, spec.name), options_.companion_log_bytes);
  if (ReasonOf(fds.status()) != Reason::kUnspecified) return fds.status();
  if (!fds.ok()) return WithReason(Reason::kHostError, spec.name, fds.status());
  JailRequest request = RequestOf(spec, *fds);
  request.command_line = JailerCommandLine(spec, plan, layout_);
  MSB_ASSIGN_OR_RETURN(JailerRun jailer, JailerRun::Start(request, options_));
  return PendingCompanion{spec.name, spec.sources, *std::move(fds), std::move(jailer)};
}

absl::StatusOr<Launcher::StartedCompanion> JailedLauncher::FinishCompanion(
    const LaunchPlan& plan, PendingCompanion pending) {
  const JailerOutcome outcome = std::move(pending.jailer).Finish();
  const absl::Status status = StatusOf(outcome, pending.sources);
  if (!outcome.pid) return status;
  StartedCompanion started;
  started.companion.name = pending.name;
  started.vmm_socket = std::move(pending.fds.vmm_socket);
  // A child of ours that nobody reaps before EndCompanion: the pid is its own.
  MSB_ASSIGN_OR_RETURN(started.companion.pidfd, OpenPidfd(*outcome.pid));
  MSB_RETURN_IF_ERROR(Remember(PathsOf(plan, pending.name).cgroup, started.companion.pidfd,
                               std::move(pending.fds.log)));
  MSB_RETURN_IF_ERROR(status);
  started.companion.process.pid = *outcome.pid;
  MSB_ASSIGN_OR_RETURN(started.companion.process.start_time_ticks, ReadStartTime(*outcome.pid));
  return started;
}

// All jailers at once, the VMM's (`meanwhile`) too: each takes some milliseconds.
absl::StatusOr<std::vector<Launcher::StartedCompanion>> JailedLauncher::StartCompanions(
    const LaunchPlan& plan, const std::vector<CompanionSpec>& specs, Meanwhile meanwhile) {
  std::vector<absl::StatusOr<PendingCompanion>> pending;
  for (const CompanionSpec& spec : specs) pending.push_back(BeginCompanion(plan, spec));
  std::vector<UniqueFd*> sockets;
  absl::Status first_error;
  for (absl::StatusOr<PendingCompanion>& one : pending) {
    first_error.Update(one.status());
    if (one.ok()) sockets.push_back(&one->fds.vmm_socket);
  }
  if (first_error.ok()) first_error = meanwhile(std::move(sockets));
  std::vector<StartedCompanion> companions;
  for (absl::StatusOr<PendingCompanion>& one : pending) {
    auto started = one.ok() ? FinishCompanion(plan, *std::move(one)) : one.status();
    first_error.Update(started.status());
    if (started.ok()) companions.push_back(*std::move(started));
  }
  if (!first_error.ok()) return first_error;
  return companions;
}

absl::Status JailedLauncher::CheckSources(const LaunchPlan& plan, const CompanionSpec& spec) {
  MSB_RETURN_IF_ERROR(CheckCompanions({spec}));
  MSB_ASSIGN_OR_RETURN(const UniqueFd log, MakeCompanionLog(options_.companion_log_bytes));
  const JailRequest request{
      .command_line = SourceCheckCommandLine(spec, plan, options_.runtime_root, layout_),
      .executable = spec.executable,
      .fds = {},
      .log_fd = log.get()};
  MSB_ASSIGN_OR_RETURN(JailerRun jailer, JailerRun::Start(request, options_));
  const JailerOutcome outcome = std::move(jailer).Finish();
  Known known;
  if (outcome.pid) {
    MSB_ASSIGN_OR_RETURN(known.pidfd, OpenPidfd(*outcome.pid));
  }
  absl::Status status = StatusOf(outcome, spec.sources);
  status.Update(ClearCgroup(PathsOf(plan, kSourceCheckName).cgroup, known).status());
  return status;
}

absl::StatusOr<Launcher::StartedCompanion> JailedLauncher::StartCompanion(
    const LaunchPlan& plan, const CompanionSpec& spec) {
  MSB_RETURN_IF_ERROR(CheckCompanions({spec}));
  // What an earlier one of the name left.
  MSB_RETURN_IF_ERROR(EndCompanion(plan, spec.name).status());
  auto started = StartCompanions(plan, {spec}, [](auto) { return absl::OkStatus(); });
  if (started.ok()) return std::move(started->front());
  const auto ended = EndCompanion(plan, spec.name);
  if (!ended.ok()) {
    MSB_LOG(kError) << "after a failed start of " << plan.cgroup << " " << spec.name << ": "
                    << ended.status();
  }
  return started.status();
}

absl::StatusOr<LaunchedCompanion> JailedLauncher::AdoptCompanion(absl::string_view name,
                                                                 const ProcessIdentity& process,
                                                                 const LaunchPlan& plan) {
  const std::string cgroup = PathsOf(plan, name).cgroup;
  LaunchedCompanion companion{.name = std::string(name), .process = process};
  const absl::Status gone =
      MakeError(Reason::kCompanionDied, absl::StrCat(name, " ended while no daemon ran"));
  MSB_ASSIGN_OR_RETURN(companion.pidfd, OpenRunning(process, cgroup, gone));
  auto log = OpenCompanionLog(process.pid);
  MSB_RETURN_IF_ERROR(Remember(cgroup, companion.pidfd, log.ok() ? *std::move(log) : UniqueFd()));
  return companion;
}

absl::StatusOr<CompanionEnd> JailedLauncher::EndCompanion(const LaunchPlan& plan,
                                                          absl::string_view name) {
  const CompanionPaths paths = PathsOf(plan, name);
  Known known = Forget(paths.cgroup);
  CompanionEnd end;
  if (const auto usage = Cgroup(layout_, paths.cgroup).ReadUsage(); usage.ok()) {
    end.oom_killed = usage->oom_killed;
  }
  const auto wait_status = ClearCgroup(paths.cgroup, known);
  if (!wait_status.ok()) {
    if (known.pidfd.valid()) {
      Remember(paths.cgroup, known.pidfd, std::move(known.log)).IgnoreError();
    }
    return wait_status.status();
  }
  ::unlink(paths.control_socket.c_str());  // the directory's clean-up tells of what cannot go
  end.orderly = *wait_status && WIFEXITED(**wait_status) && WEXITSTATUS(**wait_status) == 0;
  end.detail = absl::StrCat(name, " ", DescribeEnd(*wait_status));
  if (end.oom_killed) absl::StrAppend(&end.detail, " at its memory limit");
  if (!known.log.valid()) return end;
  const auto log = ReadCompanionLog(known.log, options_.companion_log_bytes);
  if (!log.ok()) return end;
  if (!log->empty()) absl::StrAppend(&end.detail, ": ", LastLine(*log));
  const absl::Status kept = KeepCompanionLog(*log, paths.log, options_.companion_log_bytes);
  if (!kept.ok()) {
    MSB_LOG(kWarning) << "the log of " << paths.cgroup << ": " << kept.message();
  }
  return end;
}

// Their names: of those that are known and of all that have a cgroup.
absl::StatusOr<std::set<std::string>> JailedLauncher::CompanionsOf(const LaunchPlan& plan) const {
  const std::string prefix = PathsOf(plan, "").cgroup;
  std::set<std::string> names;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [cgroup, known] : known_) {
      if (absl::StartsWith(cgroup, prefix)) names.insert(cgroup.substr(prefix.size()));
    }
  }
  const size_t slash = prefix.rfind('/');
  const std::string wanted = prefix.substr(slash + 1);
  for (const CgroupHierarchy& hierarchy : layout_.hierarchies) {
    const std::string parent = absl::StrCat(hierarchy.mount, "/", prefix.substr(0, slash));
    const auto found = ListHostDirectory(parent);
    if (!found.ok()) return WithReason(Reason::kHostError, "cgroups", found.status());
    for (const std::string& name : *found) {
      if (absl::StartsWith(name, wanted)) names.insert(name.substr(wanted.size()));
    }
  }
  return names;
}

}  // namespace msb
