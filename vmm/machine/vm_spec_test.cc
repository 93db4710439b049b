// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/machine/vm_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/guests/memory_file.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using msb::vmm::v1::VmSpec;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class VmSpecTest : public ::testing::Test {
 protected:
  VmSpecTest() {
    spec_.set_id("box1");
    spec_.set_engine(msb::vmm::v1::ENGINE_KVM);
    spec_.set_vcpus(1);
    spec_.set_memory_mib(512);
    spec_.set_kernel_fd(Fd());
    spec_.set_initramfs_fd(Fd());
    spec_.set_control_fd(Fd());
    spec_.mutable_kvm()->set_kvm_fd(Fd());
    auto* disk = spec_.add_disks();
    disk->set_id("root");
    disk->set_fd(Fd());
    spec_.mutable_vsock()->set_guest_cid(3);
    spec_.mutable_vsock()->set_listener_fd(Fd());
    spec_.mutable_balloon()->set_enabled(true);
    spec_.mutable_console()->set_fd(Fd());
    spec_.set_exit_event_fd(Fd());
  }
  int Fd() { return files_.emplace_back(MemoryFile("")).get(); }

  // `bend` makes the spec invalid, and the message names `field`.
  void ExpectInvalid(const std::string& field, const std::function<void(VmSpec&)>& bend) {
    VmSpec bent = spec_;
    bend(bent);
    const absl::Status status = ValidateSpec(bent);
    EXPECT_THAT(status, HasReason(Reason::kVmSpecInvalid)) << field;
    EXPECT_THAT(std::string(status.message()), StartsWith(field + ": "));
  }

  std::vector<UniqueFd> files_;
  VmSpec spec_;
};

TEST_F(VmSpecTest, AcceptsTheWholeAndTheLeast) {
  EXPECT_OK(ValidateSpec(spec_));
  spec_.set_initramfs_fd(0);
  spec_.clear_disks();
  spec_.clear_vsock();
  spec_.clear_balloon();
  spec_.clear_console();
  spec_.set_exit_event_fd(0);
  EXPECT_OK(ValidateSpec(spec_));
}

TEST_F(VmSpecTest, AMachineThatGoesOnHasASnapshotInsteadOfAKernel) {
  spec_.set_kernel_fd(0);
  spec_.set_initramfs_fd(0);
  spec_.mutable_restore()->set_memory_fd(Fd());
  spec_.mutable_restore()->set_state_fd(Fd());
  EXPECT_OK(ValidateSpec(spec_));
  ExpectInvalid("restore", [&](VmSpec& spec) { spec.set_kernel_fd(Fd()); });
  ExpectInvalid("restore", [](VmSpec& spec) { spec.clear_vsock(); });
  ExpectInvalid("restore", [](VmSpec& spec) { *spec.mutable_save() = spec.restore(); });
  ExpectInvalid("restore.state_fd", [](VmSpec& spec) { spec.mutable_restore()->clear_state_fd(); });
  ExpectInvalid("restore.memory_fd",
                [](VmSpec& spec) { spec.mutable_restore()->set_memory_fd(999); });
}

TEST_F(VmSpecTest, AMachineThatIsSavedHasAKernelAndNoDevices) {
  spec_.mutable_save()->set_memory_fd(Fd());
  spec_.mutable_save()->set_state_fd(Fd());
  ExpectInvalid("save", [](VmSpec&) {});
  spec_.clear_disks();
  spec_.clear_vsock();
  spec_.clear_balloon();
  EXPECT_OK(ValidateSpec(spec_));
  ExpectInvalid("kernel_fd", [](VmSpec& spec) { spec.clear_kernel_fd(); });
  ExpectInvalid("save.memory_fd", [](VmSpec& spec) { spec.mutable_save()->set_memory_fd(0); });
}

TEST_F(VmSpecTest, AcceptsTheEndsOfTheRanges) {
  spec_.set_vcpus(32);
  spec_.set_memory_mib(1048576);
  spec_.mutable_vsock()->set_guest_cid(0xfffffffe);
  spec_.mutable_console()->set_limit_bytes(4096);
  spec_.mutable_balloon()->set_size_mib(1048575);
  EXPECT_OK(ValidateSpec(spec_));
  spec_.mutable_balloon()->set_size_mib(63);
  spec_.set_memory_mib(64);
  EXPECT_OK(ValidateSpec(spec_));
}

TEST_F(VmSpecTest, NamesTheFieldThatIsOutOfRange) {
  ExpectInvalid("id", [](VmSpec& s) { s.set_id(""); });
  ExpectInvalid("id", [](VmSpec& s) { s.set_id(std::string(65, 'x')); });
  ExpectInvalid("id", [](VmSpec& s) { s.set_id("a\nb"); });
  ExpectInvalid("engine", [](VmSpec& s) { s.clear_engine(); });
  ExpectInvalid("vcpus", [](VmSpec& s) { s.set_vcpus(0); });
  ExpectInvalid("vcpus", [](VmSpec& s) { s.set_vcpus(33); });
  ExpectInvalid("memory_mib", [](VmSpec& s) { s.set_memory_mib(63); });
  ExpectInvalid("memory_mib", [](VmSpec& s) { s.set_memory_mib(1048577); });
  ExpectInvalid("vsock.guest_cid", [](VmSpec& s) { s.mutable_vsock()->set_guest_cid(2); });
  ExpectInvalid("vsock.guest_cid", [](VmSpec& s) { s.mutable_vsock()->set_guest_cid(0xffffffff); });
  ExpectInvalid("balloon.size_mib", [](VmSpec& s) { s.mutable_balloon()->set_size_mib(512); });
  ExpectInvalid("console.limit_bytes",
                [](VmSpec& s) { s.mutable_console()->set_limit_bytes(4095); });
  ExpectInvalid("disks[0].id", [](VmSpec& s) { s.mutable_disks(0)->set_id(std::string(21, 'x')); });
  ExpectInvalid("disks", [](VmSpec& s) {
    for (int i = 0; i < kMaxDisks; ++i) s.add_disks();
  });
}

TEST_F(VmSpecTest, NamesTheDescriptorThatIsNone) {
  ExpectInvalid("kernel_fd", [](VmSpec& s) { s.set_kernel_fd(0); });
  ExpectInvalid("kernel_fd", [](VmSpec& s) { s.set_kernel_fd(-1); });
  ExpectInvalid("control_fd", [](VmSpec& s) { s.set_control_fd(2); });
  ExpectInvalid("initramfs_fd", [](VmSpec& s) { s.set_initramfs_fd(1); });
  ExpectInvalid("kvm.kvm_fd", [](VmSpec& s) { s.clear_kvm(); });
  ExpectInvalid("disks[0].fd", [](VmSpec& s) { s.mutable_disks(0)->set_fd(1 << 20); });
  ExpectInvalid("vsock.listener_fd", [](VmSpec& s) { s.mutable_vsock()->clear_listener_fd(); });
  ExpectInvalid("console.fd", [](VmSpec& s) { s.mutable_console()->set_fd(0); });
  ExpectInvalid("exit_event_fd", [](VmSpec& s) { s.set_exit_event_fd(-5); });
  ExpectInvalid("vsock.listener_fd", [](VmSpec& s) {
    s.mutable_vsock()->set_listener_fd(s.kernel_fd());  // named twice
  });
}

TEST_F(VmSpecTest, TakesADiskOfManyFilesWhenItIsReadOnly) {
  auto* const disk = spec_.mutable_disks(0);
  disk->set_read_only(true);
  for (int i = 1; i < kMaxDiskFiles; ++i) disk->add_more_fds(Fd());
  EXPECT_OK(ValidateSpec(spec_));
  ExpectInvalid("disks[0].more_fds", [](VmSpec& s) { s.mutable_disks(0)->set_read_only(false); });
  ExpectInvalid("disks[0].more_fds", [](VmSpec& s) { s.mutable_disks(0)->set_more_fds(5, 0); });
  ExpectInvalid("disks[0].more_fds",
                [](VmSpec& s) { s.mutable_disks(0)->set_more_fds(5, s.kernel_fd()); });
  ExpectInvalid("disks[0].more_fds", [this](VmSpec& s) { s.mutable_disks(0)->add_more_fds(Fd()); });
}

TEST_F(VmSpecTest, ChecksWhatQemuNeeds) {
  spec_.set_engine(msb::vmm::v1::ENGINE_QEMU);
  spec_.mutable_qemu()->set_directory("/qemu");
  spec_.mutable_qemu()->set_accelerator("tcg");
  EXPECT_OK(ValidateSpec(spec_));
  ExpectInvalid("qemu.directory", [](VmSpec& s) { s.mutable_qemu()->set_directory("qemu"); });
  ExpectInvalid("qemu.accelerator", [](VmSpec& s) { s.mutable_qemu()->set_accelerator("hvf"); });
  ExpectInvalid("initramfs_fd", [](VmSpec& s) { s.set_initramfs_fd(0); });
}

TEST_F(VmSpecTest, RefusesMoreDevicesThanTheEngineHasPlaces) {
  const auto set_disks = [this](int count) {
    spec_.clear_disks();
    for (int i = 0; i < count; ++i) {
      spec_.add_disks()->set_id("disk");
      spec_.mutable_disks(i)->set_fd(Fd());
    }
  };
  spec_.set_engine(msb::vmm::v1::ENGINE_QEMU);
  spec_.mutable_qemu()->set_directory("/qemu");
  spec_.mutable_qemu()->set_accelerator("tcg");
  spec_.set_rng(true);  // beside vsock and balloon
  set_disks(5);
  EXPECT_OK(ValidateSpec(spec_));

  set_disks(6);
  const absl::Status refused = ValidateSpec(spec_);
  EXPECT_THAT(refused, HasReason(Reason::kUnsupportedByEngine));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("9 devices"));

  spec_.set_engine(msb::vmm::v1::ENGINE_KVM);
  set_disks(kMaxDisks);
  for (int i = 0; i < 3; ++i) {  // 18 devices in all
    spec_.add_file_systems()->set_tag(absl::StrCat("tag", i));
    spec_.mutable_file_systems(i)->set_fd(Fd());
  }
  EXPECT_OK(ValidateSpec(spec_));
  spec_.add_file_systems()->set_tag("tag3");
  spec_.mutable_file_systems(3)->set_fd(Fd());
  EXPECT_THAT(ValidateSpec(spec_), HasReason(Reason::kVmSpecInvalid));
}

}  // namespace
}  // namespace msb
