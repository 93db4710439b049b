// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/qemu/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

// Exit codes of the child before QEMU runs, a number each; QEMU itself exits with 0 or 1.
enum ChildStep : int {
  kStepParentDied = 101,
  kStepParentDeathSignal = 102,
  kStepOutput = 103,
  kStepDescriptors = 104,
  kStepSignals = 105,
  kStepSeccomp = 106,
  kStepExecute = 107,
};

// What `exit_code` says when it is no word of QEMU's; empty otherwise.
absl::string_view StepText(int exit_code) {
  switch (exit_code) {
    case kStepParentDied:
      return " (the VMM ended while it started)";
    case kStepParentDeathSignal:
    case kStepOutput:
    case kStepSignals:
      return " (its process could not be prepared)";
    case kStepDescriptors:
      return " (its descriptors could not be passed on; close_range needs Linux 5.11)";
    case kStepSeccomp:
      return " (it could not be confined; the host's kernel needs CONFIG_SECCOMP_FILTER)";
    case kStepExecute:
      return " (it could not be executed; is its directory there and whole?)";
    default:
      return "";
  }
}

struct ChildPlan {
  char* const* arguments;
  absl::Span<const int> inherited;
  int error_output;
  pid_t parent;
  absl::Span<const sock_filter> filter;  // empty: none
};

// In the child of a fork: async-signal-safe calls only.
[[noreturn]] void RunChild(const ChildPlan& plan) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) ::_exit(kStepParentDeathSignal);
  if (::getppid() != plan.parent) ::_exit(kStepParentDied);  // it went before the signal was set
  if (::dup2(plan.error_output, STDOUT_FILENO) < 0 ||
      ::dup2(plan.error_output, STDERR_FILENO) < 0) {
    ::_exit(kStepOutput);
  }
  // Whatever else this process was given (disks, listeners, the control socket) is not QEMU's.
  if (::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) != 0) ::_exit(kStepDescriptors);
  for (const int fd : plan.inherited) {
    if (::fcntl(fd, F_SETFD, 0) != 0) ::_exit(kStepDescriptors);
  }
  sigset_t none;
  ::sigemptyset(&none);
  if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) ::_exit(kStepSignals);
  if (!plan.filter.empty() && Confine(plan.filter) != 0) ::_exit(kStepSeccomp);
  char* const environment[] = {nullptr};
  ::execve(plan.arguments[0], plan.arguments, environment);
  ::_exit(kStepExecute);
}

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  MSB_RETURN_IF_ERROR(Syscall("pipe2", [&] { return ::pipe2(ends, O_CLOEXEC); }));
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  // Only ours: QEMU may wait for room.
  MSB_RETURN_IF_ERROR(
      Syscall("O_NONBLOCK", [&] { return ::fcntl(pipe.read_end.get(), F_SETFL, O_NONBLOCK); }));
  return pipe;
}

}  // namespace

void StreamTail::Append(absl::string_view bytes) {
  bytes_.append(bytes.data(), bytes.size());
  if (bytes_.size() > kMaxBytes) bytes_.erase(0, bytes_.size() - kMaxBytes);
}

std::string StreamTail::Text() const {
  absl::string_view rest = absl::StripSuffix(bytes_, "\n");
  if (rest.size() > kMaxTextBytes) rest.remove_prefix(rest.size() - kMaxTextBytes);
  std::string text(rest);
  for (char& byte : text) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(byte))) byte = ' ';
  }
  return text;
}

bool ProcessEnd::exited_cleanly() const {
  return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
}

std::string ProcessEnd::Text() const {
  std::string text =
      WIFSIGNALED(wait_status)
          ? absl::StrCat("was ended by signal ", WTERMSIG(wait_status),
                         WTERMSIG(wait_status) == SIGSYS
                             ? " (a system call that its filter forbids; the kernel's log names it)"
                             : "")
          : absl::StrCat("exited with code ", WEXITSTATUS(wait_status),
                         StepText(WEXITSTATUS(wait_status)));
  if (!error_output.empty()) absl::StrAppend(&text, ": ", error_output);
  return text;
}

absl::StatusOr<std::unique_ptr<QemuProcess>> QemuProcess::Spawn(EventLoop& loop,
                                                                const Program& program,
                                                                OnExit on_exit) {
  std::vector<char*> pointers;
  for (const std::string& argument : program.arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  MSB_ASSIGN_OR_RETURN(Pipe output, MakePipe());
  ChildPlan plan{.arguments = pointers.data(),
                 .inherited = program.inherited,
                 .error_output = output.write_end.get(),
                 .parent = ::getpid(),
                 .filter = {}};
  if (program.seccomp == Seccomp::kInForce) plan.filter = CompiledPolicy(SeccompPolicy::kQemu);
  std::unique_ptr<QemuProcess> process(new QemuProcess(loop, std::move(on_exit)));
  MSB_ASSIGN_OR_RETURN(process->pid_, Syscall("fork", [] { return ::fork(); }));
  if (process->pid_ == 0) RunChild(plan);
  process->error_output_ = std::move(output.read_end);
  MSB_RETURN_IF_ERROR(process->WatchChild());
  return process;
}

absl::Status QemuProcess::WatchChild() {
  MSB_ASSIGN_OR_RETURN(const long pidfd,
                       Syscall("pidfd_open", [&] { return ::syscall(SYS_pidfd_open, pid_, 0); }));
  pidfd_ = UniqueFd(static_cast<int>(pidfd));
  MSB_RETURN_IF_ERROR(
      loop_.Watch(error_output_.get(), EPOLLIN, [this](uint32_t) { OnErrorOutput(); }));
  return loop_.Watch(pidfd_.get(), EPOLLIN, [this](uint32_t) { OnExited(); });
}

// One read a turn of the loop: a QEMU that complains without end keeps nobody waiting.
bool QemuProcess::OnErrorOutput() {
  char bytes[4096];
  const absl::StatusOr<ssize_t> got = Syscall(
      "read QEMU's output", [&] { return ::read(error_output_.get(), bytes, sizeof(bytes)); });
  if (absl::IsUnavailable(got.status())) return false;  // nothing more for now
  if (!got.ok() || *got == 0) {
    loop_.Unwatch(error_output_.get());
    return false;
  }
  tail_.Append(absl::string_view(bytes, static_cast<size_t>(*got)));
  return true;
}

std::string QemuProcess::ErrorOutput() {
  OnErrorOutput();
  return tail_.Text();
}

void QemuProcess::OnExited() {
  // Its last words; it can add no more, so that they are finite.
  while (OnErrorOutput()) {
  }
  Unwatch();
  ProcessEnd end{.error_output = tail_.Text()};
  // The pidfd was readable: this does not wait.
  (void)Syscall("waitpid", [&] { return ::waitpid(pid_, &end.wait_status, 0); });
  pid_ = -1;
  const OnExit on_exit = std::move(on_exit_);
  on_exit(std::move(end));  // may have destroyed us
}

void QemuProcess::Kill() {
  if (pid_ < 0) return;
  Unwatch();
  ::kill(pid_, SIGKILL);
  (void)Syscall("waitpid", [&] { return ::waitpid(pid_, nullptr, 0); });
  pid_ = -1;
}

void QemuProcess::Unwatch() {
  if (pidfd_.valid()) loop_.Unwatch(pidfd_.get());
  if (error_output_.valid()) loop_.Unwatch(error_output_.get());
}

}  // namespace msb
