// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The thread on which one disk waits for the host's storage.

#include <linux/falloc.h>

#include "jailer/policy/rule.h"

namespace msb {
namespace {

constexpr Rule kRules[] = {
    {"preadv", "the guest reads"},
    {"preadv2", "the same, where the page cache has it"},
    {"pwritev2", "the guest writes"},
    {"pwritev", "the C library's way of the same, without flags"},
    {"fdatasync", "the guest flushes"},
    {"fallocate", "the guest discards: a hole, which takes no room",
     ArgumentIs(1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)},
    // With KEEP_SIZE it would take room behind the end, whatever RLIMIT_FSIZE says.
    {"fallocate", "the guest writes zeroes", ArgumentIs(1, FALLOC_FL_ZERO_RANGE)},
};

}  // namespace

const RuleSet kDiskRules = kRules;

}  // namespace msb
