// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/process.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/poll_timeout.h"

namespace msb {
namespace {

// proc(5): the fields of /proc/<pid>/stat count from 1, and the second is in brackets.
constexpr size_t kStartTimeField = 22;
constexpr size_t kFieldsBeforeState = 2;

// idtype_t has it since glibc 2.36 (Debian 12); the kernel since 5.4.
constexpr auto kByPidfd = static_cast<idtype_t>(P_PIDFD);

int WaitStatusOf(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return (info.si_status & 0xff) << 8;
  return info.si_status;  // the signal
}

}  // namespace

absl::StatusOr<UniqueFd> OpenPidfd(int pid) {
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall(absl::StrCat("pidfd_open ", pid), [&] {
                         return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
                       }));
  return UniqueFd(fd);
}

absl::StatusOr<uint64_t> ParseStartTime(absl::string_view stat) {
  const size_t end_of_name = stat.rfind(')');
  if (end_of_name != absl::string_view::npos) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(stat.substr(end_of_name + 1), ' ', absl::SkipEmpty());
    const size_t index = kStartTimeField - kFieldsBeforeState - 1;
    uint64_t ticks = 0;
    if (fields.size() > index && absl::SimpleAtoi(fields[index], &ticks)) return ticks;
  }
  return MakeError(Reason::kHostError, "a /proc/<pid>/stat without a start time");
}

absl::StatusOr<uint64_t> ReadStartTime(int pid) {
  MSB_ASSIGN_OR_RETURN(const std::string stat, ReadHostFile(absl::StrCat("/proc/", pid, "/stat")));
  return ParseStartTime(stat);
}

bool HasEnded(const UniqueFd& pidfd) {
  pollfd poll_fd{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&poll_fd, 1, 0) == 1;
}

absl::Status WaitForEnd(const UniqueFd& pidfd, absl::Time deadline) {
  while (true) {
    const int timeout_ms = PollTimeoutMs(deadline);
    pollfd poll_fd{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, timeout_ms);
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "poll a pidfd");
    if (timeout_ms == 0) return absl::DeadlineExceededError("the process does not end");
  }
}

absl::Status Kill(const UniqueFd& pidfd) {
  const auto killed = Syscall("pidfd_send_signal", [&] {
    return ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  });
  if (killed.ok() || HasEnded(pidfd)) return absl::OkStatus();
  return killed.status();
}

std::optional<int> Reap(const UniqueFd& pidfd) {
  siginfo_t info{};
  const auto waited = Syscall("waitid", [&] {
    return ::waitid(kByPidfd, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG);
  });
  if (!waited.ok() || info.si_pid == 0) return std::nullopt;
  return WaitStatusOf(info);
}

std::string DescribeEnd(std::optional<int> wait_status) {
  if (!wait_status) return "ended while no daemon ran that could see how";
  if (!WIFSIGNALED(*wait_status)) {
    return absl::StrCat("ended with code ", WEXITSTATUS(*wait_status));
  }
  const int signal = WTERMSIG(*wait_status);
  return absl::StrCat("ended by signal ", signal,
                      signal == SIGSYS ? " (SIGSYS): it made a system call that its seccomp filter "
                                         "forbids; the host's kernel log names it"
                                       : "");
}

}  // namespace msb
