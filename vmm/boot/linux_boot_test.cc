// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/boot/linux_boot.h"

#include <asm/bootparam.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/guests/tiny_guests.h"
#include "tests/support/matchers.h"
#include "vmm/boot/address_map.h"

namespace msb {
namespace {

class LinuxBootTest : public ::testing::Test {
 protected:
  void Load(uint32_t memory_mib) {
    memory_ =
        std::make_unique<GuestMemory>(*GuestMemory::Allocate(address_map::RamRanges(memory_mib)));
    boot_.kernel = kernel_.get();
    ASSERT_OK_AND_ASSIGN(const GuestAddress entry, LoadLinux(*memory_, boot_));
    EXPECT_EQ(ToUint64(entry), kTinyKernelAddress);
    params_ = *memory_->Load<boot_params>(address_map::kZeroPage);
  }
  struct E820 {
    uint64_t start, end;
    uint32_t type;
    bool operator==(const E820&) const = default;
  };
  std::vector<E820> Map() const {
    std::vector<E820> map;
    for (int i = 0; i < params_.e820_entries; ++i) {
      const boot_e820_entry& entry = params_.e820_table[i];
      map.push_back({entry.addr, entry.addr + entry.size, entry.type});
    }
    return map;
  }

  UniqueFd kernel_ = TinyKernel(MSB_TINY_GUEST(halt));
  LinuxBoot boot_;
  std::unique_ptr<GuestMemory> memory_;
  boot_params params_{};
};

TEST_F(LinuxBootTest, DescribesSmallMemory) {
  Load(64);
  EXPECT_EQ(Map(),
            (std::vector<E820>{{0, 0x9fc00, 1}, {0x9fc00, 0xa0000, 2}, {0x100000, 64 << 20, 1}}));
}

TEST_F(LinuxBootTest, LeavesTheHoleOfTheDevicesOut) {
  constexpr uint64_t kGibibyte = 1 << 30;
  Load(3 * 1024);
  EXPECT_EQ(Map().back(), (E820{0x100000, 3 * kGibibyte, 1}));
  Load(3 * 1024 + 1);
  EXPECT_EQ(Map().back(), (E820{4 * kGibibyte, 4 * kGibibyte + (1 << 20), 1}));
  Load(1048576);
  EXPECT_EQ(Map().back(), (E820{4 * kGibibyte, 1025 * kGibibyte, 1}));
}

TEST_F(LinuxBootTest, PassesTheCommandLine) {
  boot_.command_line = "console=ttyS0 quiet";
  Load(64);
  EXPECT_EQ(params_.hdr.cmdline_size, 19u);
  const auto bytes = *memory_->Bytes({GuestAddress{params_.hdr.cmd_line_ptr}, 20});
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), std::string("console=ttyS0 quiet\0", 20));
}

TEST_F(LinuxBootTest, PutsTheInitramfsAtTheEndOfLowRam) {
  std::string content(2 * 4096 + 5, 'i');
  content[4096] = 'I';
  const UniqueFd initramfs = MemoryFile(content);
  boot_.initramfs = initramfs.get();
  for (const FilePlacement placement : {FilePlacement::kMap, FilePlacement::kCopy}) {
    boot_.placement = placement;
    Load(64);
    EXPECT_EQ(params_.hdr.ramdisk_image, (64u << 20) - 3 * 4096);
    EXPECT_EQ(params_.hdr.ramdisk_size, content.size());
    const auto bytes = *memory_->Bytes({GuestAddress{params_.hdr.ramdisk_image}, content.size()});
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()), content);
  }
}

TEST_F(LinuxBootTest, RefusesAnInitramfsThatDoesNotFit) {
  GuestMemory memory = *GuestMemory::Allocate(address_map::RamRanges(64));
  boot_.kernel = kernel_.get();
  const UniqueFd large = MemoryFile("");
  ASSERT_EQ(::ftruncate(large.get(), 63 << 20), 0);
  boot_.initramfs = large.get();
  EXPECT_THAT(LoadLinux(memory, boot_), HasReason(Reason::kKernelTooLarge));
  const UniqueFd empty = MemoryFile("");
  boot_.initramfs = empty.get();
  EXPECT_THAT(LoadLinux(memory, boot_), HasReason(Reason::kKernelInvalid));
}

}  // namespace
}  // namespace msb
