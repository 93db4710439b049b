// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/jailer_command.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/process.h"
#include "supervisor/launch/read_to_end.h"
#include "supervisor/launch/spawn.h"

namespace msb {
namespace {

constexpr uint64_t kMib = 1u << 20;
constexpr uint32_t kMilliPerCpu = 1000;
// Beside what a guest's memory file has of its own (page tables of a huge page, rounding).
constexpr uint64_t kMemoryFileSlackBytes = 2 * kMib;
constexpr size_t kMaxReportBytes = 8192;

uint64_t MemoryLimit(const LaunchSpec& spec, const LaunchOptions& options) {
  const uint32_t overhead = spec.engine == msb::vmm::v1::ENGINE_QEMU ? options.qemu_overhead_mib
                                                                     : options.kvm_overhead_mib;
  return (uint64_t{spec.memory_mib} + overhead) * kMib;
}

// RLIMIT_FSIZE holds for every file of the process: logs, disks, and the memory file of the guest.
uint64_t FileSizeLimit(const LaunchSpec& spec, const LaunchOptions& options,
                       const VmmInputs& inputs) {
  return std::max({options.max_log_bytes, spec.console_limit_bytes, inputs.largest_disk_bytes,
                   spec.memory_mib * kMib + kMemoryFileSlackBytes});
}

void AppendCgroup(const LaunchSpec& spec, const LaunchPlan& plan, const LaunchOptions& options,
                  const CgroupLayout& layout, std::vector<std::string>& words) {
  if (layout.hierarchies.empty()) return;
  words.push_back(absl::StrCat("--cgroup=", plan.cgroup));
  for (const CgroupHierarchy& hierarchy : layout.hierarchies) {
    const char* flag = hierarchy.version == CgroupVersion::kV1 ? "--cgroup-v1=" : "--cgroup-v2=";
    words.push_back(
        absl::StrCat(flag, absl::StrJoin(hierarchy.controllers, ","), ":", hierarchy.mount));
  }
  const uint32_t milli = spec.cpu_milli != 0 ? spec.cpu_milli : spec.vcpus * kMilliPerCpu;
  words.push_back(absl::StrCat("--memory-max=", MemoryLimit(spec, options)));
  words.push_back(absl::StrCat("--cpu-milli=", milli));
  words.push_back(absl::StrCat("--pids-max=", options.pids_max));
}

absl::Status JailFailed(absl::string_view what) { return MakeError(Reason::kJailFailed, what); }

// What an ended jailer has to say for itself.
absl::Status StatusOfJailer(const JailerReport& report, std::optional<int> wait_status) {
  if (!report.error.empty()) return JailFailed(report.error);
  if (wait_status && WIFEXITED(*wait_status) && WEXITSTATUS(*wait_status) == 0 && report.pid) {
    return absl::OkStatus();
  }
  if (wait_status && WIFSIGNALED(*wait_status)) {
    return JailFailed(absl::StrCat("msb-jailer was killed by signal ", WTERMSIG(*wait_status)));
  }
  return JailFailed(absl::StrCat("msb-jailer ended with code ",
                                 wait_status ? WEXITSTATUS(*wait_status) : -1,
                                 " (jailer/README.md)"));
}

}  // namespace

std::vector<std::string> JailerCommandLine(const LaunchSpec& spec, const LaunchPlan& plan,
                                           const LaunchOptions& options, const CgroupLayout& layout,
                                           const VmmInputs& inputs) {
  std::vector<std::string> words = {
      "msb-jailer",
      absl::StrCat("--id=", spec.id),
      absl::StrCat("--status-fd=", kJailerStatusFd),
      absl::StrCat("--exec-fd=", kJailerExecFd),
      absl::StrCat("--root=", plan.runtime_directory),
      absl::StrCat("--uid=", plan.uid),
      absl::StrCat("--gid=", plan.uid),
      absl::StrCat("--nofile=", options.max_open_files),
      absl::StrCat("--fsize=", FileSizeLimit(spec, options, inputs)),
  };
  for (const auto& [number, fd] : inputs.fds) words.push_back(absl::StrCat("--keep-fd=", number));
  AppendCgroup(spec, plan, options, layout, words);
  if (spec.engine == msb::vmm::v1::ENGINE_QEMU) {
    words.push_back(absl::StrCat("--bind-ro=", options.qemu_directory, ":", kQemuDirectoryInJail));
    // QEMU opens its kernel as /proc/self/fd/N; its stdin is /dev/null.
    words.push_back("--proc");
    words.push_back("--dev=null");
  }
  words.insert(words.end(), {"--", "msb-vmm", "--spec-fd", absl::StrCat(kSpecFd)});
  return words;
}

JailerReport ParseJailerReport(absl::string_view text) {
  JailerReport report;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    int pid = 0;
    if (pair.first == "pid" && absl::SimpleAtoi(pair.second, &pid) && pid > 0) report.pid = pid;
    if (pair.first == "error") report.error = std::string(pair.second);
  }
  return report;
}

JailerOutcome RunJailer(const std::vector<std::string>& command_line, const LaunchOptions& options,
                        const VmmInputs& inputs, const UniqueFd& vmm_log) {
  const absl::Time deadline = absl::Now() + options.launch_timeout;
  const auto vmm = OpenHostFile(options.vmm_path, O_PATH);
  if (!vmm.ok()) {
    return {std::nullopt, WithReason(Reason::kAssetMissing, "the VMM", vmm.status())};
  }
  int ends[2];
  const auto piped = Syscall("pipe", [&] { return ::pipe2(ends, O_CLOEXEC); });
  if (!piped.ok()) return {std::nullopt, WithReason(Reason::kHostError, "launch", piped.status())};
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);

  SpawnRequest request{.path = options.jailer_path, .argv = command_line};
  for (const auto& [number, fd] : inputs.fds) request.fds[number] = fd.get();
  request.fds[STDOUT_FILENO] = vmm_log.get();
  request.fds[STDERR_FILENO] = vmm_log.get();
  request.fds[kJailerStatusFd] = write_end.get();
  request.fds[kJailerExecFd] = vmm->get();
  const auto jailer = Spawn(request);
  if (!jailer.ok()) {
    return {std::nullopt, WithReason(Reason::kJailFailed, "the jailer", jailer.status())};
  }
  write_end.Reset();

  // The stream ends when the jailer has ended and the VMM has been executed, or has died.
  const auto text = ReadToEnd(read_end, {.max_bytes = kMaxReportBytes, .deadline = deadline});
  if (!text.ok()) Kill(jailer->pidfd).IgnoreError();  // its child is killed through its cgroup
  WaitForEnd(jailer->pidfd, absl::InfiniteFuture()).IgnoreError();
  const std::optional<int> wait_status = Reap(jailer->pidfd);
  if (!text.ok())
    return {std::nullopt, WithReason(Reason::kJailFailed, "the jailer", text.status())};
  const JailerReport report = ParseJailerReport(*text);
  return {report.pid, StatusOfJailer(report, wait_status)};
}

}  // namespace msb
