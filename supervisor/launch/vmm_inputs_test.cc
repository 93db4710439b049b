// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/vmm_inputs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "base/frames.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

namespace pb = msb::vmm::v1;
using testing::ElementsAre;
using testing::HasSubstr;

class VmmInputsTest : public testing::Test {
 protected:
  VmmInputsTest() {
    for (const char* name : {"kernel", "initramfs", "image"}) folder_.Write(name, name);
    folder_.Write("disk", std::string(5000, 'd'));
    spec_.id = "box";
    spec_.engine = pb::ENGINE_QEMU;
    spec_.kernel_path = folder_.path() + "/kernel";
    spec_.initramfs_path = folder_.path() + "/initramfs";
    spec_.disks = {{.id = "root", .path = folder_.path() + "/image"},
                   {.id = "layer", .path = folder_.path() + "/disk", .read_only = false}};
    plan_.guest_cid = 12;
  }
  absl::StatusOr<VmmInputs> Open() { return OpenVmmInputs(spec_, plan_, options_, {}); }
  TempDir folder_;
  LaunchSpec spec_;
  LaunchPlan plan_;
  LaunchOptions options_;
};

TEST_F(VmmInputsTest, PassesTheSpecAsAFrame) {
  ASSERT_OK_AND_ASSIGN(const VmmInputs inputs, Open());

  ASSERT_OK_AND_ASSIGN(const auto frame,
                       ReadFrame(inputs.fds.at(kSpecFd).get(), absl::InfiniteFuture()));
  pb::VmSpec spec;
  ASSERT_TRUE(frame && spec.ParseFromString(*frame));
  EXPECT_EQ(spec.SerializeAsString(), MakeVmSpec(spec_, plan_, options_, {}).SerializeAsString());
  EXPECT_EQ(spec.id(), "box");
  EXPECT_EQ(spec.vsock().guest_cid(), 12u);
  EXPECT_EQ(spec.qemu().directory(), "/qemu");
  EXPECT_FALSE(spec.has_kvm());
  ASSERT_EQ(spec.disks_size(), 2);
  EXPECT_EQ(spec.disks(1).fd(), kFirstDiskFd + 1);
  EXPECT_FALSE(spec.disks(1).read_only());
}

TEST_F(VmmInputsTest, SealsTheSpec) {
  ASSERT_OK_AND_ASSIGN(const VmmInputs inputs, Open());
  const int fd = inputs.fds.at(kSpecFd).get();

  EXPECT_EQ(::pwrite(fd, "x", 1, 0), -1);
  EXPECT_EQ(::ftruncate(fd, 0), -1);
}

TEST_F(VmmInputsTest, SaysWhatARing0ByEmulationNeeds) {
  spec_.engine = pb::ENGINE_KVM;
  EXPECT_FALSE(MakeVmSpec(spec_, plan_, options_, {}).kvm().emulated_ring0());
  options_.kvm_kind = KvmKind::kEmulatedRing0;
  EXPECT_TRUE(MakeVmSpec(spec_, plan_, options_, {}).kvm().emulated_ring0());
  EXPECT_FALSE(MakeVmSpec(spec_, plan_, options_, {}).has_qemu());
}

TEST_F(VmmInputsTest, TellsTheVmmWhichCompanionServesItsFiles) {
  spec_.file_system = LaunchSpec::FileSystem{.tag = "msb", .companion = 1};

  const pb::VmSpec message = MakeVmSpec(spec_, plan_, options_, {});

  ASSERT_EQ(message.file_systems_size(), 1);
  EXPECT_EQ(message.file_systems(0).tag(), "msb");
  EXPECT_EQ(message.file_systems(0).fd(), VmmFdOfCompanion(1));
}

TEST_F(VmmInputsTest, OpensDisksAsTheSpecSays) {
  ASSERT_OK_AND_ASSIGN(const VmmInputs inputs, Open());

  EXPECT_EQ(::fcntl(inputs.fds.at(kFirstDiskFd).get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(::fcntl(inputs.fds.at(kFirstDiskFd + 1).get(), F_GETFL) & O_ACCMODE, O_RDWR);
  EXPECT_EQ(inputs.largest_disk_bytes, 5000u);
}

TEST_F(VmmInputsTest, PassesAnImagesLayersAsOneDisk) {
  folder_.Write("image", std::string(4096, 'i'));
  folder_.Write("upper", std::string(12288, 'u'));
  spec_.disks[0].more_paths = {folder_.path() + "/upper", folder_.path() + "/image"};
  ASSERT_OK_AND_ASSIGN(const VmmInputs inputs, Open());

  EXPECT_THAT(inputs.layer_bytes, ElementsAre(4096, 12288, 4096));
  EXPECT_EQ(inputs.fds.count(kFirstMoreFd + 1), 1u);
  ASSERT_OK_AND_ASSIGN(const auto frame,
                       ReadFrame(inputs.fds.at(kSpecFd).get(), absl::InfiniteFuture()));
  pb::VmSpec spec;
  ASSERT_TRUE(frame && spec.ParseFromString(*frame));
  EXPECT_THAT(spec.disks(0).more_fds(), ElementsAre(kFirstMoreFd, kFirstMoreFd + 1));
  EXPECT_THAT(spec.command_line(), HasSubstr(" msb.layers=1,3,1 "));
}

TEST_F(VmmInputsTest, RefusesALayerThatNoOtherCanFollow) {
  spec_.disks[0].more_paths = {folder_.path() + "/disk"};  // "image" has 5 bytes

  EXPECT_THAT(Open(), HasReason(Reason::kImageInvalid));
}

TEST_F(VmmInputsTest, ManyMayReadADiskAndOneMayWriteIt) {
  LaunchSpec reader = spec_;
  reader.disks.pop_back();
  ASSERT_OK_AND_ASSIGN(const VmmInputs first, Open());
  EXPECT_OK(OpenVmmInputs(reader, plan_, options_, {}));

  EXPECT_THAT(Open(), HasReason(Reason::kHostError));
}

TEST_F(VmmInputsTest, NamesTheAssetThatIsMissing) {
  spec_.initramfs_path = "/nonexistent";

  const auto inputs = Open();

  EXPECT_THAT(inputs, HasReason(Reason::kAssetMissing));
  EXPECT_THAT(std::string(inputs.status().message()), HasSubstr("initramfs"));
}

TEST_F(VmmInputsTest, RefusesAnAssetThatTheSandboxesUserCouldNotRead) {
  ASSERT_EQ(::chmod(spec_.kernel_path.c_str(), 0600), 0);

  EXPECT_THAT(Open(), HasReason(Reason::kAssetMissing));
}

TEST_F(VmmInputsTest, NumbersStandInTheirPlaces) {
  ASSERT_OK_AND_ASSIGN(const VmmInputs inputs, Open());

  std::vector<int> numbers;
  for (const auto& [number, fd] : inputs.fds) numbers.push_back(number);
  EXPECT_THAT(numbers, ElementsAre(3, 4, 5, 6, 7, 8, 9, 16, 17));
}

TEST_F(VmmInputsTest, ChecksTheSpec) {
  EXPECT_OK(CheckLaunchSpec(spec_));
  const auto with = [&](auto change) {
    LaunchSpec changed = spec_;
    change(changed);
    return CheckLaunchSpec(changed);
  };
  EXPECT_THAT(with([](LaunchSpec& s) { s.id = "a/b"; }), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(with([](LaunchSpec& s) { s.slot = kMaxSlots; }), HasReason(Reason::kLimitExceeded));
  EXPECT_THAT(with([](LaunchSpec& s) { s.engine = pb::ENGINE_UNSPECIFIED; }),
              HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(with([](LaunchSpec& s) { s.vcpus = 33; }), HasReason(Reason::kInvalidResources));
  EXPECT_THAT(with([](LaunchSpec& s) { s.memory_mib = 63; }), HasReason(Reason::kInvalidResources));
  EXPECT_THAT(with([](LaunchSpec& s) { s.cpu_milli = 9; }), HasReason(Reason::kInvalidResources));
  EXPECT_THAT(with([](LaunchSpec& s) { s.disks.resize(kMaxDisks + 1, s.disks[0]); }),
              HasReason(Reason::kInvalidResources));
  EXPECT_THAT(with([](LaunchSpec& s) { s.disks[0].more_paths.resize(kMaxLayers); }),
              HasReason(Reason::kImageTooLarge));
  EXPECT_OK(with([](LaunchSpec& s) { s.disks[0].more_paths.resize(kMaxLayers - 1); }));
  EXPECT_THAT(with([](LaunchSpec& s) { s.disks[1].more_paths.resize(1); }),
              HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(with([](LaunchSpec& s) { s.disks[0].id = std::string(21, 'x'); }),
              HasReason(Reason::kInvalidArgument));
}

}  // namespace
}  // namespace msb
