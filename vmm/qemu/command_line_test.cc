// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/qemu/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/matchers.h"
#include "vmm/devices/virtio/spec/net.h"

namespace msb {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

QemuCommandLineInput Input() {
  QemuCommandLineInput input;
  input.directory = "/qemu";
  input.memory_mib = 512;
  input.kernel_fd = 7;
  input.initramfs_fd = 8;
  input.kernel_command_line = "console=ttyS0";
  input.monitor_fd = 9;
  input.console_fd = 10;
  return input;
}

// The values of every `option` of the line.
std::vector<std::string> ValuesOf(const std::vector<std::string>& line, const std::string& option) {
  std::vector<std::string> values;
  for (size_t i = 0; i + 1 < line.size(); ++i) {
    if (line[i] == option) values.push_back(line[i + 1]);
  }
  return values;
}

TEST(QemuCommandLineTest, StartsQemuByTheFoldersOwnLoader) {
  ASSERT_OK_AND_ASSIGN(const auto line, BuildQemuCommandLine(Input()));

  EXPECT_EQ(line[0], "/qemu/lib/ld-linux-x86-64.so.2");
  EXPECT_THAT(ValuesOf(line, "--library-path"), ElementsAre("/qemu/lib"));
  EXPECT_THAT(line, Contains("/qemu/bin/qemu-system-x86_64"));
  EXPECT_THAT(ValuesOf(line, "-L"), ElementsAre("/qemu/share"));
}

TEST(QemuCommandLineTest, NamesNoFileOfTheHostButByDescriptor) {
  ASSERT_OK_AND_ASSIGN(const auto line, BuildQemuCommandLine(Input()));

  EXPECT_THAT(ValuesOf(line, "-kernel"), ElementsAre("/proc/self/fd/7"));
  EXPECT_THAT(ValuesOf(line, "-initrd"), ElementsAre("/proc/self/fd/8"));
  EXPECT_THAT(ValuesOf(line, "-append"), ElementsAre("console=ttyS0"));
  EXPECT_THAT(ValuesOf(line, "-chardev"),
              ElementsAre("socket,id=qmp,fd=9", "socket,id=console,fd=10"));
}

TEST(QemuCommandLineTest, LeavesTheInitramfsOutWhereThereIsNone) {
  QemuCommandLineInput input = Input();
  input.initramfs_fd = -1;
  ASSERT_OK_AND_ASSIGN(const auto line, BuildQemuCommandLine(input));

  EXPECT_THAT(line, Not(Contains("-initrd")));
}

TEST(QemuCommandLineTest, SharesAllOfTheGuestsMemory) {
  ASSERT_OK_AND_ASSIGN(const auto line, BuildQemuCommandLine(Input()));

  EXPECT_THAT(ValuesOf(line, "-m"), ElementsAre("512M"));
  EXPECT_THAT(ValuesOf(line, "-object"),
              ElementsAre("memory-backend-memfd,id=ram,share=on,size=512M"));
}

TEST(QemuCommandLineTest, TakesAMemoryFileThatIsThere) {
  QemuCommandLineInput input = Input();
  input.memory_fd = 11;
  ASSERT_OK_AND_ASSIGN(const auto line, BuildQemuCommandLine(input));

  EXPECT_THAT(ValuesOf(line, "-object"),
              ElementsAre("memory-backend-file,id=ram,share=on,size=512M,"
                          "mem-path=/proc/self/fd/11"));
}

TEST(QemuCommandLineTest, AMachineThatWaitsForItsStateHasNoKernel) {
  QemuCommandLineInput input = Input();
  input.incoming = true;
  ASSERT_OK_AND_ASSIGN(const auto line, BuildQemuCommandLine(input));

  EXPECT_THAT(ValuesOf(line, "-incoming"), ElementsAre("defer"));
  for (const char* option : {"-kernel", "-initrd", "-append"}) {
    EXPECT_THAT(line, Not(Contains(option)));
  }
}

TEST(QemuCommandLineTest, NamesEmptyPlacesInTheOrderInWhichTheyAreFilled) {
  ASSERT_OK_AND_ASSIGN(const std::string line,
                       BuildQemuGuestCommandLine({.extra = "quiet", .name_empty_places = true}));

  EXPECT_THAT(line, testing::HasSubstr(" virtio_mmio.device=512@0xfeb00e00:12"
                                       " virtio_mmio.device=512@0xfeb00c00:11"));
  EXPECT_THAT(line, testing::EndsWith(" virtio_mmio.device=512@0xfeb00000:5 quiet"));
}

TEST(QemuCommandLineTest, GivesEachDeviceAPlaceInOrder) {
  QemuCommandLineInput input = Input();
  input.vhost_user = {{.device = DeviceId::kVsock, .fd = 20},
                      {.device = DeviceId::kBlock, .fd = 21},
                      {.device = DeviceId::kRng, .fd = 22}};
  input.balloon.emplace();
  ASSERT_OK_AND_ASSIGN(const auto line, BuildQemuCommandLine(input));

  EXPECT_THAT(ValuesOf(line, "-device"),
              ElementsAre("vhost-user-vsock-device,chardev=vhost0,bus=virtio-mmio-bus.7",
                          "vhost-user-blk,num-queues=1,chardev=vhost1,bus=virtio-mmio-bus.6",
                          "vhost-user-rng,chardev=vhost2,bus=virtio-mmio-bus.5",
                          "virtio-balloon-device,deflate-on-oom=off,free-page-reporting=off,"
                          "bus=virtio-mmio-bus.4"));
  EXPECT_THAT(ValuesOf(line, "-chardev"), Contains("socket,id=vhost1,fd=21"));
}

TEST(QemuCommandLineTest, TellsQemuTheTagAndTheQueuesOfAFileSystem) {
  QemuCommandLineInput input = Input();
  input.vhost_user = {{DeviceId::kFs, 20, {{.tag = "a,b", .queue_size = 512}}}};

  const auto line = BuildQemuCommandLine(input);

  ASSERT_OK(line);
  EXPECT_THAT(
      *line,
      Contains(testing::StartsWith("vhost-user-fs-device,queue-size=512,tag=a,,b,chardev=")));
}

TEST(QemuCommandLineTest, TellsQemuTheAddressAndMtuOfANetworkCard) {
  QemuCommandLineInput input = Input();
  virtio::NetConfig config{.mac = {2, 0, 0, 0, 0xab, 1}, .mtu = 65520};
  input.vhost_user = {{.device = DeviceId::kNet,
                       .config = std::string(reinterpret_cast<char*>(&config), sizeof(config)),
                       .abstract_socket = "net-7"}};
  ASSERT_OK_AND_ASSIGN(const auto line, BuildQemuCommandLine(input));

  EXPECT_THAT(
      ValuesOf(line, "-device"),
      ElementsAre("virtio-net-device,netdev=net0,mac=02:00:00:00:ab:01,host_mtu=65520,"
                  "ctrl_vq=off,ctrl_rx=off,ctrl_rx_extra=off,ctrl_vlan=off,ctrl_mac_addr=off,"
                  "ctrl_guest_offloads=off,guest_announce=off,bus=virtio-mmio-bus.7"));
  EXPECT_THAT(ValuesOf(line, "-netdev"), ElementsAre("vhost-user,id=net0,chardev=vhost0"));
  EXPECT_THAT(ValuesOf(line, "-chardev"), Contains("socket,id=vhost0,path=net-7,abstract=on"));
}

TEST(QemuCommandLineTest, PassesTheBalloonsOptionsOn) {
  QemuCommandLineInput input = Input();
  using Balloon = QemuCommandLineInput::Balloon;
  input.balloon = Balloon{.out_of_memory = Balloon::OutOfMemory::kDeflate,
                          .free_pages = Balloon::FreePages::kReport};
  ASSERT_OK_AND_ASSIGN(const auto line, BuildQemuCommandLine(input));

  EXPECT_THAT(ValuesOf(line, "-device")[0], HasSubstr("deflate-on-oom=on,free-page-reporting=on"));
}

TEST(QemuCommandLineTest, RefusesMoreDevicesThanThereArePlaces) {
  QemuCommandLineInput input = Input();
  input.vhost_user.assign(kMaxQemuDevices, {.device = DeviceId::kBlock, .fd = 20});
  EXPECT_OK(BuildQemuCommandLine(input));

  input.balloon.emplace();

  EXPECT_THAT(BuildQemuCommandLine(input), HasReason(Reason::kUnsupportedByEngine));
}

TEST(QemuCommandLineTest, RefusesADeviceThatQemuHasNoFrontEndFor) {
  QemuCommandLineInput input = Input();
  input.vhost_user = {{.device = DeviceId::kBalloon, .fd = 20}};

  EXPECT_THAT(BuildQemuCommandLine(input), HasReason(Reason::kUnsupportedByEngine));
}

// Within what a sandbox's cgroup has beside its guest's memory ([jail] qemu_overhead_mib).
TEST(QemuCommandLineTest, RunsEachCpuOfATcgMachineOnItsOwnThreadAndBoundsItsCode) {
  QemuCommandLineInput input = Input();
  input.vcpus = 4;
  ASSERT_OK_AND_ASSIGN(const auto several, BuildQemuCommandLine(input));
  input.accelerator = QemuAccelerator::kKvm;
  ASSERT_OK_AND_ASSIGN(const auto kvm, BuildQemuCommandLine(input));

  EXPECT_THAT(ValuesOf(several, "-accel"), ElementsAre("tcg,thread=multi,tb-size=192"));
  EXPECT_THAT(ValuesOf(several, "-smp"), ElementsAre("4"));
  EXPECT_THAT(ValuesOf(kvm, "-accel"), ElementsAre("kvm"));
  EXPECT_THAT(ValuesOf(kvm, "-cpu"), ElementsAre("host"));
}

TEST(QemuGuestCommandLineTest, PutsTheSpecsWordsLast) {
  ASSERT_OK_AND_ASSIGN(const std::string line, BuildQemuGuestCommandLine({.extra = "loglevel=7"}));

  EXPECT_THAT(line, ::testing::StartsWith("console=ttyS0 "));
  EXPECT_THAT(line, ::testing::EndsWith(" loglevel=7"));
}

TEST(QemuGuestCommandLineTest, TellsTheClocksRateWhereItIsKnown) {
  ASSERT_OK_AND_ASSIGN(const std::string known, BuildQemuGuestCommandLine({.tsc_khz = 2600000}));
  ASSERT_OK_AND_ASSIGN(const std::string unknown, BuildQemuGuestCommandLine({}));

  EXPECT_THAT(known, HasSubstr("tsc_early_khz=2600000"));
  EXPECT_THAT(unknown, Not(HasSubstr("tsc")));
}

TEST(QemuGuestCommandLineTest, RefusesLinesThatAreTooLongOrNotPrintable) {
  EXPECT_THAT(BuildQemuGuestCommandLine({.extra = std::string(2000, 'x')}),
              HasReason(Reason::kVmSpecInvalid));
  EXPECT_THAT(BuildQemuGuestCommandLine({.extra = "a\nb"}), HasReason(Reason::kVmSpecInvalid));
}

}  // namespace
}  // namespace msb
