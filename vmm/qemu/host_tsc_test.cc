// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/qemu/host_tsc.h"

#include <gtest/gtest.h>

namespace msb {
namespace {

TEST(HostTscMeterTest, MeasuresARateThatAProcessorCanHave) {
  const std::optional<uint64_t> khz = HostTscMeter().Khz();
  if (!khz.has_value()) GTEST_SKIP() << "the counter of this host is not invariant";

  EXPECT_GT(*khz, 100'000u);
  EXPECT_LT(*khz, 20'000'000u);
}

}  // namespace
}  // namespace msb
