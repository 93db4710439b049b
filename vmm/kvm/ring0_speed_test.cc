// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/ring0_speed.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/guests/memory_file.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

TEST(Ring0SpeedTest, RunsTheLoopOrAPartOfIt) {
  UniqueFd device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!device.valid()) GTEST_SKIP() << "no /dev/kvm";
  ASSERT_OK_AND_ASSIGN(const Ring0Speed speed, MeasureRing0Speed(std::move(device)));
  EXPECT_GT(speed.iterations, 0u);
  EXPECT_LE(speed.iterations, kRing0LoopIterations);
  EXPECT_GT(speed.loop, absl::ZeroDuration());
  EXPECT_LT(speed.loop, absl::InfiniteDuration());
}

TEST(Ring0SpeedTest, SaysWhyADescriptorIsUnusable) {
  const auto speed = MeasureRing0Speed(MemoryFile(""));
  EXPECT_THAT(speed, HasReason(Reason::kKvmUnavailable));
  EXPECT_THAT(Ring0SpeedAsJson(speed),
              ::testing::StartsWith(R"({"kvm":"unusable","loop_ms":0,"detail":"the descriptor)"));
}

TEST(Ring0SpeedTest, PrintsWhatTheDaemonReads) {
  EXPECT_EQ(
      Ring0SpeedAsJson(Ring0Speed{absl::Microseconds(412), 1'000'000}),
      R"({"kvm":"hardware","loop_ms":0.412,"detail":"1000000 of 1000000 iterations of a ring 0 )"
      R"(loop were run"})");
  EXPECT_THAT(Ring0SpeedAsJson(Ring0Speed{absl::Milliseconds(1200), 80'000}),
              ::testing::StartsWith(R"({"kvm":"emulated","loop_ms":1200.000,)"));
  EXPECT_EQ(Ring0SpeedAsJson(absl::InternalError("a \"b\" \\ \n")),
            R"({"kvm":"unusable","loop_ms":0,"detail":"a \"b\" \\ \\x0a"})");
}

}  // namespace
}  // namespace msb
