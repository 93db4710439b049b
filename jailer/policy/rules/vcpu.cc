// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A thread of engine kvm that runs a vCPU, and the handlers of its port and memory accesses.

#include <linux/kvm.h>

#include "jailer/policy/rule.h"

namespace msb {
namespace {

constexpr Rule kRules[] = {
    {"ioctl", "runs the guest", ArgumentIs(1, KVM_RUN)},
    {"ioctl", "where the guest stood when it cannot go on, for the error",
     ArgumentIs(1, KVM_GET_REGS)},
    {"ioctl", "the same", ArgumentIs(1, KVM_GET_SREGS)},
    {"ioctl", "the same", ArgumentIs(1, KVM_TRANSLATE)},
};

}  // namespace

const RuleSet kVcpuRules = kRules;

}  // namespace msb
