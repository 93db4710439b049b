// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>

#include "supervisor/config/settings.h"
#include "supervisor/sandbox/lifecycle.h"
#include "supervisor/sandbox/names.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using msb::v1::SandboxSpec;
using testing::HasSubstr;

TEST(ValidateSandboxNameTest, TakesWhatTheApiDocuments) {
  for (const char* name : {"a", "0", "quiet-heron-42", "my_box.v2", "a--", "9.."}) {
    EXPECT_OK(ValidateSandboxName(name)) << name;
  }
  EXPECT_OK(ValidateSandboxName(std::string(128, 'a')));
}

TEST(ValidateSandboxNameTest, RefusesEverythingElse) {
  const std::string nul("a\0b", 3);
  for (const std::string& name :
       {std::string(), std::string("a/b"), std::string(".."), std::string(".a"), std::string("-a"),
        std::string("_a"), std::string("A"), std::string("a b"), std::string("ä"), nul,
        std::string("a\n"), std::string(129, 'a')}) {
    EXPECT_THAT(ValidateSandboxName(name), HasReason(Reason::kInvalidName)) << name;
  }
}

TEST(ValidateImageNameTest, CannotLeaveTheFolderOfImages) {
  EXPECT_OK(ValidateImageName("default"));
  for (const char* name : {"", "..", "../default", "a/b", "/etc"}) {
    EXPECT_THAT(ValidateImageName(name), HasReason(Reason::kInvalidArgument)) << name;
  }
}

struct ResourceCase {
  const char* why;
  uint32_t vcpus, memory_mib, cpu_milli, disk_mib;
  bool allowed;
};

class ResourcesTest : public testing::TestWithParam<ResourceCase> {};

TEST_P(ResourcesTest, AreHeldAgainstTheLimits) {
  const ResourceCase& resources = GetParam();
  SandboxSpec spec;
  spec.mutable_resources()->set_vcpus(resources.vcpus);
  spec.mutable_resources()->set_memory_mib(resources.memory_mib);
  spec.mutable_resources()->set_cpu_milli(resources.cpu_milli);
  spec.mutable_resources()->set_disk_mib(resources.disk_mib);
  const auto completed = CompleteSpec(spec, DefaultConfig());
  if (resources.allowed) {
    EXPECT_OK(completed);
  } else {
    EXPECT_THAT(completed, HasReason(Reason::kInvalidResources));
  }
}

INSTANTIATE_TEST_SUITE_P(All, ResourcesTest,
                         testing::Values(ResourceCase{"defaults", 0, 0, 0, 0, true},
                                         ResourceCase{"largest", 32, 65536, 32000, 1048576, true},
                                         ResourceCase{"smallest", 1, 64, 10, 16, true},
                                         ResourceCase{"too_many_vcpus", 33, 0, 0, 0, false},
                                         ResourceCase{"wrapped_vcpus", 0xffffffff, 0, 0, 0, false},
                                         ResourceCase{"too_little_memory", 1, 63, 0, 0, false},
                                         ResourceCase{"too_much_memory", 1, 65537, 0, 0, false},
                                         ResourceCase{"too_little_cpu", 1, 0, 9, 0, false},
                                         ResourceCase{"more_cpu_than_vcpus", 2, 0, 2001, 0, false},
                                         ResourceCase{"too_small_a_disk", 1, 0, 0, 15, false},
                                         ResourceCase{"too_large_a_disk", 1, 0, 0, 1048577, false}),
                         [](const auto& test) { return test.param.why; });

TEST(CompleteSpecTest, FillsInEveryDefault) {
  Config config = DefaultConfig();
  config.sandbox.idle_timeout = absl::Milliseconds(1500);
  ASSERT_OK_AND_ASSIGN(const SandboxSpec spec, CompleteSpec({}, config));
  EXPECT_EQ(spec.image(), "default");
  EXPECT_EQ(spec.resources().vcpus(), 1u);
  EXPECT_EQ(spec.resources().cpu_milli(), 1000u);
  EXPECT_EQ(spec.engine(), msb::v1::ENGINE_AUTO);
  EXPECT_EQ(spec.limits().idle_timeout().seconds(), 1);
  EXPECT_EQ(spec.limits().idle_timeout().nanos(), 500'000'000);
  EXPECT_TRUE(spec.limits().has_lifetime());
}

TEST(CompleteSpecTest, AZeroLimitStandsOverADefault) {
  Config config = DefaultConfig();
  config.sandbox.lifetime = absl::Hours(1);
  SandboxSpec spec;
  spec.mutable_limits()->mutable_lifetime();
  ASSERT_OK_AND_ASSIGN(spec, CompleteSpec(spec, config));
  EXPECT_EQ(spec.limits().lifetime().seconds(), 0);
}

TEST(CompleteSpecTest, RefusesWhatTheGuestCannotCarry) {
  const Config config = DefaultConfig();
  SandboxSpec spec;
  (*spec.mutable_env())["A=B"] = "c";
  EXPECT_THAT(CompleteSpec(spec, config), HasReason(Reason::kInvalidArgument));
  spec = {};
  (*spec.mutable_env())["A"] = std::string(200'000, 'x');
  EXPECT_THAT(CompleteSpec(spec, config), HasReason(Reason::kInvalidArgument));
  spec = {};
  spec.set_workdir("relative");
  EXPECT_THAT(CompleteSpec(spec, config), HasReason(Reason::kPathInvalid));
  spec = {};
  (*spec.mutable_labels())["a=b"] = "";
  EXPECT_THAT(CompleteSpec(spec, config), HasReason(Reason::kInvalidArgument));
  spec = {};
  spec.mutable_limits()->mutable_lifetime()->set_seconds(-1);
  EXPECT_THAT(CompleteSpec(spec, config), HasReason(Reason::kInvalidArgument));
  spec = {};
  spec.set_engine(static_cast<msb::v1::Engine>(17));
  EXPECT_THAT(CompleteSpec(spec, config), HasReason(Reason::kInvalidArgument));
}

TEST(MergeLimitsTest, ChangesOnlyWhatIsSet) {
  msb::v1::Limits limits;
  limits.mutable_lifetime()->set_seconds(60);
  limits.mutable_idle_timeout()->set_seconds(30);
  msb::v1::Limits changes;
  changes.mutable_idle_timeout()->set_seconds(0);
  ASSERT_OK(MergeLimits(changes, limits));
  EXPECT_EQ(limits.lifetime().seconds(), 60);
  EXPECT_EQ(limits.idle_timeout().seconds(), 0);
}

TEST(MakeUpNameTest, IsValidAndFreeEvenWhenAlmostAllAreTaken) {
  std::mt19937 random(1);
  std::set<std::string> given;
  for (int i = 0; i < 3000; ++i) {
    const std::string name =
        MakeUpName(random, [&](absl::string_view n) { return given.contains(std::string(n)); });
    EXPECT_OK(ValidateSandboxName(name));
    EXPECT_TRUE(given.insert(name).second) << name;
  }
}

TEST(LifecycleTest, ARunEndsOnlyThroughStopping) {
  using msb::v1::SANDBOX_STATE_CREATING;
  using msb::v1::SANDBOX_STATE_FAILED;
  using msb::v1::SANDBOX_STATE_PAUSED;
  using msb::v1::SANDBOX_STATE_RUNNING;
  using msb::v1::SANDBOX_STATE_STARTING;
  using msb::v1::SANDBOX_STATE_STOPPED;
  using msb::v1::SANDBOX_STATE_STOPPING;
  using msb::v1::SandboxState;
  for (const SandboxState state :
       {SANDBOX_STATE_STARTING, SANDBOX_STATE_RUNNING, SANDBOX_STATE_PAUSED}) {
    EXPECT_TRUE(MayFollow(state, SANDBOX_STATE_STOPPING));
    EXPECT_FALSE(MayFollow(state, SANDBOX_STATE_STOPPED));
    EXPECT_FALSE(MayFollow(state, SANDBOX_STATE_FAILED));
  }
  EXPECT_TRUE(MayFollow(SANDBOX_STATE_FAILED, SANDBOX_STATE_STARTING));
  EXPECT_FALSE(MayFollow(SANDBOX_STATE_CREATING, SANDBOX_STATE_STARTING));
  EXPECT_FALSE(MayFollow(SANDBOX_STATE_STOPPED, SANDBOX_STATE_RUNNING));
}

TEST(ResizeDiskTest, GrowsWithinTheLimitAndNeverShrinks) {
  LimitsConfig limits = DefaultConfig().limits;
  limits.max_disk_mib = 100;
  msb::v1::Resources resources;
  resources.set_disk_mib(32);

  EXPECT_OK(ResizeDisk(64, limits, resources));
  EXPECT_EQ(resources.disk_mib(), 64u);
  EXPECT_OK(ResizeDisk(64, limits, resources));
  EXPECT_THAT(ResizeDisk(63, limits, resources), HasReason(Reason::kInvalidResources));
  EXPECT_THAT(ResizeDisk(101, limits, resources), HasReason(Reason::kInvalidResources));
  EXPECT_EQ(resources.disk_mib(), 64u);
  resources.set_disk_in_memory(true);
  EXPECT_THAT(ResizeDisk(80, limits, resources), HasReason(Reason::kInvalidResources));
}

}  // namespace
}  // namespace msb
