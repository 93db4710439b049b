// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// QEMU, from its exec on: its loader, its start, and its run. All threads have the one policy, for
// QEMU makes them itself. Its own filter (-sandbox, vmm/qemu/command_line.cc) comes on top, and
// takes the exec away that this one has to leave.

#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "jailer/policy/rule.h"

namespace msb {
namespace {

constexpr Rule kRules[] = {
    // The start of a program.
    {"execve", "the VMM's child becomes QEMU; QEMU's own filter then forbids it"},
    {"arch_prctl", "the loader sets up the first thread"},
    {"set_tid_address", "the same"},
    {"set_robust_list", "each thread at its start"},
    {"rseq", "the same"},
    {"prlimit64", "the size of its own stack", ArgumentIs(0, 0)},
    {"access", "the loader looks for its files"},
    {"faccessat", "the same"},
    {"readlink", "QEMU finds its folder"},
    {"openat",
     "its libraries and firmware, and the kernel by its descriptor: the jail has no more"},
    {"getdents64", "looks for the firmware"},
    {"fchdir", "the same"},
    {"newfstatat", "how large they are"},
    {"fstat", "the same"},
    {"statfs", "the page size of where memory comes from"},
    {"fstatfs", "the same"},
    {"lseek", "reads them"},
    {"pread64", "the same"},
    {"uname", "asks what it runs on"},
    {"sysinfo", "asks for the host's memory, to bound its translated code"},
    {"getcwd", "asks where it is"},
    {"getuid", "asks who it is"},
    {"geteuid", "the same"},
    {"getgid", "the same"},
    {"getegid", "the same"},
    {"umask", "modes of files that it does not make"},
    {"sched_getaffinity", "asks for the number of CPUs"},
    {"seccomp", "its own filter, on top of this one"},
    {"prctl", "no_new_privs for that", ArgumentIs(0, PR_SET_NO_NEW_PRIVS)},
    {"prctl", "names of threads", ArgumentIs(0, PR_SET_NAME)},
    {"prctl", "precise timers", ArgumentIs(0, PR_SET_TIMERSLACK)},
    {"prctl", "how it takes a broken page of memory", ArgumentIs(0, PR_MCE_KILL)},

    // Memory: the guest's is a memfd that is shared with our devices; translated code is executed.
    {"brk", "malloc's heap"},
    {"mmap", "malloc, libraries, the guest's memory, translated code"},
    {"munmap", "gives that back"},
    {"mremap", "realloc of a large block"},
    {"mprotect", "libraries after their relocation, guard pages of stacks"},
    {"madvise", "huge pages; what the balloon gives back"},
    {"memfd_create", "the guest's memory"},
    {"ftruncate", "its size"},
    {"fallocate", "what the balloon gives back"},
    {"fcntl", "seals of that file", ArgumentIs(1, F_ADD_SEALS)},
    {"mbind", "its NUMA policy"},
    {"set_mempolicy", "the same"},
    {"get_mempolicy", "the same"},

    // Threads.
    {"clone", "a thread, never a process", ArgumentHasAll(0, CLONE_THREAD | CLONE_VM)},
    {"clone3",
     "its arguments are behind a pointer: the C library takes clone",
     {},
     Answer::kNoSuchCall},
    {"futex", "mutexes and condition variables"},
    {"membarrier", "RCU"},
    {"sched_yield", "a lock spins"},
    {"gettid", "threads by number"},
    {"getpid", "abort"},
    {"tgkill", "calls a vCPU out of its loop", ArgumentIs(2, SIGUSR1)},
    {"tgkill", "abort", ArgumentIs(2, SIGABRT)},
    {"rt_sigaction", "handlers"},
    {"rt_sigprocmask", "masks of threads and coroutines"},
    {"rt_sigreturn", "the end of a handler"},
    {"rt_sigtimedwait", "takes a signal"},
    {"sigaltstack", "the stack of a new coroutine"},
    {"signalfd4", "signals by the event loop"},
    {"restart_syscall", "a call that a signal has interrupted"},
    {"exit", "the end of a thread"},
    {"exit_group", "the end of the process"},

    // The event loop, and its connections with our VMM: all but the network's are inherited.
    {"ppoll", "waits"},
    {"poll", "the same"},
    {"epoll_create1", "the same, with many descriptors"},
    {"epoll_ctl", "the same"},
    {"epoll_wait", "the same"},
    {"epoll_pwait", "the same"},
    {"eventfd2", "notifications"},
    {"pipe2", "the same"},
    {"timerfd_create", "timers"},
    {"timerfd_settime", "the same"},
    {"clock_nanosleep", "waits"},
    {"nanosleep", "the same"},
    {"clock_gettime", "where the vDSO cannot tell the time"},
    {"clock_getres", "the same"},
    {"gettimeofday", "the same"},
    {"socket", "to the VMM's listener for the network's card", ArgumentIs(0, AF_UNIX)},
    {"connect", "the same"},
    {"shutdown", "the end of a connection"},
    {"getsockname", "names of connections, for its messages"},
    {"getpeername", "the same"},
    {"getsockopt", "whether a connection is there"},
    {"setsockopt", "its options"},
    {"sendmsg", "vhost-user, with descriptors"},
    {"recvmsg", "the same"},
    {"sendto", "the same, and the monitor"},
    {"recvfrom", "the same"},
    {"read", "eventfds, files, the monitor"},
    {"readv", "the same"},
    {"write", "eventfds, the console, messages"},
    {"writev", "the same"},
    {"close", "what is done with"},
    {"dup", "a descriptor that two parts of it own"},
    {"dup3", "the same"},
    {"fcntl", "flags", ArgumentIs(1, F_GETFD)},
    {"fcntl", "flags", ArgumentIs(1, F_SETFD)},
    {"fcntl", "flags", ArgumentIs(1, F_GETFL)},
    {"fcntl", "flags", ArgumentIs(1, F_SETFL)},
    {"fcntl", "a copy", ArgumentIs(1, F_DUPFD_CLOEXEC)},
    {"getrandom", "seeds of hash tables; the guest's fw_cfg"},
    {"io_uring_setup", "it polls without", {}, Answer::kNoSuchCall},
    // KVM as QEMU's accelerator (QemuOptions.accelerator): every request of that one driver.
    {"ioctl", "KVM, where it is handed in", ArgumentCheck{1, 0xff00, KVMIO << 8}},
};

}  // namespace

const RuleSet kQemuRules = kRules;

}  // namespace msb
