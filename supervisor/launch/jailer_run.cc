// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/jailer_run.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/syscall.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/jailer_command.h"
#include "supervisor/launch/process.h"
#include "supervisor/launch/read_to_end.h"

namespace msb {
namespace {

constexpr size_t kMaxReportBytes = 8192;

// What an ended jailer has to say for itself.
absl::Status StatusOfJailer(const JailerReport& report, std::optional<int> wait_status) {
  const auto failed = [](absl::string_view what) { return MakeError(Reason::kJailFailed, what); };
  const int code = wait_status && WIFEXITED(*wait_status) ? WEXITSTATUS(*wait_status) : -1;
  if (!report.error.empty()) return failed(report.error);
  if (code == 0 && report.pid) return absl::OkStatus();
  if (wait_status && WIFSIGNALED(*wait_status)) {
    return failed(absl::StrCat("msb-jailer was killed by signal ", WTERMSIG(*wait_status)));
  }
  return failed(absl::StrCat("msb-jailer ended with code ", code, " (jailer/README.md)"));
}

// "... (sources): source 8: CAUSE; what to do" (jailer/plan.h).
std::optional<FailedSource> ParseFailedSource(absl::string_view line) {
  constexpr absl::string_view kMark = "(sources): source ";
  const size_t mark = line.find(kMark);
  if (mark == absl::string_view::npos) return std::nullopt;
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(line.substr(mark + kMark.size()), absl::MaxSplits(": ", 1));
  FailedSource failed;
  if (!absl::SimpleAtoi(parts.first, &failed.fd)) return std::nullopt;
  failed.cause = std::string(parts.second.substr(0, parts.second.rfind("; ")));
  return failed;
}

}  // namespace

JailerReport ParseJailerReport(absl::string_view text) {
  JailerReport report;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    int pid = 0;
    if (pair.first == "pid" && absl::SimpleAtoi(pair.second, &pid) && pid > 0) report.pid = pid;
    if (pair.first != "error") continue;
    report.error = std::string(pair.second);
    report.failed_source = ParseFailedSource(report.error);
  }
  return report;
}

absl::StatusOr<JailerRun> JailerRun::Start(const JailRequest& request,
                                           const LaunchOptions& options) {
  const absl::Time deadline = absl::Now() + options.launch_timeout;
  const auto executable = OpenHostFile(request.executable, O_PATH);
  if (!executable.ok()) {
    return WithReason(Reason::kAssetMissing, "the executable", executable.status());
  }
  int ends[2];
  const auto piped = Syscall("pipe", [&] { return ::pipe2(ends, O_CLOEXEC); });
  if (!piped.ok()) return WithReason(Reason::kHostError, "launch", piped.status());
  UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);

  SpawnRequest spawn{.path = options.jailer_path, .argv = request.command_line, .fds = request.fds};
  spawn.fds[STDOUT_FILENO] = request.log_fd;
  spawn.fds[STDERR_FILENO] = request.log_fd;
  spawn.fds[kJailerStatusFd] = write_end.get();
  spawn.fds[kJailerExecFd] = executable->get();
  auto jailer = Spawn(spawn);
  if (!jailer.ok()) return WithReason(Reason::kJailFailed, "the jailer", jailer.status());
  return JailerRun(*std::move(jailer), std::move(read_end), deadline);
}

JailerOutcome JailerRun::Finish() && {
  // The stream ends when the jailer has ended and the jailed process has been executed, or has
  // died.
  const auto text = ReadToEnd(report_, {.max_bytes = kMaxReportBytes, .deadline = deadline_});
  if (!text.ok()) Kill(jailer_.pidfd).IgnoreError();  // its child is killed through its cgroup
  WaitForEnd(jailer_.pidfd, absl::InfiniteFuture()).IgnoreError();
  const std::optional<int> wait_status = Reap(jailer_.pidfd);
  if (!text.ok())
    return {std::nullopt, WithReason(Reason::kJailFailed, "the jailer", text.status()), {}};
  const JailerReport report = ParseJailerReport(*text);
  return {report.pid, StatusOfJailer(report, wait_status), report.failed_source};
}

}  // namespace msb
