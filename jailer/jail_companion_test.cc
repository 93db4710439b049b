// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the jail of a companion process may have that a VMM's may not: files of a user's, a user's
// groups, single capabilities, the host's network.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "jailer/step.h"
#include "tests/support/jailer/jail_run.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::HasSubstr;

constexpr uid_t kUser = JailRun::kUid;
constexpr gid_t kGroup = JailRun::kUid + 7;

class JailCompanionTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto reason = NoJailHere()) GTEST_SKIP() << *reason;
    ASSERT_EQ(::chmod(host_.path().c_str(), 0755), 0);
    MakeDirectory("mine", kUser, 0755);
    host_.Write("mine/note", "content");
    ASSERT_EQ(::chown(Path("mine/note").c_str(), kUser, kUser), 0);
  }
  std::string Path(const std::string& name) const { return host_.path() + "/" + name; }
  void MakeDirectory(const std::string& name, uid_t owner, mode_t mode) {
    ASSERT_EQ(::mkdir(Path(name).c_str(), 0755), 0);
    ASSERT_EQ(::chmod(Path(name).c_str(), mode), 0);
    ASSERT_EQ(::chown(Path(name).c_str(), owner, owner), 0);
  }
  std::map<std::string, std::string> Sources(const std::string& open) {
    run_.flags.push_back(absl::StrCat("--open=20:", open));
    run_.argv = {"probe", "sources", "20"};
    const JailResult result = run_.Run();
    EXPECT_EQ(result.exit_code, 0) << result.error;
    return result.said;
  }
  void ExpectRefused(const std::string& open, const std::string& cause) {
    run_.flags.push_back(absl::StrCat("--open=20:", open));
    const JailResult result = run_.Run();
    EXPECT_EQ(result.exit_code, ExitCodeOf(Step::kSources));
    EXPECT_THAT(result.error, HasSubstr(cause));
    EXPECT_EQ(result.output, "") << "the probe ran";
  }
  TempDir host_;
  JailRun run_;
};

TEST_F(JailCompanionTest, WritesToADirectoryOfItsUser) {
  auto said = Sources("dir-rw:" + Path("mine"));

  EXPECT_EQ(said["names 20"], "3");
  EXPECT_EQ(said["create 20"], "0");
  struct stat info {};
  ASSERT_EQ(::stat(Path("mine/made").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, kUser);
}

TEST_F(JailCompanionTest, CannotLeaveADirectoryUpwards) {
  EXPECT_EQ(Sources("dir-rw:" + Path("mine"))["parent is itself 20"], "1");
}

TEST_F(JailCompanionTest, ChangesNothingInAReadOnlyDirectoryOfItsOwnUser) {
  auto said = Sources("dir-ro:" + Path("mine"));

  EXPECT_EQ(said["names 20"], "3");
  EXPECT_EQ(said["create 20"], absl::StrCat(EROFS));
  EXPECT_EQ(said["chmod 20"], absl::StrCat(EROFS));
}

TEST_F(JailCompanionTest, OpensNoDevice) {
  ASSERT_EQ(::mknod(Path("mine/device").c_str(), S_IFCHR | 0666, ::makedev(1, 3)), 0);
  ASSERT_EQ(::chmod(Path("mine/device").c_str(), 0666), 0);

  EXPECT_EQ(Sources("dir-rw:" + Path("mine"))["device 20"], absl::StrCat(EACCES));
}

TEST_F(JailCompanionTest, FollowsTheUsersOwnLinks) {
  ASSERT_EQ(::symlink(Path("mine").c_str(), Path("link").c_str()), 0);

  EXPECT_EQ(Sources("dir-ro:" + Path("link"))["names 20"], "3");
}

TEST_F(JailCompanionTest, SeesWhatIsMountedBelow) {
  MakeDirectory("mine/device", 0, 0700);
  ASSERT_EQ(::mount("below", Path("mine/device").c_str(), "tmpfs", 0, "mode=0755"), 0);

  auto said = Sources("dir-ro:" + Path("mine"));
  ::umount(Path("mine/device").c_str());

  EXPECT_EQ(said["device 20"], "0");
}

TEST_F(JailCompanionTest, ReadsAndWritesAFile) {
  auto said = Sources("file-rw:" + Path("mine/note"));

  EXPECT_EQ(said["text 20"], "content");
  EXPECT_EQ(said["write 20"], "0");
  EXPECT_EQ(host_.Read("mine/note"), "xontent");
}

TEST_F(JailCompanionTest, ChangesNothingOfAReadOnlyFileOfItsOwnUser) {
  auto said = Sources("file-ro:" + Path("mine/note"));

  EXPECT_EQ(said["text 20"], "content");
  EXPECT_EQ(said["write 20"], absl::StrCat(EBADF));
  EXPECT_EQ(said["chmod 20"], absl::StrCat(EROFS));
}

TEST_F(JailCompanionTest, RefusesWhatTheUserMayNotReach) {
  MakeDirectory("closed", 0, 0700);
  MakeDirectory("closed/inner", kUser, 0755);
  ExpectRefused("dir-ro:" + Path("closed/inner"), "Permission denied");
}

TEST_F(JailCompanionTest, RefusesAFileThatTheUserMayNotWrite) {
  host_.Write("roots", "secret");
  ExpectRefused("file-rw:" + Path("roots"), "Permission denied");
}

TEST_F(JailCompanionTest, RefusesWhatIsNoDirectory) {
  ExpectRefused("dir-ro:" + Path("mine/note"), "source 20: it is no directory");
}

TEST_F(JailCompanionTest, RefusesWhatIsNoFile) {
  ASSERT_EQ(::mkfifo(Path("pipe").c_str(), 0666), 0);
  ExpectRefused("file-ro:" + Path("pipe"), "source 20: it is no regular file");
}

TEST_F(JailCompanionTest, RefusesWhatIsNotThere) {
  ExpectRefused("dir-ro:" + Path("nowhere"), "source 20: No such file");
}

TEST_F(JailCompanionTest, OpensWhateverIsThereWhenEitherWillDo) {
  auto said = Sources("any-rw:" + Path("mine"));
  EXPECT_EQ(said["create 20"], "0");
  EXPECT_EQ(said["parent is itself 20"], "1");

  run_.Remove("--open=");
  said = Sources("any-ro:" + Path("mine/note"));
  EXPECT_EQ(said["text 20"], "content");
  EXPECT_EQ(said["write 20"], absl::StrCat(EBADF));
}

TEST_F(JailCompanionTest, RefusesWhatIsNeitherDirectoryNorFile) {
  ASSERT_EQ(::mkfifo(Path("pipe").c_str(), 0666), 0);
  ExpectRefused("any-rw:" + Path("pipe"), "neither a directory nor a regular file");
}

TEST_F(JailCompanionTest, RefusesWhatIsTheKernels) {
  ExpectRefused("any-ro:/proc", "belongs to the host's kernel");
}

TEST_F(JailCompanionTest, FollowsNoLinkThatIsADoorOfThisVeryProcess) {
  for (const char* door : {"/proc/self/cwd", "/proc/self/root/etc", "/proc/self/fd/0"}) {
    run_.Remove("--open=");
    ExpectRefused(absl::StrCat("any-ro:", door), "Too many levels of symbolic links");
  }
}

TEST_F(JailCompanionTest, TellsNoPathInItsReport) {
  run_.flags.push_back("--open=20:any-ro:" + Path("a-name-of-mine"));
  EXPECT_THAT(run_.Run().error, testing::Not(HasSubstr("a-name-of-mine")));
}

TEST_F(JailCompanionTest, OpensThePathsOfTheDaemonForAUserWhoCannotReachThem) {
  MakeDirectory("closed", 0, 0700);
  MakeDirectory("closed/inner", kUser, 0755);
  run_.flags.push_back("--open-own=20:dir-rw:" + Path("closed/inner"));
  run_.argv = {"probe", "sources", "20"};

  auto said = run_.Run().said;

  EXPECT_EQ(said["create 20"], "0");
  EXPECT_EQ(said["parent is itself 20"], "1");
}

TEST_F(JailCompanionTest, AQuestionWhetherItWouldOpenRunsNothing) {
  run_.flags.push_back("--open-only");
  run_.flags.push_back("--open=20:dir-rw:" + Path("mine"));

  const JailResult result = run_.Run();

  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_EQ(result.output, "") << "the probe ran";
}

TEST_F(JailCompanionTest, ReachesWithItsGroupsWhatIsTheirs) {
  MakeDirectory("shared", 0, 0750);
  ASSERT_EQ(::chown(Path("shared").c_str(), 0, kGroup), 0);
  run_.flags.push_back(absl::StrCat("--groups=5,", kGroup));
  MakeDirectory("shared/inner", 0, 0750);
  ASSERT_EQ(::chown(Path("shared/inner").c_str(), 0, kGroup), 0);

  EXPECT_EQ(Sources("dir-ro:" + Path("shared/inner"))["names 20"], "2");
}

TEST_F(JailCompanionTest, HasTheGroupsOfItsPlan) {
  run_.flags.push_back("--groups=5,6,7");

  EXPECT_EQ(run_.Run().said["groups"], "3");
}

TEST_F(JailCompanionTest, KeepsTheCapabilitiesOfItsPlanAndNoOther) {
  run_.flags.push_back("--keep-caps=chown,fowner");

  auto said = run_.Run().said;

  EXPECT_EQ(said["effective"], absl::StrCat((1 << CAP_CHOWN) | (1 << CAP_FOWNER)));
  EXPECT_EQ(said["bounding"], "2");
  EXPECT_EQ(said["ambient"], "2");
  EXPECT_EQ(said["setuid_0"], absl::StrCat(EPERM));
  EXPECT_EQ(said["no_new_privs"], "1");
}

TEST_F(JailCompanionTest, IsNobodySpecialAsUserZero) {
  run_.Replace("--uid=", "--uid=0");
  run_.Replace("--gid=", "--gid=0");
  run_.flags.push_back("--as-root");

  auto said = run_.Run().said;

  EXPECT_EQ(said["uids"], "0,0,0");
  EXPECT_EQ(said["capabilities"], "0");
  EXPECT_EQ(said["bounding"], "0");
}

TEST_F(JailCompanionTest, SharesTheHostsNetworkWhenItIsTold) {
  struct stat host {};
  ASSERT_EQ(::stat("/proc/self/ns/net", &host), 0);
  const auto network = [&](const std::string& flag) {
    JailRun run;
    run.flags.push_back(flag);
    run.argv = {"probe", "stay"};
    JailResult result = run.Start();
    struct stat jail {};
    const std::string pid = result.status.substr(4, result.status.find('\n') - 4);
    EXPECT_EQ(::stat(absl::StrCat("/proc/", pid, "/ns/net").c_str(), &jail), 0) << result.error;
    run.Finish(result);
    return jail.st_ino;
  };

  EXPECT_EQ(network("--net=host"), host.st_ino);
  EXPECT_NE(network("--net=own"), host.st_ino);
}

}  // namespace
}  // namespace msb
