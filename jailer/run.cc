// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "jailer/run.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "jailer/step.h"
#include "jailer/steps/steps.h"

namespace msb {
namespace {

struct StepCall {
  Step step;
  absl::Status (*run)(const Plan& plan);
};

constexpr StepCall kOutside[] = {
    {Step::kPrivileges, CheckPrivileges},
    {Step::kDescriptors, KeepDescriptors},
    {Step::kCgroup, MakeCgroup},
};
// Between them stands kNamespaces.
constexpr StepCall kInside[] = {
    {Step::kSession, StartSession},
    {Step::kRoot, MountRoot},
    {Step::kSources, OpenSources},
    {Step::kMounts, MountContents},
    {Step::kPivot, PivotRoot},
    {Step::kRlimits, SetRlimits},
    {Step::kCapabilities, DropCapabilities},
    {Step::kIdentity, ChangeIdentity},
    {Step::kLockdown, LockDown},
    {Step::kExec, Execute},
};

struct Failure {
  Step step;
  std::string line;
};

// Longer than any line of ours, and a single write to a pipe (PIPE_BUF).
constexpr size_t kReportBytes = 4096;

void WriteAll(int fd, const std::string& text) {
  // Whoever reads may be gone; there is nobody else to tell.
  [[maybe_unused]] const ssize_t written = ::write(fd, text.data(), text.size());
}

template <size_t kCount>
std::optional<Failure> RunSteps(const StepCall (&calls)[kCount], const Plan& plan) {
  for (const StepCall& call : calls) {
    const absl::Status status = call.run(plan);
    if (!status.ok()) return Failure{call.step, FailureLine(call.step, status)};
    if (plan.open_only && call.step == Step::kSources) ::_exit(0);
  }
  return std::nullopt;
}

// The jailed process tells the jailer: the number of the step in a byte, then the line.
[[noreturn]] void RunInside(const Plan& plan, int report_fd) {
  const std::optional<Failure> failure = RunSteps(kInside, plan);
  // A step that succeeds last has replaced this process.
  const std::string line = failure->line.substr(0, kReportBytes - 1);
  WriteAll(report_fd, static_cast<char>(failure->step) + line);
  ::_exit(ExitCodeOf(failure->step));
}

// Waits for the jailed process to execute (the pipe closes) or to fail.
std::optional<Failure> ReadReport(int report_fd) {
  char report[kReportBytes];
  const auto size =
      Syscall("read the report", [&] { return ::read(report_fd, report, sizeof(report)); });
  if (!size.ok()) return Failure{Step::kNamespaces, FailureLine(Step::kNamespaces, size.status())};
  if (*size == 0) return std::nullopt;
  return Failure{static_cast<Step>(report[0]), std::string(report + 1, report + *size)};
}

std::optional<Failure> RunAll(const Plan& plan) {
  if (auto failure = RunSteps(kOutside, plan)) return failure;
  const auto namespaces_failed = [](const absl::Status& status) {
    return Failure{Step::kNamespaces, FailureLine(Step::kNamespaces, status)};
  };
  int ends[2];
  const auto piped = Syscall("pipe", [&] { return ::pipe2(ends, O_CLOEXEC); });
  if (!piped.ok()) return namespaces_failed(piped.status());
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);

  const absl::StatusOr<pid_t> pid = CloneIntoNamespaces(plan);
  if (!pid.ok()) return namespaces_failed(pid.status());
  if (*pid == 0) RunInside(plan, write_end.get());
  WriteAll(plan.status_fd, absl::StrCat("pid=", *pid, "\n"));
  write_end.Reset();
  return ReadReport(read_end.get());
}

}  // namespace

int RunPlan(const Plan& plan) {
  const std::optional<Failure> failure = RunAll(plan);
  if (!failure) return 0;
  WriteAll(plan.status_fd, absl::StrCat("error=", failure->line, "\n"));
  WriteAll(STDERR_FILENO, absl::StrCat(failure->line, "\n"));
  return ExitCodeOf(failure->step);
}

}  // namespace msb
