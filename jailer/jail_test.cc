// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a process sees from inside its jail.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/securebits.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/support/jailer/jail_run.h"

namespace msb {
namespace {

using testing::HasSubstr;
using testing::Not;

class JailTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto reason = NoJailHere()) GTEST_SKIP() << *reason;
  }
  std::map<std::string, std::string> Report() {
    const JailResult result = run_.Run();
    EXPECT_EQ(result.exit_code, 0) << result.error;
    EXPECT_EQ(result.probe, 0) << "wait status of the probe";
    return result.said;
  }
  JailRun run_;
};

std::string Triple(int id) { return absl::StrCat(id, ",", id, ",", id); }

TEST_F(JailTest, IsTheSandboxesUserAndNobodyElse) {
  auto said = Report();

  EXPECT_EQ(said["uids"], Triple(JailRun::kUid));
  EXPECT_EQ(said["gids"], Triple(JailRun::kUid));
  EXPECT_EQ(said["groups"], "0");
  EXPECT_EQ(said["setuid_0"], absl::StrCat(EPERM));
}

TEST_F(JailTest, HasNoCapabilityAndNoWayToOne) {
  auto said = Report();

  EXPECT_EQ(said["capabilities"], "0");
  EXPECT_EQ(said["bounding"], "0");
  EXPECT_EQ(said["ambient"], "0");
  EXPECT_EQ(said["no_new_privs"], "1");
  const int locked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                     SECBIT_NO_SETUID_FIXUP_LOCKED;
  EXPECT_EQ(said["securebits"], absl::StrCat(locked));
}

TEST_F(JailTest, HasAnEmptyRootThatItCannotChange) {
  auto said = Report();

  EXPECT_EQ(said["root"], "");
  EXPECT_EQ(said["escape"], "");
  EXPECT_EQ(said["proc"], "0");
  EXPECT_EQ(said["root_mode"], absl::StrCat(0555));
  EXPECT_EQ(said["create_in_root"], absl::StrCat(EROFS));
  EXPECT_EQ(said["mount"], absl::StrCat(EPERM));
  EXPECT_THAT(said["mknod"], testing::AnyOf(absl::StrCat(EPERM), absl::StrCat(EROFS)));
}

TEST_F(JailTest, HasOnlyTheDescriptorsThatItWasGiven) {
  run_.kept_fds = {20, 33};

  EXPECT_EQ(Report()["fds"], "0,1,2,20,33");
}

TEST_F(JailTest, IsAloneInItsNamespaces) {
  auto said = Report();

  EXPECT_EQ(said["pid"], "1");
  EXPECT_EQ(said["ppid"], "0");
  EXPECT_EQ(said["sid"], "1");
  EXPECT_EQ(said["other_processes"], "0");
  EXPECT_EQ(said["hostname"], "test-box");
}

TEST_F(JailTest, HasANetworkOfItsOwnWithNothingInIt) {
  auto said = Report();

  // Kernels with tunnels built in show their idle devices in every namespace.
  const std::vector<std::string> names = absl::StrSplit(said["interfaces"], ',');
  EXPECT_THAT(names, testing::Contains("lo"));
  EXPECT_THAT(names, Not(testing::Contains(HasSubstr("eth"))));
  EXPECT_EQ(said["interfaces_up"], "0");
  EXPECT_EQ(said["connect"], absl::StrCat(ENETUNREACH));
}

TEST_F(JailTest, HasACleanEnvironmentAndBoundedResources) {
  run_.flags.push_back("--nofile=512");
  run_.flags.push_back("--fsize=123456");

  auto said = Report();

  EXPECT_EQ(said["environment"], "0");
  EXPECT_EQ(said["umask"], absl::StrCat(0077));
  EXPECT_EQ(said["core"], "0");
  EXPECT_EQ(said["nofile"], "512");
  EXPECT_EQ(said["fsize"], "123456");
}

TEST_F(JailTest, HasAsManyFilesAsTheHostLetsItHave) {
  rlimit own{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &own), 0);
  if (own.rlim_max >= (1 << 20) - 2) GTEST_SKIP() << "more than any jail asks for";
  const rlimit more{.rlim_cur = own.rlim_max, .rlim_max = own.rlim_max + 1};
  const bool may_raise = ::setrlimit(RLIMIT_NOFILE, &more) == 0;
  const rlim_t wanted = own.rlim_max + 2;
  run_.flags.push_back(absl::StrCat("--nofile=", wanted));

  EXPECT_EQ(Report()["nofile"], absl::StrCat(may_raise ? wanted : own.rlim_max));

  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &own), 0);
}

TEST_F(JailTest, HasTheMountsOfItsPlanAndCanWriteToTmpfsAlone) {
  TempDir folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  folder.Write("file", "content");
  run_.flags.push_back(absl::StrCat("--bind-ro=", folder.path(), ":/opt/qemu"));
  run_.flags.push_back("--tmpfs=/run/sockets:65536");
  run_.flags.push_back("--dev=null,zero");
  run_.argv = {"probe", "report", "/opt/qemu", "/run/sockets", "/dev"};

  auto said = Report();

  EXPECT_EQ(said["list /opt/qemu"], "file");
  EXPECT_EQ(said["create /opt/qemu"], absl::StrCat(EROFS));
  EXPECT_EQ(said["create /run/sockets"], "0");
  EXPECT_THAT(said["list /dev"], testing::AnyOf("null,zero", "zero,null"));
  EXPECT_EQ(said["create /dev"], absl::StrCat(EROFS));
  EXPECT_EQ(said["proc"], "0");
}

TEST_F(JailTest, SeesItselfAloneInProc) {
  run_.flags.push_back("--proc");
  run_.argv = {"probe", "report", "/proc"};

  auto said = Report();

  std::vector<std::string> names = absl::StrSplit(said["list /proc"], ',');
  EXPECT_THAT(names, testing::UnorderedElementsAre("1", "self", "thread-self"));
}

TEST_F(JailTest, LeavesTheHostsMountsAsTheyWere) {
  const auto mounts = [] {
    std::ifstream file("/proc/self/mountinfo");
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string before = mounts();
  run_.flags.push_back("--tmpfs=/run:65536");
  run_.flags.push_back("--proc");

  Report();

  EXPECT_EQ(mounts(), before);
}

TEST_F(JailTest, RunsOnWhenTheJailerHasEnded) {
  run_.argv = {"probe", "stay"};

  JailResult result = run_.Start();
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_FALSE(result.probe.has_value());
  run_.Finish(result);

  EXPECT_EQ(result.said["stay"], "1");
  EXPECT_EQ(result.probe, 0);
}

}  // namespace
}  // namespace msb
