// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/descriptor_limit.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "tests/support/matchers.h"

namespace msb {
namespace {

TEST(DescriptorLimitTest, ReachesTheHardLimitAndLeavesThatAlone) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{.rlim_cur = 64, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  ASSERT_OK_AND_ASSIGN(const uint64_t raised, RaiseDescriptorLimit());
  EXPECT_EQ(raised, before.rlim_max);
  rlimit after{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
  EXPECT_EQ(after.rlim_max, before.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace
}  // namespace msb
