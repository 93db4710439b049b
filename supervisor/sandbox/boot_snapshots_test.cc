// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/boot_snapshots.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/check.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/daemon_fixture.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string ContentOf(const UniqueFd& file) {
  std::string content(100, '\0');
  const ssize_t got = ::pread(file.get(), content.data(), content.size(), 0);
  content.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return content;
}

void Fill(const UniqueFd& file, const std::string& content) {
  MSB_CHECK(::pwrite(file.get(), content.data(), content.size(), 0) ==
            static_cast<ssize_t>(content.size()));
}

// The machine that is to save itself does so.
class BootSnapshotsTest : public testing::Test {
 protected:
  BootSnapshotsTest() : launcher_(dir_.path() + "/run") {
    std::filesystem::create_directories(dir_.path() + "/run");
    dir_.Write("vmlinux", "kernel");
    dir_.Write("initramfs", "agent");
    dir_.Write("vmm", "program");
    launcher_.after_launch = [this](FakeMachine& machine) { Save(machine); };
  }

  void Open(uint32_t max_count = 8, absl::Duration first_retry = absl::Minutes(1)) {
    snapshots_.reset();
    snapshots_ = BootSnapshots::Open(launcher_, {.directory = dir_.path() + "/kept",
                                                 .id = "boot-snapshot-test",
                                                 .max_count = max_count,
                                                 .delay = absl::ZeroDuration(),
                                                 .boot_timeout = absl::Seconds(30),
                                                 .first_retry = first_retry,
                                                 .programs = {dir_.path() + "/vmm"},
                                                 .host = "this one"});
  }
  MachineShape Shape(uint32_t memory_mib = 512) const {
    return {.engine = msb::vmm::v1::ENGINE_QEMU,
            .vcpus = 1,
            .memory_mib = memory_mib,
            .kernel_path = dir_.path() + "/vmlinux",
            .initramfs_path = dir_.path() + "/initramfs"};
  }
  void Save(FakeMachine& machine) {
    const LaunchSpec& spec = machine.spec();
    EXPECT_EQ(spec.snapshot->use, LaunchSnapshot::Use::kSave);
    Fill(spec.snapshot->memory, absl::StrCat("memory of ", spec.memory_mib));
    Fill(spec.snapshot->state, "state");
    machine.End(Reason::kStoppedByRequest, "saved");
  }
  // What is asked for is done in its order: behind it is all that was asked for before.
  void MakeAndWait(const MachineShape& shape) {
    snapshots_->MakeLater(shape);
    while (snapshots_->Find(shape) == nullptr) ::usleep(1000);
  }

  const TempDir dir_;
  FakeLauncher launcher_;
  std::unique_ptr<BootSnapshots> snapshots_;
};

TEST_F(BootSnapshotsTest, FindsWhatIsMadeAndOpensItAnewForEach) {
  Open();
  EXPECT_EQ(snapshots_->Find(Shape()), nullptr);
  MakeAndWait(Shape());
  const auto one = snapshots_->Find(Shape());
  const auto other = snapshots_->Find(Shape());
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(one->use, LaunchSnapshot::Use::kRestore);
  EXPECT_EQ(ContentOf(one->memory), "memory of 512");
  EXPECT_EQ(ContentOf(other->state), "state");
  EXPECT_NE(one->state.get(), other->state.get());
  EXPECT_THAT(snapshots_->List(), ElementsAre("qemu-1-512"));
  EXPECT_EQ(launcher_.machines(), 0u);  // nothing of the machine is left
}

TEST_F(BootSnapshotsTest, AnotherShapeIsAnother) {
  Open();
  MakeAndWait(Shape());
  EXPECT_EQ(snapshots_->Find(Shape(256)), nullptr);
  MachineShape two = Shape();
  two.vcpus = 2;
  EXPECT_EQ(snapshots_->Find(two), nullptr);
}

TEST_F(BootSnapshotsTest, IsWorthNothingWhenWhatItWasMadeOfHasChanged) {
  Open();
  MakeAndWait(Shape());
  for (const char* file : {"vmlinux", "initramfs", "vmm"}) {
    dir_.Write(file, absl::StrCat("another ", file));
    EXPECT_EQ(snapshots_->Find(Shape()), nullptr) << file;
    MakeAndWait(Shape());
    EXPECT_NE(snapshots_->Find(Shape()), nullptr) << file;
  }
}

TEST_F(BootSnapshotsTest, OutlivesTheDaemonWhichRemovesWhatIsHalfMade) {
  Open();
  MakeAndWait(Shape());
  std::filesystem::create_directories(dir_.path() + "/kept/.making");
  std::filesystem::create_directories(dir_.path() + "/kept/qemu-9-9");
  Open();
  EXPECT_NE(snapshots_->Find(Shape()), nullptr);
  EXPECT_FALSE(std::filesystem::exists(dir_.path() + "/kept/.making"));
  EXPECT_FALSE(std::filesystem::exists(dir_.path() + "/kept/qemu-9-9"));
}

TEST_F(BootSnapshotsTest, TheLeastRecentlyUsedGoes) {
  Open(/*max_count=*/2);
  MakeAndWait(Shape(100));
  ::usleep(10'000);  // the clock of file systems is coarse
  MakeAndWait(Shape(200));
  ::usleep(10'000);
  ASSERT_NE(snapshots_->Find(Shape(100)), nullptr);
  ::usleep(10'000);
  MakeAndWait(Shape(300));
  EXPECT_THAT(snapshots_->List(), ElementsAre("qemu-1-100", "qemu-1-300"));
}

TEST_F(BootSnapshotsTest, WhatCannotBeMadeIsNotTriedAgainAtOnce) {
  Open();
  launcher_.after_launch = [&, first = true](FakeMachine& machine) mutable {
    if (machine.spec().memory_mib != 512) return Save(machine);
    EXPECT_TRUE(std::exchange(first, false)) << "tried again";
    machine.End(Reason::kQemuError, "no luck");
  };
  snapshots_->MakeLater(Shape());
  MakeAndWait(Shape(256));
  snapshots_->MakeLater(Shape());
  MakeAndWait(Shape(128));
  EXPECT_EQ(snapshots_->Find(Shape()), nullptr);
  EXPECT_THAT(snapshots_->List(), ElementsAre("qemu-1-128", "qemu-1-256"));
}

TEST_F(BootSnapshotsTest, AFailureIsForgottenInTime) {
  Open(/*max_count=*/8, /*first_retry=*/absl::ZeroDuration());
  absl::Notification failed;
  launcher_.after_launch = [&](FakeMachine& machine) {
    if (failed.HasBeenNotified()) return Save(machine);
    machine.End(Reason::kQemuError, "no luck");
    failed.Notify();
  };
  snapshots_->MakeLater(Shape());
  failed.WaitForNotification();
  while (snapshots_->Find(Shape()) == nullptr) snapshots_->MakeLater(Shape());
}

TEST_F(BootSnapshotsTest, OneThatWasGivenUpIsNotUsedNorByTheNextDaemon) {
  Open();
  MakeAndWait(Shape());
  snapshots_->GiveUp(Shape(), "it did not come up");
  EXPECT_EQ(snapshots_->Find(Shape()), nullptr);
  Open();
  EXPECT_EQ(snapshots_->Find(Shape()), nullptr);
  MakeAndWait(Shape());
  EXPECT_NE(snapshots_->Find(Shape()), nullptr);
}

TEST_F(BootSnapshotsTest, TheEndOfTheDaemonBreaksOffTheMaking) {
  Open();
  absl::Notification launched;
  launcher_.after_launch = [&](FakeMachine&) { launched.Notify(); };  // boots for ever
  snapshots_->MakeLater(Shape());
  launched.WaitForNotification();
  snapshots_.reset();
  EXPECT_EQ(launcher_.machines(), 0u);
  Open();
  EXPECT_THAT(snapshots_->List(), IsEmpty());
}

TEST_F(BootSnapshotsTest, NoneAreMadeUsedOrKeptWhenTheyAreOff) {
  Open();
  MakeAndWait(Shape());
  Open(/*max_count=*/0);
  EXPECT_EQ(snapshots_->Find(Shape()), nullptr);
  snapshots_->MakeLater(Shape(64));
  EXPECT_THAT(snapshots_->List(), IsEmpty());
}

// --- as the life of a sandbox uses them ---

class SnapshotStartTest : public testing::Test {
 protected:
  SnapshotStartTest() {
    daemon_.snapshot_options().max_count = 8;
    daemon_.snapshot_options().boot_timeout = absl::Seconds(30);
    daemon_.launcher().after_launch = [this](FakeMachine& machine) { Run(machine); };
    daemon_.Up();
  }
  void Run(FakeMachine& machine) {
    const auto& snapshot = machine.spec().snapshot;
    if (snapshot != nullptr && snapshot->use == LaunchSnapshot::Use::kSave) {
      return machine.End(Reason::kStoppedByRequest, "saved");
    }
    const std::lock_guard lock(mutex_);
    starts_.push_back(snapshot == nullptr ? "boot" : "restore");
    if (snapshot != nullptr && broken_) return machine.End(Reason::kQemuError, "broken");
    machine.Boot();
  }
  std::vector<std::string> starts() {
    const std::lock_guard lock(mutex_);
    return starts_;
  }
  msb::v1::Sandbox Start(const std::string& name) {
    msb::v1::SandboxSpec spec;
    spec.set_name(name);
    auto sandbox = daemon_.Create(spec);
    MSB_CHECK(sandbox.ok());
    return *std::move(sandbox);
  }
  void AwaitSnapshot() {
    while (daemon_.snapshots().List().empty()) ::usleep(1000);
  }

  std::mutex mutex_;
  std::vector<std::string> starts_;
  bool broken_ = false;
  DaemonFixture daemon_;
};

TEST_F(SnapshotStartTest, TheFirstBootsAndTheNextGoesOnFromItsSnapshot) {
  Start("one");
  AwaitSnapshot();
  Start("two");
  EXPECT_THAT(starts(), ElementsAre("boot", "restore"));
}

TEST_F(SnapshotStartTest, AMachineThatDoesNotComeUpFromItIsBootedInstead) {
  Start("one");
  AwaitSnapshot();
  broken_ = true;
  const msb::v1::Sandbox two = Start("two");
  EXPECT_EQ(two.state(), msb::v1::SANDBOX_STATE_RUNNING);
  Start("three");
  EXPECT_THAT(starts(), ElementsAre("boot", "restore", "boot", "boot"));
}

}  // namespace
}  // namespace msb
