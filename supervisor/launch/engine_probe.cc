// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/engine_probe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/process.h"
#include "supervisor/launch/read_to_end.h"
#include "supervisor/launch/spawn.h"

namespace msb {
namespace {

constexpr size_t kMaxAnswerBytes = 4096;
constexpr char kCacheVersion[] = "msb-engine-probe 1";

// "2049/1234/5678/1700000000.5": which file, and which content of it; "-" when there is none.
std::string Fingerprint(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return "-";
  return absl::StrCat(info.st_dev, "/", info.st_ino, "/", info.st_rdev, "/", info.st_size, "/",
                      info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec);
}

// Everything that the measurement depends on, in one line.
std::string CacheKey(const EngineProbeOptions& options) {
  const auto boot_id = ReadHostFile("/proc/sys/kernel/random/boot_id");
  utsname host{};
  ::uname(&host);
  struct stat kvm {};
  const bool has_kvm = ::stat("/dev/kvm", &kvm) == 0;
  return absl::StrCat(
      kCacheVersion, " ", boot_id.ok() ? absl::StripAsciiWhitespace(*boot_id) : "no-boot-id", " ",
      host.release, " kvm=", has_kvm ? kvm.st_rdev : 0, " vmm=", Fingerprint(options.vmm_path));
}

std::optional<KvmFinding> ReadCache(const EngineProbeOptions& options) {
  if (options.cache_file.empty()) return std::nullopt;
  const auto text = ReadHostFile(options.cache_file);
  if (!text.ok()) return std::nullopt;
  const std::pair<absl::string_view, absl::string_view> lines =
      absl::StrSplit(*text, absl::MaxSplits('\n', 1));
  if (lines.first != CacheKey(options)) return std::nullopt;
  auto finding = ParseKvmFinding(lines.second);
  if (!finding.ok()) return std::nullopt;
  return *std::move(finding);
}

// Whole or not at all: another daemon may read at the same time.
absl::Status WriteCache(const EngineProbeOptions& options, absl::string_view answer) {
  const std::string fresh = absl::StrCat(options.cache_file, ".", ::getpid());
  {
    MSB_ASSIGN_OR_RETURN(const int raw, Syscall(fresh, [&] {
                           return ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                                         0600);
                         }));
    const UniqueFd fd(raw);
    const std::string text = absl::StrCat(CacheKey(options), "\n", answer);
    MSB_RETURN_IF_ERROR(
        Syscall(fresh, [&] { return ::write(fd.get(), text.data(), text.size()); }));
  }
  return Syscall("rename", [&] { return ::rename(fresh.c_str(), options.cache_file.c_str()); })
      .status();
}

// Runs `msb-vmm --probe-kvm` and returns what it prints.
absl::StatusOr<std::string> RunProbe(const EngineProbeOptions& options) {
  const absl::Time deadline = absl::Now() + options.time_limit;
  int ends[2];
  MSB_RETURN_IF_ERROR(Syscall("pipe", [&] { return ::pipe2(ends, O_CLOEXEC); }));
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  MSB_ASSIGN_OR_RETURN(const SpawnedProcess probe,
                       Spawn({.path = options.vmm_path,
                              .argv = {"msb-vmm", "--probe-kvm"},
                              .fds = {{STDOUT_FILENO, write_end.get()}}}));
  write_end.Reset();
  auto answer = ReadToEnd(read_end, {.max_bytes = kMaxAnswerBytes, .deadline = deadline});
  const absl::Status ended = WaitForEnd(probe.pidfd, deadline);
  if (!ended.ok()) {
    MSB_RETURN_IF_ERROR(Kill(probe.pidfd));
    MSB_RETURN_IF_ERROR(WaitForEnd(probe.pidfd, absl::InfiniteFuture()));
  }
  const std::optional<int> wait_status = Reap(probe.pidfd);
  if (!answer.ok() || !ended.ok()) {
    return absl::DeadlineExceededError(
        absl::StrCat("no answer within ", absl::FormatDuration(options.time_limit)));
  }
  if (wait_status && WIFSIGNALED(*wait_status)) {
    return absl::InternalError(absl::StrCat("killed by signal ", WTERMSIG(*wait_status)));
  }
  return answer;
}

absl::StatusOr<KvmFinding> MeasureKvm(const EngineProbeOptions& options) {
  MSB_ASSIGN_OR_RETURN(const std::string answer, RunProbe(options));
  MSB_ASSIGN_OR_RETURN(KvmFinding finding, ParseKvmFinding(answer));
  if (!options.cache_file.empty()) {
    const absl::Status written = WriteCache(options, answer);
    if (!written.ok()) {
      MSB_LOG(kWarning) << "the engine probe is not kept: " << written;
    }
  }
  return finding;
}

KvmFinding FindKvm(const EngineProbeOptions& options, ProbeCache cache) {
  if (cache == ProbeCache::kUse) {
    if (auto finding = ReadCache(options)) return *std::move(finding);
  }
  auto measured = MeasureKvm(options);
  if (measured.ok()) return *std::move(measured);
  return {.state = KvmState::kUnusable,
          .detail = absl::StrCat("msb-vmm --probe-kvm: ", measured.status().message())};
}

std::string FindQemuProblem(const EngineProbeOptions& options) {
  if (options.qemu_directory.empty()) return "no folder with QEMU is configured";
  const std::string program = options.qemu_directory + "/bin/qemu-system-x86_64";
  if (::access(program.c_str(), X_OK) == 0) return "";
  return absl::StrCat(program, " is not there: deploy/qemu makes that folder");
}

}  // namespace

EngineFacts ProbeEngines(const EngineProbeOptions& options, ProbeCache cache) {
  return {.kvm = FindKvm(options, cache), .qemu_problem = FindQemuProblem(options)};
}

}  // namespace msb
