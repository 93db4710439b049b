// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/companion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "supervisor/launch/companion_log.h"
#include "supervisor/launch/jailer_command.h"
#include "supervisor/launch/vmm_inputs.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::Contains;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

CompanionSpec Least(const std::string& name = "net") {
  CompanionSpec spec;
  spec.name = name;
  spec.executable = "/usr/libexec/msb-net";
  return spec;
}

LaunchPlan SomePlan() {
  LaunchPlan plan;
  plan.id = "box";
  plan.runtime_directory = "/run/msb/box";
  plan.cgroup = "msb/box";
  plan.companion_uids = {5000, 6000};
  return plan;
}

TEST(CompanionTest, NamesAreShortAndNotThoseOfTheVmm) {
  for (const char* name : {"net", "fs-0", "a", "a12345"}) {
    EXPECT_TRUE(IsCompanionName(name)) << name;
  }
  for (const char* name :
       {"", "0", "Net", "a/b", "a.b", "a+b", "-a", "a123456", "vsock", "control", "vmm"}) {
    EXPECT_FALSE(IsCompanionName(name)) << name;
  }
}

TEST(CompanionTest, RefusesWhatCannotBeStarted) {
  const auto with = [](auto change) {
    CompanionSpec spec = Least();
    change(spec);
    return CheckCompanions({spec});
  };
  EXPECT_OK(with([](CompanionSpec&) {}));
  const auto invalid = HasReason(Reason::kInvalidArgument);
  EXPECT_THAT(with([](CompanionSpec& s) { s.name = "a b"; }), invalid);
  EXPECT_THAT(with([](CompanionSpec& s) { s.executable = "msb-net"; }), invalid);
  EXPECT_THAT(with([](CompanionSpec& s) { s.fds[3] = 0; }), invalid);
  EXPECT_THAT(with([](CompanionSpec& s) { s.fds[kMaxCompanionFd + 1] = 0; }), invalid);
  EXPECT_THAT(with([](CompanionSpec& s) { s.sources = {{.fd = 8, .path = "here"}}; }), invalid);
  EXPECT_THAT(
      with([](CompanionSpec& s) { s.sources = {{.fd = 8, .path = std::string("/a\0b", 4)}}; }),
      invalid);
  EXPECT_THAT(with([](CompanionSpec& s) {
                s.fds[8] = 0;
                s.sources = {{.fd = 8, .path = "/a"}};
              }),
              invalid);
}

TEST(CompanionTest, RefusesTwoOfOneNameAndTooMany) {
  EXPECT_THAT(CheckCompanions({Least(), Least()}), HasReason(Reason::kInvalidArgument));
  std::vector<CompanionSpec> many;
  for (size_t i = 0; i < kMaxCompanions; ++i) {
    many.push_back(Least(absl::StrCat("fs-", i)));
    many.back().identity = CompanionIdentity{.uid = 1000, .gid = 1000, .groups = {}};
  }
  EXPECT_OK(CheckCompanions(many));
  many.push_back(Least());
  EXPECT_THAT(CheckCompanions(many), HasReason(Reason::kLimitExceeded));
}

TEST(CompanionTest, NoTwoRunAsOneUserOfTheSandboxs) {
  CompanionSpec other = Least("secret");
  EXPECT_THAT(CheckCompanions({Least(), other}), HasReason(Reason::kInvalidArgument));
  other.own_user = kOwnUsers;
  EXPECT_THAT(CheckCompanions({Least(), other}), HasReason(Reason::kInvalidArgument));
  other.own_user = 1;
  EXPECT_OK(CheckCompanions({Least(), other}));

  EXPECT_THAT(JailerCommandLine(Least(), SomePlan(), CgroupLayout()),
              IsSupersetOf({"--uid=5000", "--gid=5000"}));
  EXPECT_THAT(JailerCommandLine(other, SomePlan(), CgroupLayout()),
              IsSupersetOf({"--uid=6000", "--gid=6000"}));
}

TEST(CompanionTest, HasACgroupBesideThatOfItsVmm) {
  const CompanionPaths paths = PathsOf(SomePlan(), "net");

  EXPECT_EQ(paths.cgroup, "msb/box+net");
  EXPECT_EQ(paths.control_socket, "/run/msb/box/net.sock");
  EXPECT_EQ(paths.log, "/run/msb/box/net.log");
}

TEST(CompanionTest, ItsJailIsToldWhoItIsAndWhatItMayHave) {
  CompanionSpec spec = Least("fs-0");
  spec.arguments = {"--tag=home"};
  spec.identity = CompanionIdentity{.uid = 1000, .gid = 100, .groups = {100, 27}};
  spec.capabilities = {"chown"};
  spec.sources = {{.fd = 8, .path = "/home/a", .access = SourceAccess::kReadWrite},
                  {.fd = 9, .path = "/etc/motd", .kind = SourceKind::kFile}};
  spec.memory_mib = 32;
  const CgroupLayout layout{{{CgroupVersion::kV2, "/sys/fs/cgroup", {"memory", "pids"}}}};

  const std::vector<std::string> words = JailerCommandLine(spec, SomePlan(), layout);

  EXPECT_THAT(words,
              IsSupersetOf({"--id=box-fs-0", "--uid=1000", "--gid=100", "--groups=100,27",
                            "--keep-caps=chown", "--keep-fd=3", "--keep-fd=4",
                            "--open=8:dir-rw:/home/a", "--open=9:file-ro:/etc/motd",
                            "--cgroup=msb/box+fs-0", "--memory-max=33554432", "--pids-max=64"}));
  EXPECT_THAT(words, Not(Contains("--keep-fd=5")));
  EXPECT_THAT(words, Not(Contains("--as-root")));
  const std::vector<std::string> end(words.end() - 3, words.end());
  EXPECT_THAT(end, ElementsAreArray({"--", "msb-net", "--tag=home"}));
}

TEST(CompanionTest, SourcesOfTheDaemonAreLookedUpWithItsRights) {
  CompanionSpec spec = Least("fs");
  spec.sources = {{.fd = 8,
                   .path = "/var/lib/x",
                   .kind = SourceKind::kAny,
                   .access = SourceAccess::kReadWrite,
                   .rights = SourceRights::kDaemon}};

  EXPECT_THAT(JailerCommandLine(spec, SomePlan(), CgroupLayout()),
              Contains("--open-own=8:any-rw:/var/lib/x"));
}

TEST(CompanionTest, AQuestionAboutItsSourcesRunsNothing) {
  CompanionSpec spec = Least("fs");
  spec.identity = CompanionIdentity{.uid = 1000, .gid = 100, .groups = {}};
  spec.sources = {{.fd = 8, .path = "/home/a", .kind = SourceKind::kAny}};

  const std::vector<std::string> words =
      SourceCheckCommandLine(spec, SomePlan(), "/run/msb", CgroupLayout());

  EXPECT_THAT(words, IsSupersetOf({"--open-only", "--uid=1000", "--root=/run/msb",
                                   "--open=8:any-ro:/home/a"}));
  EXPECT_THAT(words, Not(Contains("--keep-fd=3")));
}

TEST(CompanionTest, IsAUserOfTheSandboxsOwnUnlessItIsToldOtherwise) {
  const std::vector<std::string> words = JailerCommandLine(Least(), SomePlan(), CgroupLayout());

  EXPECT_THAT(words, IsSupersetOf({"--uid=5000", "--gid=5000"}));
}

TEST(CompanionTest, RootAsItsUserIsSaidTwice) {
  CompanionSpec spec = Least();
  spec.identity = CompanionIdentity{};

  EXPECT_THAT(JailerCommandLine(spec, SomePlan(), CgroupLayout()), Contains("--as-root"));
}

TEST(CompanionLogTest, TakesSoMuchAndNoMore) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd log, MakeCompanionLog(4096));
  const std::string text(4096, 'a');
  ASSERT_EQ(::write(log.get(), text.data(), 4000), 4000);
  ASSERT_EQ(::write(log.get(), text.data(), 4000), 96);

  EXPECT_EQ(::write(log.get(), text.data(), 1), -1);

  ASSERT_OK_AND_ASSIGN(const std::string kept, ReadCompanionLog(log, 8192));
  EXPECT_TRUE(kept == text);
}

TEST(CompanionLogTest, CannotBeMadeLarger) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd log, MakeCompanionLog(4096));

  EXPECT_EQ(::ftruncate(log.get(), 8192), -1);
}

TEST(CompanionLogTest, OfARunningProcessMustBeOne) {
  EXPECT_THAT(OpenCompanionLog(::getpid()), HasReason(Reason::kHostError));
}

TEST(CompanionLogTest, TheKeptOnesBeginAgainBeyondTheirLimit) {
  TempDir folder;
  const std::string path = folder.path() + "/net.log";
  ASSERT_OK(KeepCompanionLog("one\n", path, 6));
  ASSERT_OK(KeepCompanionLog("two\n", path, 6));
  EXPECT_EQ(folder.Read("net.log"), "one\ntwo\n");

  ASSERT_OK(KeepCompanionLog("three\n", path, 6));

  EXPECT_EQ(folder.Read("net.log"), "three\n");
}

TEST(CompanionLogTest, TheLastLineIsFitForAMessage) {
  EXPECT_EQ(LastLine("one\ntwo\n\n"), "two");
  EXPECT_EQ(LastLine(""), "");
  EXPECT_THAT(LastLine("a\x1b[2J"), Not(HasSubstr("\x1b")));
  EXPECT_LE(LastLine(std::string(10'000, 'a')).size(), 256u);
}

}  // namespace
}  // namespace msb
