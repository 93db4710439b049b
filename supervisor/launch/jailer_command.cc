// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/jailer_command.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace msb {
namespace {

constexpr uint64_t kMib = 1u << 20;
constexpr uint32_t kMilliPerCpu = 1000;
// Beside what a guest's memory file has of its own (page tables of a huge page, rounding).
constexpr uint64_t kMemoryFileSlackBytes = 2 * kMib;

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

struct CgroupLimits {
  uint64_t memory_bytes;
  uint32_t cpu_milli;
  uint32_t pids;
};

void AppendCgroup(const std::string& cgroup, const CgroupLimits& limits, const CgroupLayout& layout,
                  std::vector<std::string>& words) {
  if (layout.hierarchies.empty()) return;
  words.push_back(absl::StrCat("--cgroup=", cgroup));
  for (const CgroupHierarchy& hierarchy : layout.hierarchies) {
    const char* flag = hierarchy.version == CgroupVersion::kV1 ? "--cgroup-v1=" : "--cgroup-v2=";
    words.push_back(
        absl::StrCat(flag, absl::StrJoin(hierarchy.controllers, ","), ":", hierarchy.mount));
  }
  words.push_back(absl::StrCat("--memory-max=", limits.memory_bytes));
  words.push_back(absl::StrCat("--cpu-milli=", limits.cpu_milli));
  words.push_back(absl::StrCat("--pids-max=", limits.pids));
}

void AppendIdentity(const CompanionSpec& spec, const LaunchPlan& plan,
                    std::vector<std::string>& words) {
  const uint32_t own = plan.companion_uids[spec.identity ? 0 : spec.own_user];
  const CompanionIdentity identity =
      spec.identity.value_or(CompanionIdentity{.uid = own, .gid = own, .groups = {}});
  words.push_back(absl::StrCat("--uid=", identity.uid));
  words.push_back(absl::StrCat("--gid=", identity.gid));
  if (identity.uid == 0 || identity.gid == 0) words.push_back("--as-root");
  if (!identity.groups.empty()) {
    words.push_back(absl::StrCat("--groups=", absl::StrJoin(identity.groups, ",")));
  }
  if (!spec.capabilities.empty()) {
    words.push_back(absl::StrCat("--keep-caps=", absl::StrJoin(spec.capabilities, ",")));
  }
}

std::string OpenFlag(const CompanionSource& source) {
  const char* const flag = source.rights == SourceRights::kIdentity ? "--open=" : "--open-own=";
  const char* const kind = source.kind == SourceKind::kDirectory ? "dir"
                           : source.kind == SourceKind::kFile    ? "file"
                                                                 : "any";
  return absl::StrCat(flag, source.fd, ":", kind,
                      source.access == SourceAccess::kReadOnly ? "-ro:" : "-rw:", source.path);
}

// Where Debian and the other distributions have them; what a host lacks is left out.
constexpr const char* kNetworkFiles[] = {"/etc/resolv.conf",
                                         "/etc/hosts",
                                         "/etc/nsswitch.conf",
                                         "/etc/ssl/certs/ca-certificates.crt",
                                         "/etc/pki/tls/certs/ca-bundle.crt",
                                         "/etc/ssl/cert.pem"};

void AppendSources(const CompanionSpec& spec, std::vector<std::string>& words) {
  for (const CompanionSource& source : spec.sources) words.push_back(OpenFlag(source));
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
  const uint32_t milli = spec.cpu_milli != 0 ? spec.cpu_milli : spec.vcpus * kMilliPerCpu;
  AppendCgroup(plan.cgroup, {MemoryLimit(spec, options), milli, options.pids_max}, layout, words);
  if (spec.engine == msb::vmm::v1::ENGINE_QEMU) {
    words.push_back(absl::StrCat("--bind-ro=", options.qemu_directory, ":", kQemuDirectoryInJail));
    // QEMU opens its kernel as /proc/self/fd/N; its stdin is /dev/null.
    words.push_back("--proc");
    words.push_back("--dev=null");
  }
  words.insert(words.end(), {"--", "msb-vmm", "--spec-fd", absl::StrCat(kSpecFd)});
  if (options.seccomp == SeccompUse::kOffForDebugging) {
    words.push_back("--debug-without-seccomp");
  }
  return words;
}

std::vector<std::string> JailerCommandLine(const CompanionSpec& spec, const LaunchPlan& plan,
                                           const CgroupLayout& layout) {
  const CompanionPaths paths = PathsOf(plan, spec.name);
  std::vector<std::string> words = {
      "msb-jailer",
      absl::StrCat("--id=", plan.id, "-", spec.name),
      absl::StrCat("--status-fd=", kJailerStatusFd),
      absl::StrCat("--exec-fd=", kJailerExecFd),
      absl::StrCat("--root=", plan.runtime_directory),
      absl::StrCat("--nofile=", spec.max_open_files),
  };
  AppendIdentity(spec, plan, words);
  if (spec.max_file_bytes) words.push_back(absl::StrCat("--fsize=", *spec.max_file_bytes));
  if (spec.network == CompanionNetwork::kHost) words.push_back("--net=host");
  for (int fd : {kCompanionControlFd, kCompanionVmmFd}) {
    words.push_back(absl::StrCat("--keep-fd=", fd));
  }
  if (!spec.input.empty()) words.push_back(absl::StrCat("--keep-fd=", kCompanionInputFd));
  for (const auto& [number, fd] : spec.fds) words.push_back(absl::StrCat("--keep-fd=", number));
  AppendCgroup(paths.cgroup, {spec.memory_mib * kMib, spec.cpu_milli, spec.pids_max}, layout,
               words);
  for (const CompanionBind& bind : spec.binds) {
    words.push_back(absl::StrCat("--bind-ro=", bind.source, ":", bind.target));
  }
  if (spec.proc) words.push_back("--proc");
  AppendSources(spec, words);
  words.insert(words.end(), {"--", spec.executable.substr(spec.executable.rfind('/') + 1)});
  words.insert(words.end(), spec.arguments.begin(), spec.arguments.end());
  return words;
}

std::vector<std::string> JailerCommandLine(const ImageJobRequest& request, uint32_t uid,
                                           const std::string& cgroup, const LaunchOptions& launch,
                                           const ImageJobOptions& options,
                                           const CgroupLayout& layout) {
  std::vector<std::string> words = {
      "msb-jailer",
      "--id=image",
      absl::StrCat("--status-fd=", kJailerStatusFd),
      absl::StrCat("--exec-fd=", kJailerExecFd),
      absl::StrCat("--root=", launch.runtime_root),
      absl::StrCat("--uid=", uid),
      absl::StrCat("--gid=", uid),
      absl::StrCat("--nofile=", launch.max_open_files),
      absl::StrCat("--fsize=", request.max_file_bytes),
  };
  for (const int fd : {kImageJobSpecFd, kImageJobEventFd}) {
    words.push_back(absl::StrCat("--keep-fd=", fd));
  }
  for (const auto& [number, fd] : request.fds) words.push_back(absl::StrCat("--keep-fd=", number));
  AppendCgroup(cgroup, {options.memory_mib * kMib, options.cpu_milli, options.pids_max}, layout,
               words);
  if (request.network == ImageJobNetwork::kHost) {
    words.push_back("--net=host");
    for (const char* file : kNetworkFiles) {
      if (::access(file, R_OK) != 0) continue;
      words.push_back(absl::StrCat("--bind-ro=", file, ":", file));
    }
  }
  words.insert(words.end(), {"--", "msb-image", "--job-fd", absl::StrCat(kImageJobSpecFd)});
  return words;
}

std::vector<std::string> SourceCheckCommandLine(const CompanionSpec& spec, const LaunchPlan& plan,
                                                const std::string& root,
                                                const CgroupLayout& layout) {
  std::vector<std::string> words = {
      "msb-jailer",
      absl::StrCat("--id=", plan.id, "-", kSourceCheckName),
      absl::StrCat("--status-fd=", kJailerStatusFd),
      absl::StrCat("--exec-fd=", kJailerExecFd),
      absl::StrCat("--root=", root),
      "--open-only",
  };
  AppendIdentity(spec, plan, words);
  AppendCgroup(PathsOf(plan, kSourceCheckName).cgroup,
               {spec.memory_mib * kMib, spec.cpu_milli, spec.pids_max}, layout, words);
  AppendSources(spec, words);
  words.insert(words.end(), {"--", kSourceCheckName});
  return words;
}

}  // namespace msb
