// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/engine_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace msb {
namespace {

namespace pb = msb::vmm::v1;
using testing::HasSubstr;

EngineFacts Facts(KvmState kvm, const std::string& qemu_problem) {
  return {.kvm = {.state = kvm, .loop_ms = 1204, .detail = "no /dev/kvm"},
          .qemu_problem = qemu_problem};
}

TEST(ChooseEngineTest, AutoTakesKvmOnHardware) {
  ASSERT_OK_AND_ASSIGN(const EngineChoice choice,
                       ChooseEngine(Facts(KvmState::kHardware, ""), EnginePreference::kAuto));

  EXPECT_EQ(choice.engine, pb::ENGINE_KVM);
  EXPECT_THAT(choice.explanation, HasSubstr("hardware"));
}

TEST(ChooseEngineTest, AutoTakesQemuWhereKvmEmulates) {
  ASSERT_OK_AND_ASSIGN(const EngineChoice choice,
                       ChooseEngine(Facts(KvmState::kEmulated, ""), EnginePreference::kAuto));

  EXPECT_EQ(choice.engine, pb::ENGINE_QEMU);
  EXPECT_THAT(choice.explanation, HasSubstr("emulates"));
  EXPECT_THAT(choice.explanation, HasSubstr("timed loop: 1204 ms"));
}

TEST(ChooseEngineTest, AutoTakesQemuWithoutKvm) {
  ASSERT_OK_AND_ASSIGN(const EngineChoice choice,
                       ChooseEngine(Facts(KvmState::kUnusable, ""), EnginePreference::kAuto));

  EXPECT_EQ(choice.engine, pb::ENGINE_QEMU);
  EXPECT_THAT(choice.explanation, HasSubstr("no /dev/kvm"));
}

TEST(ChooseEngineTest, AutoTakesSlowKvmBeforeNothing) {
  ASSERT_OK_AND_ASSIGN(
      const EngineChoice choice,
      ChooseEngine(Facts(KvmState::kEmulated, "no QEMU"), EnginePreference::kAuto));

  EXPECT_EQ(choice.engine, pb::ENGINE_KVM);
  EXPECT_THAT(choice.explanation, HasSubstr("no QEMU"));
}

TEST(ChooseEngineTest, NamesBothCausesWhenNothingCanRun) {
  const auto choice = ChooseEngine(Facts(KvmState::kUnusable, "no QEMU"), EnginePreference::kAuto);

  EXPECT_THAT(choice, HasReason(Reason::kKvmUnavailable));
  EXPECT_THAT(std::string(choice.status().message()), HasSubstr("no /dev/kvm"));
  EXPECT_THAT(std::string(choice.status().message()), HasSubstr("no QEMU"));
}

TEST(ChooseEngineTest, TakesWhatIsAskedForOrRefuses) {
  EXPECT_EQ(ChooseEngine(Facts(KvmState::kEmulated, ""), EnginePreference::kKvm)->engine,
            pb::ENGINE_KVM);
  EXPECT_EQ(ChooseEngine(Facts(KvmState::kHardware, ""), EnginePreference::kQemu)->engine,
            pb::ENGINE_QEMU);
  EXPECT_THAT(ChooseEngine(Facts(KvmState::kUnusable, ""), EnginePreference::kKvm),
              HasReason(Reason::kKvmUnavailable));
  EXPECT_THAT(ChooseEngine(Facts(KvmState::kHardware, "no QEMU"), EnginePreference::kQemu),
              HasReason(Reason::kQemuUnavailable));
}

TEST(KvmKindTest, OnlyMeasuredEmulationIsTreatedAsSuch) {
  EXPECT_EQ(KvmKindOf({.state = KvmState::kEmulated}), KvmKind::kEmulatedRing0);
  EXPECT_EQ(KvmKindOf({.state = KvmState::kHardware}), KvmKind::kHardware);
  EXPECT_EQ(KvmKindOf({.state = KvmState::kUnusable}), KvmKind::kHardware);
}

}  // namespace
}  // namespace msb
