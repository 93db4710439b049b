// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "vmm/devices/legacy/boot_mark_port.h"
#include "vmm/devices/legacy/reset_port.h"

namespace msb {
namespace {

TEST(ResetPortTest, ResetsOnItsCommandAlone) {
  int resets = 0;
  ResetPort port([&] { ++resets; });
  uint8_t status = 0xff;
  port.Read(0, {&status, 1});
  EXPECT_EQ(status, 0);

  for (const uint8_t command : std::initializer_list<uint8_t>{0x00, 0xaa, 0xff})
    port.Write(0, {&command, 1});
  EXPECT_EQ(resets, 0);
  port.Write(0, {&ResetPort::kResetCommand, 1});
  EXPECT_EQ(resets, 1);
}

TEST(BootMarkPortTest, HandsOnEachStage) {
  std::vector<int> stages;
  BootMarkPort port([&](uint8_t stage) { stages.push_back(stage); });

  for (const uint8_t stage : std::initializer_list<uint8_t>{1, 3, 200}) port.Write(0, {&stage, 1});

  EXPECT_THAT(stages, ::testing::ElementsAre(1, 3, 200));
}

}  // namespace
}  // namespace msb
