// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/boot/command_line.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/matchers.h"

namespace msb {
namespace {

TEST(CommandLineTest, NamesTheDevicesInOrderAndPutsTheSpecLast) {
  const std::vector<MmioWindow> windows = {
      {{GuestAddress{0xd0000000}, 0x1000}, 5},
      {{GuestAddress{0xd0001000}, 0x1000}, 6},
  };
  ASSERT_OK_AND_ASSIGN(const std::string line,
                       BuildCommandLine({.virtio_devices = windows, .extra = "quiet msb.x=1"}));
  EXPECT_EQ(line,
            "console=ttyS0 reboot=t panic=-1 virtio_mmio.device=4096@0xd0000000:5 "
            "virtio_mmio.device=4096@0xd0001000:6 quiet msb.x=1");
}

TEST(CommandLineTest, SparesTheEmulatorOnlyWhereThereIsOne) {
  ASSERT_OK_AND_ASSIGN(const std::string hardware, BuildCommandLine({}));
  EXPECT_EQ(hardware.find("noxsave"), std::string::npos);
  EXPECT_EQ(hardware.find("clearcpuid"), std::string::npos);
  ASSERT_OK_AND_ASSIGN(const std::string emulated, BuildCommandLine({.emulated_ring0 = true}));
  EXPECT_NE(emulated.find(" noxsave clearcpuid=308,"), std::string::npos);
}

TEST(CommandLineTest, RefusesWhatLinuxWouldCut) {
  const std::string ours = *BuildCommandLine({});
  const std::string fits(kMaxCommandLineBytes - ours.size() - 1, 'x');
  EXPECT_OK(BuildCommandLine({.extra = fits}));
  EXPECT_THAT(BuildCommandLine({.extra = fits + "x"}), HasReason(Reason::kVmSpecInvalid));
}

TEST(CommandLineTest, RefusesControlCharacters) {
  for (const std::string& bad :
       {std::string("a\nb"), std::string("a\0b", 3), std::string("\xc3")}) {
    EXPECT_THAT(BuildCommandLine({.extra = bad}), HasReason(Reason::kVmSpecInvalid));
  }
}

}  // namespace
}  // namespace msb
