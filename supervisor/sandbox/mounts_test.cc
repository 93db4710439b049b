// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/mounts.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

msb::v1::Mount Tmpfs(const std::string& path) {
  msb::v1::Mount mount;
  mount.set_path(path);
  mount.mutable_tmpfs()->set_size_mib(8);
  return mount;
}

msb::v1::Mount Volume(const std::string& path, const std::string& name) {
  msb::v1::Mount mount;
  mount.set_path(path);
  mount.mutable_volume()->set_name(name);
  return mount;
}

absl::Status Validate(const std::vector<msb::v1::Mount>& mounts) {
  msb::v1::SandboxSpec spec;
  for (const auto& mount : mounts) *spec.add_mounts() = mount;
  return ValidateMounts(spec);
}

TEST(MountsTest, TakesVolumesAndTmpfs) {
  EXPECT_OK(Validate({Tmpfs("/scratch"), Volume("/data/deep", "data"), Tmpfs("/dev/shm")}));
}

TEST(MountsTest, RefusesPathsThatTheGuestNeeds) {
  for (const char* path :
       {"", "relative", "/", "//", "/proc", "/proc/sys", "/sys", "/dev", "/a/../proc", "/a/./b"}) {
    EXPECT_THAT(Validate({Tmpfs(path)}), HasReason(Reason::kPathInvalid)) << path;
  }
  EXPECT_THAT(Validate({Tmpfs(std::string("/a\0b", 4))}), HasReason(Reason::kPathInvalid));
}

TEST(MountsTest, RefusesWhatIsNoSource) {
  msb::v1::Mount none;
  none.set_path("/a");
  EXPECT_THAT(Validate({none}), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(Validate({Volume("/a", "../b")}), HasReason(Reason::kInvalidName));
  EXPECT_THAT(Validate({Volume("/a", "")}), HasReason(Reason::kInvalidName));
  msb::v1::Mount huge = Tmpfs("/a");
  huge.mutable_tmpfs()->set_size_mib(UINT64_MAX);
  EXPECT_THAT(Validate({huge}), HasReason(Reason::kInvalidResources));
}

TEST(MountsTest, RefusesTheSameTwiceAndTooMany) {
  EXPECT_THAT(Validate({Tmpfs("/a"), Tmpfs("/a")}), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(Validate({Volume("/a", "data"), Volume("/b", "data")}),
              HasReason(Reason::kInvalidArgument));
  std::vector<msb::v1::Mount> many;
  for (int i = 0; i < 33; ++i) many.push_back(Tmpfs(absl::StrCat("/m", i)));
  EXPECT_THAT(Validate(many), HasReason(Reason::kLimitExceeded));
}

TEST(MountsTest, TellsTheGuestWhichDiskIsWhich) {
  msb::v1::SandboxSpec spec;
  *spec.add_mounts() = Tmpfs("/scratch");
  *spec.add_mounts() = Volume("/data", "data");
  spec.mutable_mounts(1)->set_read_only(true);

  const msb::agent::v1::MountAll request = MountRequestOf(spec);

  ASSERT_EQ(request.mounts_size(), 2);
  EXPECT_EQ(request.mounts(0).path(), "/scratch");
  EXPECT_EQ(request.mounts(0).tmpfs_bytes(), uint64_t{8} << 20);
  EXPECT_EQ(request.mounts(1).disk_serial(), DiskSerialOf(1));
  EXPECT_TRUE(request.mounts(1).read_only());
  EXPECT_LE(DiskSerialOf(31).size(), 20u);
}

}  // namespace
}  // namespace msb
