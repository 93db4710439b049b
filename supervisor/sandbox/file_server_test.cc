// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What msb-fs is told, and what the sandboxes that need it make of its checks.

#include "supervisor/sandbox/file_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "supervisor/sandbox/mounts.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/daemon_fixture.h"

namespace msb {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;
using testing::SizeIs;

class FileServerTest : public testing::Test {
 protected:
  FileServerTest() {
    daemon_.caller = Caller{.uid = 1000, .gid = 100, .groups = {27}};
    daemon_.launcher().before_launch = [this](const LaunchSpec& spec) {
      launched_ = spec;
      return absl::OkStatus();
    };
  }
  static msb::v1::SandboxSpec With(const std::string& source, const std::string& path) {
    msb::v1::SandboxSpec spec;
    spec.set_name("box");
    spec.mutable_network()->set_preset("none");
    msb::v1::Mount& mount = *spec.add_mounts();
    mount.mutable_host()->set_path(source);
    mount.set_path(path);
    return spec;
  }

  DaemonFixture daemon_;
  LaunchSpec launched_;
};

TEST_F(FileServerTest, RunsAsTheUserWhoAskedForTheSandbox) {
  daemon_.Up();
  msb::v1::SandboxSpec spec = With("/home/a", "/src");
  spec.mutable_mounts(0)->set_read_only(true);
  spec.mutable_mounts(0)->mutable_host()->set_guest_uid(7);
  ASSERT_OK(daemon_.Create(spec));

  ASSERT_THAT(launched_.companions, SizeIs(1));
  const CompanionSpec& server = launched_.companions[0];
  EXPECT_EQ(server.name, kFileServerCompanion);
  EXPECT_EQ(server.identity->uid, 1000u);
  EXPECT_EQ(server.identity->gid, 100u);
  EXPECT_THAT(server.identity->groups, ElementsAre(27u));
  EXPECT_THAT(server.capabilities, IsEmpty());
  EXPECT_THAT(server.arguments, Not(Contains("--pass-ids")));
  EXPECT_THAT(server.arguments, Not(Contains("--debug-without-seccomp")));
  EXPECT_THAT(server.arguments, IsSupersetOf({"--export", "8:ro:7:0:0"}));
  ASSERT_THAT(server.sources, SizeIs(1));
  EXPECT_EQ(server.sources[0].path, "/home/a");
  EXPECT_EQ(server.sources[0].access, SourceAccess::kReadOnly);
  EXPECT_EQ(server.sources[0].rights, SourceRights::kIdentity);
  // The guest's memory may come to count for it.
  EXPECT_EQ(server.memory_mib,
            daemon_.config().mounts.memory_mib + daemon_.config().sandbox.memory_mib);
  ASSERT_TRUE(launched_.file_system.has_value());
  EXPECT_EQ(launched_.file_system->companion, 0u);
}

TEST_F(FileServerTest, OfRootHasWhatRootCanDoWithFiles) {
  daemon_.caller = Caller{.uid = 0, .gid = 0, .groups = {}, .sees_all = true};
  daemon_.Up();
  ASSERT_OK(daemon_.Create(With("/srv", "/src")));

  EXPECT_THAT(launched_.companions[0].capabilities, ElementsAre("chown", "dac_override", "fowner"));
  EXPECT_THAT(launched_.companions[0].arguments, Contains("--pass-ids"));
}

TEST_F(FileServerTest, KnowsHowMuchEachMountMayGrow) {
  daemon_.config().mounts.quota_mib = 2;
  daemon_.Up();
  msb::v1::SandboxSpec spec = With("/srv/named", "/named");
  spec.mutable_mounts(0)->set_quota_bytes(5000);
  *spec.add_mounts() = With("/srv/default", "/default").mounts(0);
  *spec.add_mounts() = With("/srv/read", "/read").mounts(0);
  spec.mutable_mounts(2)->set_read_only(true);

  ASSERT_OK_AND_ASSIGN(const msb::v1::Sandbox box, daemon_.Create(spec));

  EXPECT_THAT(launched_.companions[0].arguments,
              IsSupersetOf({"8:rw:0:0:5000", "9:rw:0:0:2097152", "10:ro:0:0:0"}));
  EXPECT_EQ(box.spec().mounts(0).quota_bytes(), 5000u);
  EXPECT_EQ(box.spec().mounts(1).quota_bytes(), 2u << 20);
}

TEST_F(FileServerTest, HasNoFilterWhereADeveloperSaysSo) {
  daemon_.config().jail.seccomp = "off-for-debugging";
  daemon_.Up();
  ASSERT_OK(daemon_.Create(With("/srv", "/src")));
  EXPECT_THAT(launched_.companions[0].arguments, Contains("--debug-without-seccomp"));
}

TEST_F(FileServerTest, IsNotThereWithoutAMountThatNeedsIt) {
  daemon_.Up();
  msb::v1::SandboxSpec spec;
  spec.mutable_network()->set_preset("none");
  spec.add_mounts()->set_path("/scratch");
  spec.mutable_mounts(0)->mutable_tmpfs();
  ASSERT_OK(daemon_.Create(spec));

  EXPECT_THAT(launched_.companions, IsEmpty());
  EXPECT_FALSE(launched_.file_system.has_value());
}

TEST_F(FileServerTest, ServesVolumesOfTheDirectoryKindWithTheDaemonsRights) {
  daemon_.caller = Caller{.uid = 0, .gid = 0, .groups = {}, .sees_all = true};
  daemon_.Up();
  msb::v1::CreateVolumeRequest request;
  request.set_name("shared");
  request.set_kind(msb::v1::VOLUME_KIND_DIRECTORY);
  ASSERT_OK(DaemonFixture::Await<absl::StatusOr<msb::v1::Volume>>(
      [&](auto done) { daemon_.registry().volumes().Create(daemon_.caller, request, done); }));
  msb::v1::SandboxSpec spec = With("/home/a", "/src");
  spec.add_mounts()->set_path("/shared");
  spec.mutable_mounts(1)->mutable_volume()->set_name("shared");

  ASSERT_OK_AND_ASSIGN(const msb::v1::Sandbox box, daemon_.Create(spec));

  EXPECT_EQ(box.spec().mounts(1).volume().kind(), msb::v1::VOLUME_KIND_DIRECTORY);
  ASSERT_THAT(launched_.companions[0].sources, SizeIs(2));
  EXPECT_EQ(launched_.companions[0].sources[1].rights, SourceRights::kDaemon);
  EXPECT_EQ(launched_.companions[0].sources[1].fd, 9);
  const msb::agent::v1::MountAll guest = MountRequestOf(box.spec());
  EXPECT_EQ(guest.mounts(1).fs_entry().index(), 1u);
}

TEST_F(FileServerTest, ASourceThatCannotBeOpenedLeavesNoSandbox) {
  daemon_.launcher().check_sources = [](const CompanionSpec& spec) {
    return MakeError(Reason::kMountSourceInvalid, spec.sources[0].label + ": no");
  };
  daemon_.Up();

  const auto made = daemon_.Create(With("/home/a-name-of-mine", "/src"));

  EXPECT_THAT(made, HasReason(Reason::kMountSourceInvalid));
  EXPECT_THAT(std::string(made.status().message()), testing::HasSubstr("the mount on /src: no"));
  EXPECT_THAT(std::string(made.status().message()), Not(testing::HasSubstr("a-name-of-mine")));
  EXPECT_THAT(daemon_.Get("box"), HasReason(Reason::kSandboxNotFound));
}

TEST_F(FileServerTest, TheConfigurationSaysWhoMayMountTheHost) {
  daemon_.config().mounts.host = "none";
  daemon_.Up();
  EXPECT_THAT(daemon_.Create(With("/home/a", "/src")), HasReason(Reason::kPermissionDenied));
}

}  // namespace
}  // namespace msb
