// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/poll_timeout.h"
#include "supervisor/launch/process.h"

namespace msb {
namespace {

constexpr uint64_t kNanosecondsPerMicrosecond = 1000;

// ENOENT, or ENODEV from an open file of a cgroup that has been removed.
bool IsGone(const absl::Status& status) { return absl::IsNotFound(status); }

// A value of a file with lines of "key value".
absl::StatusOr<uint64_t> ReadKey(const std::string& path, absl::string_view key) {
  MSB_ASSIGN_OR_RETURN(const std::string text, ReadHostFile(path));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    uint64_t value = 0;
    if (line.size() > key.size() && line.substr(0, key.size()) == key && line[key.size()] == ' ' &&
        absl::SimpleAtoi(line.substr(key.size() + 1), &value)) {
      return value;
    }
  }
  return MakeError(Reason::kHostError, absl::StrCat(path, " has no ", key));
}

// A file with one number; "max" is the largest.
absl::StatusOr<uint64_t> ReadNumber(const std::string& path) {
  MSB_ASSIGN_OR_RETURN(const std::string text, ReadHostFile(path));
  const absl::string_view word = absl::StripAsciiWhitespace(text);
  uint64_t value = 0;
  if (word == "max") return UINT64_MAX;
  if (absl::SimpleAtoi(word, &value)) return value;
  return MakeError(Reason::kHostError, absl::StrCat(path, " is no number"));
}

absl::Status ReadMemory(const CgroupHierarchy& hierarchy, const std::string& folder,
                        Launcher::Usage& usage) {
  const bool v1 = hierarchy.version == CgroupVersion::kV1;
  MSB_ASSIGN_OR_RETURN(uint64_t bytes,
                       ReadNumber(folder + (v1 ? "/memory.usage_in_bytes" : "/memory.current")));
  // Pages of disk images that the kernel drops when it needs room are nobody's need.
  MSB_ASSIGN_OR_RETURN(const uint64_t cache, ReadKey(folder + "/memory.stat",
                                                     v1 ? "total_inactive_file" : "inactive_file"));
  usage.memory_bytes = bytes - std::min(bytes, cache);
  MSB_ASSIGN_OR_RETURN(usage.memory_limit_bytes,
                       ReadNumber(folder + (v1 ? "/memory.limit_in_bytes" : "/memory.max")));
  MSB_ASSIGN_OR_RETURN(
      const uint64_t kills,
      ReadKey(folder + (v1 ? "/memory.oom_control" : "/memory.events"), "oom_kill"));
  usage.oom_killed = kills > 0;
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> ReadCpu(const CgroupHierarchy& hierarchy, const std::string& folder) {
  if (hierarchy.version == CgroupVersion::kV1) return ReadNumber(folder + "/cpuacct.usage");
  MSB_ASSIGN_OR_RETURN(const uint64_t us, ReadKey(folder + "/cpu.stat", "usage_usec"));
  return us * kNanosecondsPerMicrosecond;
}

}  // namespace

std::string Cgroup::Folder(const CgroupHierarchy& hierarchy) const {
  return absl::StrCat(hierarchy.mount, "/", name_);
}

absl::StatusOr<std::set<int>> Cgroup::Processes() const {
  std::set<int> processes;
  for (const CgroupHierarchy& hierarchy : layout_.hierarchies) {
    const auto text = ReadHostFile(Folder(hierarchy) + "/cgroup.procs");
    if (!text.ok() && IsGone(text.status())) continue;
    MSB_RETURN_IF_ERROR(text.status());
    for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
      int pid = 0;
      // 0 stands for a process that this pid namespace does not see.
      if (absl::SimpleAtoi(line, &pid) && pid > 0) processes.insert(pid);
    }
  }
  return processes;
}

absl::Status Cgroup::ForbidForks() const {
  const CgroupHierarchy* pids = layout_.WithController("pids");
  if (pids == nullptr) return absl::OkStatus();
  const absl::Status status = WriteHostFile(Folder(*pids) + "/pids.max", "0");
  return IsGone(status) ? absl::OkStatus() : status;
}

absl::Status Cgroup::KillAtOnce() const {
  const CgroupHierarchy* v2 = layout_.V2();
  if (v2 == nullptr) return absl::OkStatus();
  // Since Linux 5.14; the loop of Kill does without.
  const absl::Status status = WriteHostFile(Folder(*v2) + "/cgroup.kill", "1");
  return IsGone(status) ? absl::OkStatus() : status;
}

absl::StatusOr<std::map<int, UniqueFd>> Cgroup::OpenProcesses() const {
  std::map<int, UniqueFd> opened;
  MSB_ASSIGN_OR_RETURN(const std::set<int> pids, Processes());
  for (int pid : pids) {
    auto pidfd = OpenPidfd(pid);
    if (absl::IsNotFound(pidfd.status())) continue;  // ended meanwhile
    MSB_RETURN_IF_ERROR(pidfd.status());
    opened.emplace(pid, *std::move(pidfd));
  }
  // A pid that is still in the cgroup means the process that the pidfd was opened for, or one that
  // came after it; in neither case does a signal to the pidfd reach a stranger.
  MSB_ASSIGN_OR_RETURN(const std::set<int> still, Processes());
  for (int pid : pids) {
    if (still.count(pid) == 0) opened.erase(pid);
  }
  return opened;
}

absl::Status Cgroup::Kill(absl::Time deadline) const {
  MSB_RETURN_IF_ERROR(ForbidForks());
  // Twice as a rule: the second time there is nobody.
  while (true) {
    MSB_ASSIGN_OR_RETURN(const auto processes, OpenProcesses());
    // Behind the opening: a child of ours that dies before is a zombie that nothing leads to.
    MSB_RETURN_IF_ERROR(KillAtOnce());
    for (const auto& [pid, pidfd] : processes) MSB_RETURN_IF_ERROR(msb::Kill(pidfd));
    for (const auto& [pid, pidfd] : processes) {
      if (!WaitForEnd(pidfd, deadline).ok()) {
        return MakeError(Reason::kHostError, absl::StrCat("process ", pid, " of cgroup ", name_,
                                                          " is killed and does not end"));
      }
      Reap(pidfd);
    }
    MSB_ASSIGN_OR_RETURN(const std::set<int> left, Processes());
    if (left.empty()) break;
    if (absl::Now() > deadline) {
      return MakeError(Reason::kHostError,
                       absl::StrCat("cgroup ", name_, " has new processes again and again"));
    }
  }
  return WaitUntilEmpty(deadline);
}

// A process is gone from cgroup.procs before it has left its cgroup for good, and only then can the
// cgroup be removed. v2 says when; v1 cannot, but leaves at the same moment.
absl::Status Cgroup::WaitUntilEmpty(absl::Time deadline) const {
  const CgroupHierarchy* v2 = layout_.V2();
  if (v2 == nullptr) return absl::OkStatus();
  const auto events = OpenHostFile(Folder(*v2) + "/cgroup.events", O_RDONLY);
  if (!events.ok() && IsGone(events.status())) return absl::OkStatus();
  MSB_RETURN_IF_ERROR(events.status());
  while (true) {
    char text[256];
    const auto size = Syscall("read cgroup.events",
                              [&] { return ::pread(events->get(), text, sizeof(text), 0); });
    if (!size.ok() && IsGone(size.status())) return absl::OkStatus();
    MSB_RETURN_IF_ERROR(size.status());
    if (absl::StrContains(absl::string_view(text, static_cast<size_t>(*size)), "populated 0")) {
      return absl::OkStatus();
    }
    const int timeout_ms = PollTimeoutMs(deadline);
    if (timeout_ms == 0) break;
    pollfd poll_fd{.fd = events->get(), .events = POLLPRI, .revents = 0};
    ::poll(&poll_fd, 1, timeout_ms);
  }
  return MakeError(Reason::kHostError, absl::StrCat("cgroup ", name_, " does not become empty"));
}

absl::Status Cgroup::Remove() const {
  for (const CgroupHierarchy& hierarchy : layout_.hierarchies) {
    const std::string folder = Folder(hierarchy);
    if (::rmdir(folder.c_str()) == 0 || errno == ENOENT) continue;
    return WithReason(Reason::kHostError, "remove a cgroup", absl::ErrnoToStatus(errno, folder));
  }
  return absl::OkStatus();
}

absl::StatusOr<Launcher::Usage> Cgroup::ReadUsage() const {
  Launcher::Usage usage;
  const auto not_there = [&](const absl::Status& status) {
    return IsGone(status)
               ? MakeError(Reason::kSandboxNotRunning, absl::StrCat("there is no cgroup ", name_))
               : status;
  };
  if (const CgroupHierarchy* memory = layout_.WithController("memory")) {
    const absl::Status status = ReadMemory(*memory, Folder(*memory), usage);
    if (!status.ok()) return not_there(status);
  }
  // v2 counts CPU time without any controller.
  const CgroupHierarchy* cpu = layout_.WithController("cpuacct");
  if (cpu == nullptr) cpu = layout_.V2();
  if (cpu != nullptr) {
    const auto ns = ReadCpu(*cpu, Folder(*cpu));
    if (!ns.ok()) return not_there(ns.status());
    usage.cpu_ns = *ns;
  }
  return usage;
}

bool IsMemberOf(absl::string_view proc_cgroup, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(proc_cgroup, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() == 3 && fields[2] == absl::StrCat("/", name)) return true;
  }
  return false;
}

}  // namespace msb
