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

msb::v1::Mount Host(const std::string& path, const std::string& source) {
  msb::v1::Mount mount;
  mount.set_path(path);
  mount.mutable_host()->set_path(source);
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

TEST(MountsTest, RefusesWhatIsNoPathOfTheHost) {
  for (const std::string& source : {std::string(), std::string("relative"), std::string("~/x"),
                                    "/" + std::string(4096, 'a'), std::string("/a\0b", 4)}) {
    EXPECT_THAT(Validate({Host("/a", source)}), HasReason(Reason::kMountSourceInvalid)) << source;
  }
  EXPECT_OK(Validate({Host("/a", "/"), Host("/b", "/srv/../srv"), Host("/c", "/srv")}));
  msb::v1::Mount nobody = Host("/a", "/srv");
  nobody.mutable_host()->set_guest_uid(UINT32_MAX);
  EXPECT_THAT(Validate({nobody}), HasReason(Reason::kInvalidArgument));
}

TEST(MountsTest, AQuotaIsForWhatTheGuestCanAddTo) {
  msb::v1::Mount mount = Host("/a", "/srv");
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{4096}, uint64_t{1} << 50}) {
    mount.set_quota_bytes(bytes);
    EXPECT_OK(Validate({mount})) << bytes;
  }
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{4095}, (uint64_t{1} << 50) + 1, UINT64_MAX}) {
    mount.set_quota_bytes(bytes);
    EXPECT_THAT(Validate({mount}), HasReason(Reason::kInvalidResources)) << bytes;
  }
  mount.set_quota_bytes(4096);
  mount.set_read_only(true);
  EXPECT_THAT(Validate({mount}), HasReason(Reason::kInvalidArgument));
  msb::v1::Mount memory = Tmpfs("/a");
  memory.set_quota_bytes(4096);
  EXPECT_THAT(Validate({memory}), HasReason(Reason::kInvalidArgument));
}

TEST(MountsTest, TheConfigurationsQuotaIsForThoseThatNameNone) {
  const MountsConfig config{.quota_mib = 3};
  const auto quota_of = [&](msb::v1::Mount mount) {
    EXPECT_OK(CompleteQuota(config, mount));
    return mount.quota_bytes();
  };
  msb::v1::Mount named = Host("/a", "/srv"), read_only = named, shared = Volume("/b", "shared");
  named.set_quota_bytes(4096);
  read_only.set_read_only(true);
  shared.mutable_volume()->set_kind(msb::v1::VOLUME_KIND_DIRECTORY);

  EXPECT_EQ(quota_of(Host("/a", "/srv")), 3u << 20);
  EXPECT_EQ(quota_of(shared), 3u << 20);
  EXPECT_EQ(quota_of(named), 4096u);
  EXPECT_EQ(quota_of(read_only), 0u);
  EXPECT_EQ(quota_of(Tmpfs("/t")), 0u);
  EXPECT_EQ(quota_of(Volume("/d", "disk")), 0u);
  msb::v1::Mount disk = Volume("/d", "disk");
  disk.set_quota_bytes(4096);
  EXPECT_THAT(CompleteQuota(config, disk), HasReason(Reason::kInvalidArgument));
}

TEST(MountsTest, RefusesAMountThatHidesAnEarlierOne) {
  const auto hides = HasReason(Reason::kInvalidArgument);
  EXPECT_THAT(Validate({Tmpfs("/a/b"), Host("/a", "/srv")}), hides);
  EXPECT_THAT(Validate({Tmpfs("/a"), Host("/a/", "/srv")}), hides);
  EXPECT_THAT(Validate({Tmpfs("/a"), Host("//a", "/srv")}), hides);
  EXPECT_OK(Validate({Host("/a", "/srv"), Tmpfs("/a/b"), Tmpfs("/ab")}));
}

TEST(MountsTest, TheHostIsForCallersWhoseRightsAreKnown) {
  const Caller user{.uid = 1000, .gid = 100};
  const Caller token{.uid = 0, .sees_all = true, .way = Caller::Way::kToken};
  const msb::v1::HostMount mount;
  const auto denied = HasReason(Reason::kPermissionDenied);

  EXPECT_OK(CheckHostMount(user, {.host = "socket"}, mount));
  EXPECT_THAT(CheckHostMount(token, {.host = "socket"}, mount), denied);
  EXPECT_OK(CheckHostMount(token, {.host = "all"}, mount));
  EXPECT_THAT(CheckHostMount(user, {.host = "none"}, mount), denied);
}

TEST(MountsTest, RootsOwnersAreTheSameOnBothSides) {
  msb::v1::HostMount mount;
  mount.set_guest_uid(1000);
  EXPECT_OK(CheckHostMount({.uid = 1000}, {.host = "socket"}, mount));
  EXPECT_THAT(CheckHostMount({.uid = 0}, {.host = "socket"}, mount),
              HasReason(Reason::kInvalidArgument));
}

TEST(MountsTest, OnlyWhoGaveAPathOfTheHostIsShownIt) {
  msb::v1::Sandbox view;
  view.set_owner_uid(1000);
  *view.mutable_spec()->add_mounts() = Host("/a", "/home/a");

  HideHostPaths({.uid = 1000}, view);
  EXPECT_EQ(view.spec().mounts(0).host().path(), "/home/a");

  msb::v1::Sandbox roots = view;
  roots.set_owner_uid(0);
  HideHostPaths({.uid = 0, .sees_all = true, .way = Caller::Way::kToken}, roots);
  EXPECT_EQ(roots.spec().mounts(0).host().path(), "");

  HideHostPaths({.uid = 0, .sees_all = true}, view);
  EXPECT_EQ(view.spec().mounts(0).host().path(), "");
  EXPECT_TRUE(view.spec().mounts(0).has_host());
}

TEST(MountsTest, RefusesTheSameTwiceAndTooMany) {
  EXPECT_THAT(Validate({Tmpfs("/a"), Tmpfs("/a")}), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(Validate({Volume("/a", "data"), Volume("/b", "data")}),
              HasReason(Reason::kInvalidArgument));
  std::vector<msb::v1::Mount> many;
  for (int i = 0; i < 33; ++i) many.push_back(Tmpfs(absl::StrCat("/m", i)));
  EXPECT_THAT(Validate(many), HasReason(Reason::kLimitExceeded));
}

TEST(MountsTest, TellsTheGuestWhichEntryOfTheFileServerIsWhich) {
  msb::v1::SandboxSpec spec;
  *spec.add_mounts() = Host("/a", "/srv");
  *spec.add_mounts() = Volume("/disk", "disk");
  *spec.add_mounts() = Volume("/shared", "shared");
  spec.mutable_mounts(2)->mutable_volume()->set_kind(msb::v1::VOLUME_KIND_DIRECTORY);

  const msb::agent::v1::MountAll request = MountRequestOf(spec);

  EXPECT_EQ(request.mounts(0).fs_entry().tag(), kFileSystemTag);
  EXPECT_EQ(request.mounts(0).fs_entry().index(), 0u);
  EXPECT_EQ(request.mounts(1).disk_serial(), DiskSerialOf(1));
  EXPECT_EQ(request.mounts(2).fs_entry().index(), 1u);
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
