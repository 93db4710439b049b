// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The event loop of msb-vmm: devices, control socket, and what the engines have each beside these.

#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>

#include "jailer/policy/rule.h"

namespace msb {
namespace {

constexpr Rule kRules[] = {
    {"epoll_wait", "waits for the next event"},
    {"epoll_ctl", "connections come and go"},
    {"poll", "a file server gives back its queues, before the machine rests"},
    {"accept4", "a client of the vsock's, of the control socket or of the network's listener"},
    {"recvfrom",
     "requests of the control socket, a client's first line, the console of QEMU, a file server"},
    {"sendto", "answers"},
    {"recvmsg", "frames of the network; vhost-user messages"},
    {"sendmsg", "the same; vsock, straight from the guest's memory; queues for a file server"},
    {"readv", "vsock, straight into the guest's memory"},
    {"shutdown", "one direction of a connection has ended"},
    {"fcntl", "flags of a descriptor that was handed over", ArgumentIs(1, F_GETFL)},
    {"fcntl", "the same", ArgumentIs(1, F_SETFL)},
    {"setsockopt", "room in the socket of a new network"},
    {"getrandom", "the guest's entropy device"},
    {"preadv2", "a disk's fast path: what the page cache has"},
    {"pread64", "the console log moves its younger half forward"},
    {"pwrite64", "the console log, and the last word at the end"},
    {"ftruncate", "the same two"},
};

constexpr Rule kWithKvm[] = {
    {"tgkill", "calls a vCPU out of the guest", ArgumentIs(2, 34 /* SIGRTMIN of the C library */)},
    {"ioctl", "tells the guest's clock that it was paused", ArgumentIs(1, KVM_KVMCLOCK_CTRL)},
};

constexpr Rule kWithQemu[] = {
    {"kill", "ends QEMU", ArgumentIs(1, SIGKILL)},
    {"wait4", "takes leave of it"},
    {"fcntl", "whether QEMU can shrink the memory that it shares", ArgumentIs(1, F_GET_SEALS)},
    {"newfstatat", "the size of a memory region that it shares"},
    {"fstat", "the same, as the C library does it"},
};

// A machine that is saved as a boot snapshot: its guest is our own kernel and agent, nobody else's.
constexpr Rule kToSave[] = {
    {"lseek", "looks for the memory that the guest has touched"},
    {"fstat", "its size"},
    {"newfstatat", "the same"},
    {"ioctl", "reads the state of vCPUs and VM", ArgumentCheck{1, 0xff00, KVMIO << 8}},
};

}  // namespace

const RuleSet kVmmLoopRules = kRules;
const RuleSet kKvmLoopRules = kWithKvm;
const RuleSet kQemuLoopRules = kWithQemu;
const RuleSet kSaveRules = kToSave;

}  // namespace msb
