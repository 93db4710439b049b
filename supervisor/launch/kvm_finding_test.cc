// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/kvm_finding.h"

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace msb {
namespace {

TEST(KvmFindingTest, ReadsAnAnswer) {
  ASSERT_OK_AND_ASSIGN(
      const KvmFinding finding,
      ParseKvmFinding("{\"kvm\": \"hardware\", \"loop_ms\": 0.42, \"detail\": \"a \\\"b\\\" c\", "
                      "\"later\": true}\n"));

  EXPECT_EQ(finding.state, KvmState::kHardware);
  EXPECT_EQ(finding.loop_ms, 0.42);
  EXPECT_EQ(finding.detail, "a \"b\" c");
}

TEST(KvmFindingTest, DoesWithoutTheRest) {
  ASSERT_OK_AND_ASSIGN(const KvmFinding finding, ParseKvmFinding(R"({"kvm":"unusable"})"));

  EXPECT_EQ(finding.state, KvmState::kUnusable);
  EXPECT_EQ(finding.loop_ms, 0);
}

TEST(KvmFindingTest, RefusesEverythingElse) {
  for (const char* text :
       {"", "{", "{}", "[]", "hardware", R"({"kvm":hardware"})", R"({"kvm":"hardware")",
        R"({"kvm":"hardware"} more)", R"({"kvm":"other"})", R"({"kvm":})", R"({"kvm":"hard)",
        R"({"kvm":"hardware","loop_ms":"fast"})", R"({"kvm":"hardware\)", R"({"kvm":"\u0041"})",
        R"({"kvm":"hardware",})", "{\"kvm\"\x01:\"hardware\"}"}) {
    EXPECT_THAT(ParseKvmFinding(text), HasReason(Reason::kHostError)) << text;
  }
}

}  // namespace
}  // namespace msb
