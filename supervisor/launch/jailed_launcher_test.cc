// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/jailed_launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/frames.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/process.h"
#include "tests/support/launch/launch_fixture.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

namespace pb = msb::vmm::v1;
using testing::HasSubstr;
using testing::Not;

class JailedLauncherTest : public LaunchFixture {
 protected:
  static void AwaitEnd(const LaunchedVmm& vmm) {
    EXPECT_OK(WaitForEnd(vmm.pidfd, absl::InfiniteFuture()));
  }
  static void Crash(const LaunchedVmm& vmm) {
    ASSERT_EQ(::kill(vmm.process.pid, SIGKILL), 0);
    AwaitEnd(vmm);
  }
  static std::string Read(const std::string& path) {
    auto text = ReadHostFile(path);
    return text.ok() ? *text : "";
  }
};

TEST_F(JailedLauncherTest, LaunchesAVmmThatAnswersOnItsControlSocket) {
  const LaunchSpec spec = SpecOf(1);

  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(spec));

  ASSERT_OK_AND_ASSIGN(const pb::ControlResponse answer,
                       AskStatus(launcher().Plan(spec.id, spec.slot)));
  EXPECT_EQ(answer.id(), 7u);
  EXPECT_EQ(answer.status().state(), pb::VM_STATE_RUNNING);
  EXPECT_EQ(answer.status().memory_mib(), spec.memory_mib);
  EXPECT_FALSE(HasEnded(vmm.pidfd));
}

TEST_F(JailedLauncherTest, GivesEachSandboxItsOwnUserCidAndCgroup) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecOf(5)));
  const LaunchPlan plan = launcher().Plan("box5", 5);

  EXPECT_EQ(plan.uid, options_.base_uid + 5);
  EXPECT_EQ(plan.guest_cid, 8u);
  const std::string proc = absl::StrCat("/proc/", vmm.process.pid);
  EXPECT_THAT(Read(proc + "/status"),
              HasSubstr(absl::StrCat("Uid:\t", plan.uid, "\t", plan.uid, "\t", plan.uid)));
  EXPECT_THAT(Read(proc + "/cgroup"), HasSubstr(plan.cgroup));
  EXPECT_THAT(CgroupFolders(plan), Not(testing::IsEmpty()));
}

TEST_F(JailedLauncherTest, GivesNoUserTwice) {
  std::set<uint32_t> users = {options_.base_uid + kImageJobsUser};
  for (const uint32_t slot : {0u, 1u, kMaxSlots - 1}) {
    const LaunchPlan plan = launcher().Plan("box", slot);
    EXPECT_TRUE(users.insert(plan.uid).second) << slot;
    for (const uint32_t uid : plan.companion_uids) {
      EXPECT_TRUE(users.insert(uid).second) << slot;
      EXPECT_LT(uid, options_.base_uid + kUserIds);
    }
  }
}

TEST_F(JailedLauncherTest, GivesTheVmmWhatItsSpecNamesAndNothingElse) {
  const LaunchSpec spec = SpecOf(1);
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(spec));
  const LaunchPlan plan = launcher().Plan(spec.id, spec.slot);
  ASSERT_OK(AskStatus(plan));  // it has introduced itself by then

  // Spec, sockets, logs, kernel, initramfs; two disks; no /dev/kvm for the engine qemu.
  EXPECT_THAT(Read(plan.vmm_log), HasSubstr("fds=0,1,2,3,4,5,6,7,8,9,16,17,\n"));
  EXPECT_THAT(Read(plan.vmm_log), HasSubstr(absl::StrCat("id=box1 uid=", plan.uid)));
  EXPECT_EQ(Read(plan.console_log), "console of box1\n");
}

TEST_F(JailedLauncherTest, KeepsTheRuntimeDirectoryToItself) {
  ASSERT_OK(launcher().Launch(SpecOf(1)));

  struct stat info {};
  ASSERT_EQ(::stat(launcher().Plan("box1", 1).runtime_directory.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  ASSERT_EQ(::stat(launcher().Plan("box1", 1).control_socket.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(JailedLauncherTest, CleanUpEndsARunningVmmWithAllItsChildren) {
  LaunchSpec spec = SpecOf(1);
  spec.command_line = "fake.children=10";
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(spec));
  const LaunchPlan plan = launcher().Plan(spec.id, spec.slot);
  ASSERT_OK(AskStatus(plan));

  ASSERT_OK(launcher().CleanUp(plan));

  EXPECT_TRUE(HasEnded(vmm.pidfd));
  ExpectCleared(plan);
}

TEST_F(JailedLauncherTest, CleanUpReapsTheVmm) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecOf(1)));
  Crash(vmm);

  ASSERT_OK(launcher().CleanUp(launcher().Plan("box1", 1)));

  EXPECT_EQ(::waitpid(vmm.process.pid, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST_F(JailedLauncherTest, CleanUpIsIdempotentAndKeepsTheLogs) {
  const LaunchPlan plan = launcher().Plan("box1", 1);
  ASSERT_OK(launcher().Launch(SpecOf(1)));
  ASSERT_OK(AskStatus(plan));

  EXPECT_OK(launcher().CleanUp(plan));
  EXPECT_OK(launcher().CleanUp(plan));

  ExpectCleared(plan);
  EXPECT_EQ(Read(plan.console_log), "console of box1\n");
  EXPECT_OK(launcher().RemoveLogs(plan));
  EXPECT_OK(launcher().RemoveLogs(plan));
  EXPECT_FALSE(std::filesystem::exists(plan.runtime_directory));
  EXPECT_OK(launcher().CleanUp(plan));
}

TEST_F(JailedLauncherTest, CleanUpOfWhatNeverWasSucceeds) {
  EXPECT_OK(launcher().CleanUp(launcher().Plan("nobody", 9)));
  EXPECT_OK(launcher().RemoveLogs(launcher().Plan("nobody", 9)));
}

TEST_F(JailedLauncherTest, AnotherLauncherAdoptsARunningVmm) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecOf(1)));
  const std::unique_ptr<JailedLauncher> second = NewLauncher();
  const LaunchPlan plan = second->Plan("box1", 1);

  ASSERT_OK_AND_ASSIGN(const LaunchedVmm adopted, second->Adopt(vmm.process, plan));

  EXPECT_FALSE(HasEnded(adopted.pidfd));
  EXPECT_OK(AskStatus(plan));
  ASSERT_OK(second->CleanUp(plan));
  EXPECT_TRUE(HasEnded(vmm.pidfd));
  ExpectCleared(plan);
}

TEST_F(JailedLauncherTest, AVmmOutlivesTheProcessThatLaunchedItAndIsAdopted) {
  const LaunchSpec spec = SpecOf(1);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    const auto vmm = NewLauncher()->Launch(spec);
    const ProcessIdentity identity = vmm.ok() ? vmm->process : ProcessIdentity{};
    [[maybe_unused]] auto written = ::write(ends[1], &identity, sizeof(identity));
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(daemon, nullptr, 0), daemon);
  ProcessIdentity identity;
  ASSERT_EQ(::read(ends[0], &identity, sizeof(identity)), static_cast<ssize_t>(sizeof(identity)));
  ::close(ends[0]);
  ::close(ends[1]);
  const LaunchPlan plan = launcher().Plan("box1", 1);

  ASSERT_OK_AND_ASSIGN(const LaunchedVmm adopted, launcher().Adopt(identity, plan));

  EXPECT_OK(AskStatus(plan));
  ASSERT_OK(launcher().CleanUp(plan));
  EXPECT_TRUE(HasEnded(adopted.pidfd));
  ExpectCleared(plan);
}

TEST_F(JailedLauncherTest, AnotherLauncherClearsUpWithoutAdopting) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecOf(1)));
  const std::unique_ptr<JailedLauncher> second = NewLauncher();

  ASSERT_OK(second->CleanUp(second->Plan("box1", 1)));

  EXPECT_TRUE(HasEnded(vmm.pidfd));
  ExpectCleared(second->Plan("box1", 1));
}

TEST_F(JailedLauncherTest, DoesNotAdoptAProcessThatOnlyHasThePid) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecOf(1)));
  ProcessIdentity other = vmm.process;
  ++other.start_time_ticks;

  EXPECT_THAT(launcher().Adopt(other, launcher().Plan("box1", 1)), HasReason(Reason::kVmmDied));
}

TEST_F(JailedLauncherTest, DoesNotAdoptAProcessOfAnotherCgroup) {
  ASSERT_OK_AND_ASSIGN(const uint64_t start_time, ReadStartTime(::getpid()));

  EXPECT_THAT(launcher().Adopt({::getpid(), start_time}, launcher().Plan("box1", 1)),
              HasReason(Reason::kVmmDied));
}

TEST_F(JailedLauncherTest, DoesNotAdoptAVmmThatHasEnded) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecOf(1)));
  Crash(vmm);
  const LaunchPlan plan = launcher().Plan("box1", 1);

  EXPECT_THAT(NewLauncher()->Adopt(vmm.process, plan), HasReason(Reason::kVmmDied));
  ASSERT_OK(launcher().CleanUp(plan));
  EXPECT_THAT(NewLauncher()->Adopt(vmm.process, plan), HasReason(Reason::kVmmDied));
}

TEST_F(JailedLauncherTest, TheExitEventSaysWhyTheVmmEnded) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecOf(1)));
  const LaunchPlan plan = launcher().Plan("box1", 1);
  pb::ControlRequest stop;
  stop.mutable_stop();
  ASSERT_OK(Ask(plan, stop));
  AwaitEnd(vmm);

  FrameReader reader;
  reader.Append(Read(plan.exit_event));
  ASSERT_OK_AND_ASSIGN(const auto frame, reader.Next());
  pb::VmEvent event;
  ASSERT_TRUE(frame && event.ParseFromString(std::string(*frame)));
  EXPECT_EQ(event.reason(), static_cast<int>(Reason::kStoppedByRequest));
}

TEST_F(JailedLauncherTest, ReadsTheUsageOfARunningAndOfAnEndedVmm) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecOf(1)));
  const LaunchPlan plan = launcher().Plan("box1", 1);
  ASSERT_OK(AskStatus(plan));

  ASSERT_OK_AND_ASSIGN(Launcher::Usage usage, launcher().ReadUsage(plan));
  EXPECT_GT(usage.cpu_ns, 0u);
  EXPECT_GT(usage.memory_bytes, 0u);
  EXPECT_EQ(usage.memory_limit_bytes, (64u + options_.qemu_overhead_mib) << 20);
  EXPECT_FALSE(usage.oom_killed);

  Crash(vmm);
  ASSERT_OK_AND_ASSIGN(usage, launcher().ReadUsage(plan));
  EXPECT_GT(usage.cpu_ns, 0u);
  ASSERT_OK(launcher().CleanUp(plan));
  EXPECT_THAT(launcher().ReadUsage(plan), HasReason(Reason::kSandboxNotRunning));
}

TEST_F(JailedLauncherTest, TellsThatAVmmRanOutOfItsMemory) {
  LaunchSpec spec = SpecOf(1);
  spec.command_line = "fake.hog=200";
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(spec));
  AwaitEnd(vmm);

  ASSERT_OK_AND_ASSIGN(const Launcher::Usage usage,
                       launcher().ReadUsage(launcher().Plan("box1", 1)));
  EXPECT_TRUE(usage.oom_killed);
}

TEST_F(JailedLauncherTest, LaunchesTheSameSandboxAgainAfterCleanUp) {
  const LaunchPlan plan = launcher().Plan("box1", 1);
  for (int round = 0; round < 3; ++round) {
    ASSERT_OK(launcher().Launch(SpecOf(1)));
    ASSERT_OK(AskStatus(plan));
    ASSERT_OK(launcher().CleanUp(plan));
  }
  EXPECT_EQ(Read(plan.console_log), "console of box1\n");
}

TEST_F(JailedLauncherTest, LaunchesAgainOverAVmmThatEndedUnnoticed) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm first, launcher().Launch(SpecOf(1)));
  Crash(first);

  ASSERT_OK(launcher().Launch(SpecOf(1)));

  EXPECT_OK(AskStatus(launcher().Plan("box1", 1)));
  EXPECT_EQ(::waitpid(first.process.pid, nullptr, WNOHANG), -1) << "a zombie is left";
}

TEST_F(JailedLauncherTest, DoesNotDisturbARunningVmmByLaunchingItAgain) {
  ASSERT_OK_AND_ASSIGN(const LaunchedVmm vmm, launcher().Launch(SpecOf(1)));

  EXPECT_THAT(launcher().Launch(SpecOf(1)), HasReason(Reason::kSandboxWrongState));

  EXPECT_FALSE(HasEnded(vmm.pidfd));
  EXPECT_OK(AskStatus(launcher().Plan("box1", 1)));
}

TEST_F(JailedLauncherTest, LaunchesManyAtOnce) {
  constexpr int kCount = 20;
  std::vector<LaunchSpec> specs;
  for (int i = 0; i < kCount; ++i) specs.push_back(SpecOf(i));
  std::vector<absl::Status> results(kCount, absl::UnknownError("not run"));
  std::vector<std::thread> threads;
  for (int i = 0; i < kCount; ++i) {
    threads.emplace_back([&, i] {
      const auto vmm = launcher().Launch(specs[i]);
      results[i] =
          vmm.ok() ? AskStatus(launcher().Plan(specs[i].id, specs[i].slot)).status() : vmm.status();
    });
  }
  for (std::thread& thread : threads) thread.join();

  for (const absl::Status& result : results) EXPECT_OK(result);
}

TEST_F(JailedLauncherTest, LeaksNoDescriptor) {
  const LaunchPlan plan = launcher().Plan("box1", 1);
  const int before = CountOpenDescriptors();
  for (int round = 0; round < 3; ++round) {
    ASSERT_OK(launcher().Launch(SpecOf(1)));
    ASSERT_OK(launcher().CleanUp(plan));
  }
  EXPECT_EQ(CountOpenDescriptors(), before);
}

}  // namespace
}  // namespace msb
