// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Volumes, and the sandboxes that mount them.

#include "supervisor/sandbox/volumes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/matchers.h"
#include "tests/support/supervisor/daemon_fixture.h"

namespace msb {
namespace {

using msb::v1::Volume;
using testing::ElementsAre;
using testing::SizeIs;

class VolumesTest : public testing::Test {
 protected:
  void SetUp() override { daemon_.Up(); }
  absl::StatusOr<Volume> Make(const std::string& name, uint32_t size_mib = 16) {
    msb::v1::CreateVolumeRequest request;
    request.set_name(name);
    request.set_size_mib(size_mib);
    return DaemonFixture::Await<absl::StatusOr<Volume>>(
        [&](auto done) { daemon_.registry().volumes().Create(daemon_.caller, request, done); });
  }
  absl::StatusOr<Volume> Get(const std::string& name) {
    return DaemonFixture::Await<absl::StatusOr<Volume>>(
        [&](auto done) { daemon_.registry().volumes().Get(daemon_.caller, name, done); });
  }
  absl::Status Remove(const std::string& name) {
    return DaemonFixture::Await<absl::Status>(
        [&](auto done) { daemon_.registry().volumes().Remove(daemon_.caller, name, done); });
  }
  static msb::v1::SandboxSpec With(const std::string& name, const std::string& volume) {
    msb::v1::SandboxSpec spec;
    spec.set_name(name);
    auto& mount = *spec.add_mounts();
    mount.set_path("/data");
    mount.mutable_volume()->set_name(volume);
    return spec;
  }
  bool HasFiles(const std::string& name) const {
    return std::filesystem::exists(daemon_.data() + "/volumes/" + name);
  }
  void Journal(VolumeRecord::State state) {
    SandboxStore store = daemon_.OpenStore();
    VolumeRecord record = store.LoadVolumes()->at(0);
    record.state = state;
    ASSERT_OK(store.PutVolume(record));
  }

  DaemonFixture daemon_;
};

TEST_F(VolumesTest, AreMadeAndFoundAndRemoved) {
  ASSERT_OK_AND_ASSIGN(const Volume made, Make("data", 32));
  EXPECT_EQ(made.size_mib(), 32u);
  EXPECT_EQ(std::filesystem::file_size(daemon_.data() + "/volumes/data/disk.ext4"), 32u << 20);
  EXPECT_OK(Get("data"));

  ASSERT_OK(Remove("data"));

  EXPECT_FALSE(HasFiles("data"));
  EXPECT_THAT(Get("data"), HasReason(Reason::kVolumeNotFound));
  EXPECT_THAT(Remove("data"), HasReason(Reason::kVolumeNotFound));
}

TEST_F(VolumesTest, HaveNamesOfTheirOwnAndASize) {
  ASSERT_OK(Make("data"));
  EXPECT_THAT(Make("data"), HasReason(Reason::kVolumeNameTaken));
  EXPECT_THAT(Make("../data"), HasReason(Reason::kInvalidName));
  EXPECT_THAT(Make(""), HasReason(Reason::kInvalidName));
  EXPECT_THAT(Make("small", 15), HasReason(Reason::kInvalidResources));
}

TEST_F(VolumesTest, LeaveNothingWhenTheyCannotBeMade) {
  std::filesystem::remove_all(daemon_.assets() + "/disks");

  EXPECT_THAT(Make("data"), HasReason(Reason::kAssetMissing));

  EXPECT_FALSE(HasFiles("data"));
  EXPECT_THAT(Get("data"), HasReason(Reason::kVolumeNotFound));
}

TEST_F(VolumesTest, AreDisksOfTheSandboxesThatMountThem) {
  ASSERT_OK(Make("data"));
  ASSERT_OK_AND_ASSIGN(const msb::v1::Sandbox box, daemon_.Create(With("box", "data")));

  const LaunchSpec& spec = daemon_.launcher().Find(box.id())->spec();
  ASSERT_THAT(spec.disks, SizeIs(3));
  EXPECT_EQ(spec.disks[2].path, daemon_.data() + "/volumes/data/disk.ext4");
  EXPECT_FALSE(spec.disks[2].read_only);
  EXPECT_THAT(Get("data")->used_by(), ElementsAre("box"));
}

TEST_F(VolumesTest, InUseAreNotRemoved) {
  ASSERT_OK(Make("data"));
  ASSERT_OK(daemon_.Create(With("box", "data"), /*start=*/false));
  EXPECT_THAT(Remove("data"), HasReason(Reason::kVolumeInUse));

  ASSERT_OK(daemon_.Remove("box"));

  EXPECT_OK(Remove("data"));
}

TEST_F(VolumesTest, OfAnotherUserAreNotThere) {
  ASSERT_OK(Make("data"));
  daemon_.caller = Caller{.uid = 1000, .gid = 1000, .groups = {}, .sees_all = false};

  EXPECT_THAT(Get("data"), HasReason(Reason::kVolumeNotFound));
  EXPECT_THAT(Remove("data"), HasReason(Reason::kVolumeNotFound));
  EXPECT_THAT(daemon_.Create(With("box", "data")), HasReason(Reason::kVolumeNotFound));
  EXPECT_THAT(Make("data"), HasReason(Reason::kVolumeNameTaken));
}

TEST_F(VolumesTest, OutliveTheDaemon) {
  ASSERT_OK(Make("data"));
  daemon_.Crash();
  daemon_.Up();

  EXPECT_OK(Get("data"));
}

TEST_F(VolumesTest, HalfMadeOrRemovedAreDeletedByTheNextDaemon) {
  for (const auto state : {VolumeRecord::State::kMaking, VolumeRecord::State::kRemoving}) {
    ASSERT_OK(Make("data"));
    daemon_.Crash();
    Journal(state);
    daemon_.Up();
    EXPECT_THAT(Get("data"), HasReason(Reason::kVolumeNotFound));
    daemon_.Crash();  // the worker ends what it is at; the row may be left to the next
    EXPECT_FALSE(HasFiles("data"));
    SandboxStore store = daemon_.OpenStore();
    ASSERT_OK(store.DeleteVolume("data"));
    daemon_.Up();
  }
}

}  // namespace
}  // namespace msb
