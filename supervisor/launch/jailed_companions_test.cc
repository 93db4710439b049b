// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Companions with the real jailer, beside the fake VMM.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/unix_socket.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/process.h"
#include "tests/support/launch/launch_fixture.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class JailedCompanionsTest : public LaunchFixture {
 protected:
  LaunchSpec SpecWith(const std::vector<CompanionSpec>& companions) {
    LaunchSpec spec = SpecOf(1);
    spec.companions = companions;
    spec.command_line = absl::StrCat("fake.companions=", companions.size());
    return spec;
  }
  static std::string Read(const std::string& path) {
    auto text = ReadHostFile(path);
    return text.ok() ? *text : "";
  }
  // What a companion has written so far, once it has answered on its control socket.
  std::string LogOf(const LaunchedCompanion& companion) {
    EXPECT_EQ(Ask(plan(), companion.name, "ping"), "ping");
    return Read(absl::StrCat("/proc/", companion.process.pid, "/fd/2"));
  }
  static std::string Ask(const LaunchPlan& plan, const std::string& name, const std::string& text) {
    const auto socket = ConnectUnix(PathsOf(plan, name).control_socket, Blocking::kYes);
    if (!socket.ok()) return std::string(socket.status().message());
    char answer[64] = "";
    if (::write(socket->get(), text.data(), text.size()) < 0) return "";
    [[maybe_unused]] const auto size = ::read(socket->get(), answer, sizeof(answer) - 1);
    return answer;
  }
  static void AwaitEnd(const UniqueFd& pidfd) {
    EXPECT_OK(WaitForEnd(pidfd, absl::InfiniteFuture()));
  }
  // What a process of that user may do to another, were it not in a jail.
  static std::string WhatMayDo(uint32_t uid, int pid) {
    constexpr const char* kWords[] = {"nothing", "signal", "trace", "signal, trace"};
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
          ::setresuid(uid, uid, uid) != 0) {
        ::_exit(64);
      }
      const int signal = ::kill(pid, 0) == 0 ? 1 : 0;
      const int trace = ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0 ? 2 : 0;
      ::_exit(signal + trace);
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) > 3) {
      return "it did not become that user";
    }
    return kWords[WEXITSTATUS(status)];
  }
  LaunchPlan plan() { return launcher().Plan("box1", 1); }
};

TEST_F(JailedCompanionsTest, TalkToTheirVmm) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm,
                       launcher().Launch(SpecWith({CompanionOf("net"), CompanionOf("fs-0")})));
  ASSERT_OK(AskStatus(plan()));

  EXPECT_THAT(vmm.companions, SizeIs(2));
  EXPECT_THAT(Read(plan().vmm_log), HasSubstr("companion 0: hello\ncompanion 1: hello\n"));
}

TEST_F(JailedCompanionsTest, AnswerOnTheirControlSockets) {
  ASSERT_OK(launcher().Launch(SpecWith({CompanionOf("net"), CompanionOf("fs-0")})));

  EXPECT_EQ(Ask(plan(), "net", "one"), "one");
  EXPECT_EQ(Ask(plan(), "fs-0", "two"), "two");
}

TEST_F(JailedCompanionsTest, HaveWhatTheirSpecificationNamesAndNothingElse) {
  folder_.Write("given", "from the launcher");
  ASSERT_OK_AND_ASSIGN(const UniqueFd given, OpenHostFile(folder_.path() + "/given", O_RDONLY));
  CompanionSpec spec = CompanionOf("net", {"--read=9"});
  spec.fds[9] = given.get();
  spec.input = "the policy";

  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecWith({spec})));

  const std::string log = LogOf(vmm.companions[0]);
  EXPECT_THAT(log, HasSubstr("fds=0,1,2,3,4,5,9,\n"));
  EXPECT_THAT(log, HasSubstr("input=the policy\n"));
  EXPECT_THAT(log, HasSubstr("text=from the launcher\n"));
  EXPECT_THAT(log, HasSubstr(absl::StrCat("uid=", plan().companion_uids[0])));
  EXPECT_NE(plan().companion_uids[0], plan().uid);
}

TEST_F(JailedCompanionsTest, NeitherSignalNorTraceEachOtherOrTheirVmm) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm,
                       launcher().Launch(SpecWith({CompanionOf("net"), CompanionOf("secret")})));
  const std::pair<uint32_t, int> processes[] = {
      {plan().uid, vmm.process.pid},
      {plan().companion_uids[0], vmm.companions[0].process.pid},
      {plan().companion_uids[1], vmm.companions[1].process.pid}};

  for (const auto& [uid, own] : processes) {
    EXPECT_THAT(WhatMayDo(uid, own), HasSubstr("signal"));
    for (const auto& [other_uid, other] : processes) {
      if (uid == other_uid) continue;
      EXPECT_EQ(WhatMayDo(uid, other), "nothing") << uid << " " << other_uid;
    }
  }
}

TEST_F(JailedCompanionsTest, OpenTheFilesOfTheirUserWithItsRights) {
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  folder_.Write("note", "of the user");
  const std::string path = folder_.path() + "/note";
  ASSERT_EQ(::chown(path.c_str(), 4242, 4243), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0040), 0);
  CompanionSpec spec = CompanionOf("fs-0", {"--read=8"});
  spec.identity = CompanionIdentity{.uid = 4244, .gid = 4244, .groups = {4243}};
  spec.sources = {{.fd = 8, .path = path, .kind = SourceKind::kFile}};

  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecWith({spec})));

  EXPECT_THAT(LogOf(vmm.companions[0]), HasSubstr("text=of the user\n"));
}

TEST_F(JailedCompanionsTest, AreNotStartedOnWhatTheirUserMayNotOpen) {
  CompanionSpec spec = CompanionOf("fs-0");
  spec.identity = CompanionIdentity{.uid = 4244, .gid = 4244, .groups = {}};
  spec.sources = {{.fd = 8, .path = "/root"},
                  {.fd = 9, .path = "/etc/shadow", .kind = SourceKind::kFile}};

  const auto vmm = launcher().Launch(SpecWith({CompanionOf("net"), spec}));

  EXPECT_THAT(vmm, HasReason(Reason::kMountSourceInvalid));
  EXPECT_THAT(std::string(vmm.status().message()), HasSubstr("Permission denied"));
  ExpectCleared(plan());
}

TEST_F(JailedCompanionsTest, EachSourceThatCannotBeOpenedHasAReasonOfItsOwn) {
  CompanionSpec spec = CompanionOf("secret");
  spec.sources = {{.fd = 8, .path = "/usr"},
                  {.fd = 9,
                   .path = folder_.path() + "/missing.pem",
                   .kind = SourceKind::kFile,
                   .rights = SourceRights::kDaemon,
                   .reason = Reason::kCaStoreInvalid,
                   .label = "the certificates"}};

  const auto vmm = launcher().Launch(SpecWith({CompanionOf("net"), spec}));

  EXPECT_THAT(vmm, HasReason(Reason::kCaStoreInvalid));
  EXPECT_EQ(vmm.status().message(), "the certificates: No such file or directory");
  ExpectCleared(plan());
}

TEST_F(JailedCompanionsTest, CanBeAskedWhetherTheirUserMayOpenWhatTheyServe) {
  CompanionSpec spec = CompanionOf("fs");
  spec.identity = CompanionIdentity{.uid = 4244, .gid = 4244, .groups = {}};
  spec.sources = {{.fd = 8, .path = "/usr", .kind = SourceKind::kAny, .label = "the first"}};
  EXPECT_OK(launcher().CheckSources(plan(), spec));

  spec.sources.push_back(
      {.fd = 9, .path = "/root/a-name-of-mine", .kind = SourceKind::kAny, .label = "the second"});
  const absl::Status refused = launcher().CheckSources(plan(), spec);

  EXPECT_THAT(refused, HasReason(Reason::kMountSourceInvalid));
  EXPECT_EQ(refused.message(), "the second: Permission denied");
  ExpectCleared(plan());
}

TEST_F(JailedCompanionsTest, EndWithTheirSandbox) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm,
                       launcher().Launch(SpecWith({CompanionOf("net", {"--stay"})})));

  ASSERT_OK(launcher().CleanUp(plan()));

  EXPECT_TRUE(HasEnded(vmm.companions[0].pidfd));
  EXPECT_EQ(::waitpid(vmm.companions[0].process.pid, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  ExpectCleared(plan());
  EXPECT_THAT(Read(PathsOf(plan(), "net").log), HasSubstr("uid="));
  ASSERT_OK(launcher().RemoveLogs(plan()));
  EXPECT_FALSE(std::filesystem::exists(plan().runtime_directory));
}

TEST_F(JailedCompanionsTest, EndInGoodOrderWhenTheirVmmHangsUp) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecWith({CompanionOf("net")})));
  ASSERT_EQ(::kill(vmm.process.pid, SIGKILL), 0);
  AwaitEnd(vmm.companions[0].pidfd);

  ASSERT_OK_AND_ASSIGN(const CompanionEnd end, launcher().EndCompanion(plan(), "net"));

  EXPECT_TRUE(end.orderly) << end.detail;
}

TEST_F(JailedCompanionsTest, AnEndOfTheirOwnIsToldWithTheirLastWords) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm,
                       launcher().Launch(SpecWith({CompanionOf("net", {"--exit=3"})})));
  AwaitEnd(vmm.companions[0].pidfd);

  ASSERT_OK_AND_ASSIGN(const CompanionEnd end, launcher().EndCompanion(plan(), "net"));

  EXPECT_FALSE(end.orderly);
  EXPECT_FALSE(end.oom_killed);
  EXPECT_EQ(end.detail, "net ended with code 3: the last words");
  EXPECT_FALSE(HasEnded(vmm.pidfd)) << "the VMM lives on";
}

TEST_F(JailedCompanionsTest, AreHeldByTheirMemoryLimitAlone) {
  CompanionSpec spec = CompanionOf("net", {"--hog=64"});
  spec.memory_mib = 16;
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecWith({spec})));
  AwaitEnd(vmm.companions[0].pidfd);

  ASSERT_OK_AND_ASSIGN(const CompanionEnd end, launcher().EndCompanion(plan(), "net"));

  EXPECT_TRUE(end.oom_killed);
  EXPECT_FALSE(HasEnded(vmm.pidfd));
}

TEST_F(JailedCompanionsTest, CannotFillTheHostWithTheirLog) {
  options_.companion_log_bytes = 4096;
  const auto small = NewLauncher();
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm,
                       small->Launch(SpecWith({CompanionOf("net", {"--log=100000"})})));
  EXPECT_EQ(Ask(plan(), "net", "ping"), "ping");

  ASSERT_OK(small->CleanUp(plan()));

  EXPECT_EQ(std::filesystem::file_size(PathsOf(plan(), "net").log), 4096u);
}

TEST_F(JailedCompanionsTest, CanBeStartedAgain) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm,
                       launcher().Launch(SpecWith({CompanionOf("net", {"--exit=3"})})));
  AwaitEnd(vmm.companions[0].pidfd);

  ASSERT_OK_AND_ASSIGN(const Launcher::StartedCompanion started,
                       launcher().StartCompanion(plan(), CompanionOf("net")));

  char text[3] = "";
  ASSERT_EQ(::write(started.vmm_socket.get(), "hi", 2), 2);
  ASSERT_EQ(::read(started.vmm_socket.get(), text, 2), 2);
  EXPECT_STREQ(text, "hi");
  EXPECT_EQ(Ask(plan(), "net", "ping"), "ping");
  ASSERT_OK(launcher().CleanUp(plan()));
  EXPECT_TRUE(HasEnded(started.companion.pidfd));
  ExpectCleared(plan());
}

TEST_F(JailedCompanionsTest, EndWithTheirVmmHoweverOftenTheyAreStarted) {
  constexpr int kRestarts = 131;  // more than a socket that nobody accepts from has room for
  CompanionSpec spec = CompanionOf("net");
  spec.vmm_link = VmmLink::kLifetime;
  LaunchSpec launch = SpecWith({spec});
  launch.command_line = "";
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(launch));
  Launcher::StartedCompanion started;
  for (int i = 0; i < kRestarts; ++i) {
    ASSERT_OK_AND_ASSIGN(started, launcher().StartCompanion(plan(), spec));
    ASSERT_FALSE(started.vmm_socket.valid());
  }
  EXPECT_EQ(Ask(plan(), "net", "ping"), "ping");

  ASSERT_EQ(::kill(vmm.process.pid, SIGKILL), 0);

  AwaitEnd(started.companion.pidfd);
  EXPECT_THAT(launcher().StartCompanion(plan(), spec), HasReason(Reason::kVmmDied));
  ASSERT_OK(launcher().CleanUp(plan()));
  ExpectCleared(plan());
}

TEST_F(JailedCompanionsTest, AFailedRestartLeavesTheVmmAndNothingElse) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecWith({})));
  CompanionSpec spec = CompanionOf("net");
  spec.executable = "/etc/passwd";
  const auto before = CgroupFolders(plan());

  EXPECT_THAT(launcher().StartCompanion(plan(), spec), HasReason(Reason::kJailFailed));

  EXPECT_FALSE(HasEnded(vmm.pidfd));
  EXPECT_EQ(CgroupFolders(plan()), before);
  EXPECT_FALSE(std::filesystem::exists(PathsOf(plan(), "net").control_socket));
}

TEST_F(JailedCompanionsTest, AreAdoptedByTheNextDaemon) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecWith({CompanionOf("net")})));
  const auto next = NewLauncher();

  ASSERT_OK(next->Adopt(vmm.process, plan()));
  ASSERT_OK_AND_ASSIGN(const LaunchedCompanion adopted,
                       next->AdoptCompanion("net", vmm.companions[0].process, plan()));

  EXPECT_FALSE(HasEnded(adopted.pidfd));
  ASSERT_OK(next->CleanUp(plan()));
  EXPECT_TRUE(HasEnded(adopted.pidfd));
  ExpectCleared(plan());
  EXPECT_THAT(Read(PathsOf(plan(), "net").log), HasSubstr("uid="));
}

TEST_F(JailedCompanionsTest, AreNotAdoptedWhenTheyAreOthers) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecWith({CompanionOf("net")})));
  ProcessIdentity other = vmm.companions[0].process;
  ++other.start_time_ticks;

  EXPECT_THAT(launcher().AdoptCompanion("net", other, plan()), HasReason(Reason::kCompanionDied));
  EXPECT_THAT(launcher().AdoptCompanion("net", vmm.process, plan()),
              HasReason(Reason::kCompanionDied));
}

TEST_F(JailedCompanionsTest, AreFoundByALauncherThatNeverHeardOfThem) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm,
                       launcher().Launch(SpecWith({CompanionOf("net", {"--stay"})})));
  const auto next = NewLauncher();

  ASSERT_OK(next->CleanUp(plan()));

  EXPECT_TRUE(HasEnded(vmm.companions[0].pidfd));
  ExpectCleared(plan());
}

TEST_F(JailedCompanionsTest, CountIntoTheUsageOfTheirSandbox) {
  CompanionSpec spec = CompanionOf("net", {"--hog=24"});
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecWith({spec})));
  LogOf(vmm.companions[0]);  // it has touched its memory by then

  ASSERT_OK_AND_ASSIGN(const Launcher::Usage usage, launcher().ReadUsage(plan()));

  EXPECT_GT(usage.memory_bytes, uint64_t{24} << 20);
}

TEST_F(JailedCompanionsTest, LeakNoDescriptor) {
  const int before = CountOpenDescriptors();
  for (int round = 0; round < 3; ++round) {
    ASSERT_OK(launcher().Launch(SpecWith({CompanionOf("net"), CompanionOf("fs-0")})));
    ASSERT_OK(launcher().EndCompanion(plan(), "net"));
    ASSERT_OK(launcher().CleanUp(plan()));
  }
  EXPECT_EQ(CountOpenDescriptors(), before);
}

}  // namespace
}  // namespace msb
