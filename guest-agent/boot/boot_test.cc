// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The parts of the boot that an ordinary process can do.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "guest-agent/boot/ext4_grow.h"
#include "guest-agent/boot/guest_stats.h"
#include "guest-agent/boot/network.h"
#include "guest-agent/boot/system_files.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

namespace fs = std::filesystem;

TEST(Ext4Test, ReadsTheSizeFromASuperblock) {
  std::string superblock(kExt4SuperblockBytes, '\0');
  EXPECT_FALSE(ParseExt4Superblock(superblock).has_value());
  superblock.replace(0x38, 2, "\x53\xef");
  superblock[0x18] = 2;
  superblock.replace(0x04, 4, std::string("\x00\x00\x10\x00", 4));
  const auto small = ParseExt4Superblock(superblock);
  ASSERT_TRUE(small.has_value());
  EXPECT_EQ(small->block_bytes, 4096u);
  EXPECT_EQ(small->blocks, 1u << 20);
  superblock[0x150] = 1;  // counts only with the 64-bit feature
  EXPECT_EQ(ParseExt4Superblock(superblock)->blocks, 1u << 20);
  superblock[0x60] = static_cast<char>(0x80);
  EXPECT_EQ(ParseExt4Superblock(superblock)->blocks, (uint64_t{1} << 32) + (1u << 20));
}

TEST(Ext4Test, TakesNothingElseForASuperblock) {
  EXPECT_FALSE(ParseExt4Superblock("").has_value());
  std::string superblock(kExt4SuperblockBytes, '\xff');
  superblock.replace(0x38, 2, "\x53\xef");
  EXPECT_FALSE(ParseExt4Superblock(superblock).has_value());
}

TEST(NetworkTest, ReadsAddressAndPrefix) {
  ASSERT_OK_AND_ASSIGN(const Ipv4Network network, ParseIpv4Network("10.1.2.3/20"));
  EXPECT_EQ(ntohl(network.address.s_addr), 0x0a010203u);
  EXPECT_EQ(ntohl(network.netmask.s_addr), 0xfffff000u);
  EXPECT_EQ(ParseIpv4Network("1.2.3.4/0")->netmask.s_addr, 0u);
  EXPECT_EQ(ParseIpv4Network("1.2.3.4/32")->netmask.s_addr, ~0u);
  for (const char* bad : {"", "1.2.3.4", "1.2.3.4/33", "1.2.3/8", "::1/64", "1.2.3.4/-1"}) {
    EXPECT_THAT(ParseIpv4Network(bad), HasReason(Reason::kInvalidArgument)) << bad;
  }
}

class SystemFilesTest : public testing::Test {
 protected:
  void Mend() { MendSystemFiles(directory_.path() + "/etc", parameters_); }

  TempDir directory_;
  BootParameters parameters_;
};

TEST_F(SystemFilesTest, MakesWhatIsMissing) {
  parameters_.hostname = "box";
  parameters_.dns = "10.0.2.3,1.1.1.1";
  Mend();
  EXPECT_EQ(directory_.Read("etc/hosts"),
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 box\n");
  EXPECT_EQ(directory_.Read("etc/resolv.conf"), "nameserver 10.0.2.3\nnameserver 1.1.1.1\n");
}

TEST_F(SystemFilesTest, LeavesWhatIsRightAlone) {
  fs::create_directories(directory_.path() + "/etc");
  directory_.Write("etc/hosts", "127.0.0.1\tlocalhost sandbox\n");
  directory_.Write("etc/resolv.conf", "nameserver 9.9.9.9\n");
  Mend();
  EXPECT_EQ(directory_.Read("etc/hosts"), "127.0.0.1\tlocalhost sandbox\n");
  EXPECT_EQ(directory_.Read("etc/resolv.conf"), "nameserver 9.9.9.9\n");
}

TEST_F(SystemFilesTest, AddsTheHostNameToHosts) {
  fs::create_directories(directory_.path() + "/etc");
  directory_.Write("etc/hosts", "127.0.0.1 localhost # not sandbox");
  Mend();
  EXPECT_EQ(directory_.Read("etc/hosts"), "127.0.0.1 localhost # not sandbox\n127.0.1.1 sandbox\n");
  Mend();
  EXPECT_EQ(directory_.Read("etc/hosts"), "127.0.0.1 localhost # not sandbox\n127.0.1.1 sandbox\n");
}

TEST_F(SystemFilesTest, ReplacesAResolvConfThatLeadsNowhere) {
  fs::create_directories(directory_.path() + "/etc");
  fs::create_symlink("/no/such/stub-resolv.conf", directory_.path() + "/etc/resolv.conf");
  Mend();
  EXPECT_FALSE(fs::is_symlink(directory_.path() + "/etc/resolv.conf"));
  EXPECT_TRUE(fs::exists(directory_.path() + "/etc/resolv.conf"));
}

TEST(GuestStatsTest, SeesTheMachine) {
  const agent::v1::GuestStats stats = CollectGuestStats();
  EXPECT_GT(stats.memory_total_bytes(), stats.memory_available_bytes());
  EXPECT_GT(stats.memory_available_bytes(), 0u);
  EXPECT_GT(stats.disk_total_bytes(), stats.disk_free_bytes());
  EXPECT_GT(stats.processes(), 0u);
  EXPECT_GT(stats.uptime_ns(), 0u);
}

}  // namespace
}  // namespace msb
