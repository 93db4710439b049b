// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/exec/spawn.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace msb {

struct ChildTask {
  const SpawnPlan* plan;
  char* const* argv;
  char* const* environment;
  const char* const* candidates;  // null-terminated
  SpawnResult* result;            // shared memory: the parent reads what the child wrote
};

// clone3 in the manner of vfork: the child runs on the caller's stack, below the caller's frame,
// while the caller sleeps. Written in assembly, since no compiler may keep anything in the frame
// that both return through. In the child calls `run(task)`, which does not return.
extern "C" [[gnu::visibility("hidden")]] long MsbCloneVfork(clone_args* arguments, size_t size,
                                                            void (*run)(ChildTask*),
                                                            ChildTask* task);

#if defined(__x86_64__)
static_assert(SYS_clone3 == 435);
asm(R"(
.pushsection .text
.globl MsbCloneVfork
.hidden MsbCloneVfork
.type MsbCloneVfork, @function
MsbCloneVfork:
  mov %rcx, %r8         # syscall overwrites rcx and r11
  mov $435, %eax
  syscall
  test %rax, %rax
  jz 1f
  ret                   # the caller: the child has made its exec or is gone
1:
  mov %r8, %rdi
  sub $8, %rsp          # rsp was 8 off 16 behind the caller's call
  call *%rdx
  hlt
.size MsbCloneVfork, . - MsbCloneVfork
.popsection
)");
#else
#error "MsbCloneVfork has to be written for this architecture"
#endif

namespace {

[[noreturn]] void Fail(SpawnResult* result, SpawnStep step, int error) {
  result->step = step;
  result->error = error;
  ::_exit(127);
}

void EnterWorkingDirectory(const ChildTask& task) {
  int error = ENOENT;
  for (const std::string& directory : task.plan->working_directories) {
    if (::chdir(directory.c_str()) == 0) return;
    error = errno;
  }
  Fail(task.result, SpawnStep::kWorkingDirectory, error);
}

// Raw system calls: the C library's would change the identity of all threads of the agent.
void TakeIdentity(const ChildTask& task) {
  const SpawnPlan& plan = *task.plan;
  if (!plan.change_identity) return;
  if (::syscall(SYS_setgroups, plan.groups.size(), plan.groups.data()) != 0 ||
      ::syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) != 0 ||
      ::syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) != 0) {
    Fail(task.result, SpawnStep::kIdentity, errno);
  }
}

void TakeStdio(const ChildTask& task) {
  const SpawnPlan& plan = *task.plan;
  if (plan.controlling_terminal && ::ioctl(plan.stdio[0], TIOCSCTTY, 0) != 0) {
    Fail(task.result, SpawnStep::kTerminal, errno);
  }
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(plan.stdio[fd], fd) < 0) Fail(task.result, SpawnStep::kStdio, errno);
  }
}

[[noreturn]] void ExecFirstCandidate(const ChildTask& task) {
  int error = ENOENT;
  for (const char* const* path = task.candidates; *path != nullptr; ++path) {
    // Asked first, since an exec that fails costs the kernel a new address space.
    if (::syscall(SYS_faccessat2, AT_FDCWD, *path, X_OK, AT_EACCESS) == 0) {
      task.result->found = true;
      ::execve(*path, task.argv, task.environment);
      error = errno;
      if (error != EACCES && error != ENOENT) break;
    } else if (errno != ENOENT && errno != ENOTDIR) {
      task.result->found = true;
      error = errno;
    }
  }
  Fail(task.result, SpawnStep::kExec, error);
}

// Between clone and exec: system calls only.
[[noreturn]] void RunChild(ChildTask* task) {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::setsid() < 0) Fail(task->result, SpawnStep::kSession, errno);
  TakeStdio(*task);
  for (const auto& [resource, limit] : task->plan->rlimits) {
    if (::setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) {
      Fail(task->result, SpawnStep::kRlimit, errno);
    }
  }
  TakeIdentity(*task);
  EnterWorkingDirectory(*task);
  ExecFirstCandidate(*task);
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

SpawnResult Spawn(const SpawnPlan& plan) {
  const std::vector<char*> argv = Pointers(plan.argv);
  const std::vector<char*> environment = Pointers(plan.environment);
  const std::vector<char*> candidates = Pointers(plan.candidates);
  SpawnResult result;
  ChildTask task{.plan = &plan,
                 .argv = argv.data(),
                 .environment = environment.data(),
                 .candidates = candidates.data(),
                 .result = &result};
  clone_args arguments{};
  arguments.flags = CLONE_VM | CLONE_VFORK;
  arguments.exit_signal = SIGCHLD;
  if (plan.cgroup_fd >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<uint64_t>(plan.cgroup_fd);
  }
  const long pid = MsbCloneVfork(&arguments, sizeof(arguments), &RunChild, &task);
  // What the child wrote through `task` is invisible to the compiler.
  asm volatile("" : : "r"(&result) : "memory");
  if (pid < 0) return {.step = SpawnStep::kClone, .error = static_cast<int>(-pid)};
  if (result.step != SpawnStep::kNone) {
    while (::waitpid(static_cast<pid_t>(pid), nullptr, 0) < 0 && errno == EINTR) {
    }
    return result;
  }
  result.pid = static_cast<pid_t>(pid);
  return result;
}

}  // namespace msb
