// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the C and C++ libraries do in any thread of ours.

#include <signal.h>
#include <sys/mman.h>

#include "jailer/policy/rule.h"

namespace msb {
namespace {

constexpr Rule kRules[] = {
    {"brk", "malloc's heap"},
    {"mmap", "malloc, and memory that a device maps; never to be executed",
     ArgumentHasNone(2, PROT_EXEC)},
    {"munmap", "gives that back"},
    {"mremap", "realloc of a large block"},
    {"madvise", "free gives pages back; the stack of a thread that ends; the balloon"},
    {"futex", "mutexes and condition variables"},
    {"sched_yield", "a mutex spins before it waits"},
    {"clock_nanosleep", "a mutex that is held for long"},
    {"nanosleep", "the same, as Abseil does it"},
    {"sched_getparam", "who waits for a mutex behind another waits by priority"},
    {"sched_getscheduler", "the same"},
    {"clock_gettime", "where the vDSO cannot tell the time"},
    {"clock_getres", "the same"},
    {"gettimeofday", "the same"},
    {"gettid", "Abseil names the owner of a mutex; abort"},
    {"getpid", "each line of the log; abort"},
    {"read", "eventfds, sockets"},
    {"write", "eventfds, sockets, the log"},
    {"writev", "the C library's last words (assertions, corrupted heap)"},
    {"close", "what is done with"},
    {"rt_sigreturn", "the end of a signal's handler"},
    {"rt_sigprocmask", "abort, and the end of a thread"},
    {"restart_syscall", "a call that a signal has interrupted"},
    {"tgkill", "abort", ArgumentIs(2, SIGABRT)},
    {"exit", "the end of a thread"},
    {"exit_group", "the end of the process"},
};

}  // namespace

const RuleSet kEveryThreadRules = kRules;

}  // namespace msb
