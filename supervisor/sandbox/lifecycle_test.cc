// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The life of one sandbox, over a fake VMM and a fake guest.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "supervisor/sandbox/metrics.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/daemon_fixture.h"

namespace msb {
namespace {

using msb::v1::ENGINE_KVM;
using msb::v1::REASON_GUEST_RESET;
using msb::v1::REASON_GUEST_SHUTDOWN;
using msb::v1::REASON_IDLE_TIMEOUT;
using msb::v1::REASON_JAIL_FAILED;
using msb::v1::REASON_LIFETIME_EXCEEDED;
using msb::v1::REASON_TRIPLE_FAULT;
using msb::v1::REASON_UNSPECIFIED;
using msb::v1::REASON_VMM_DIED;
using msb::v1::REASON_VMM_OUT_OF_MEMORY;
using msb::v1::SANDBOX_STATE_CREATING;
using msb::v1::SANDBOX_STATE_FAILED;
using msb::v1::SANDBOX_STATE_PAUSED;
using msb::v1::SANDBOX_STATE_RUNNING;
using msb::v1::SANDBOX_STATE_STARTING;
using msb::v1::SANDBOX_STATE_STOPPED;
using msb::v1::SANDBOX_STATE_STOPPING;
using msb::v1::SANDBOX_STATE_UNSPECIFIED;
using msb::v1::SandboxSpec;
using msb::v1::SandboxState;
using testing::ElementsAre;
using testing::HasSubstr;

SandboxSpec Named(const std::string& name) {
  SandboxSpec spec;
  spec.set_name(name);
  return spec;
}

class SandboxLifeTest : public testing::Test {
 protected:
  void SetUp() override { daemon_.Up(); }

  // States that the events tell, oldest first.
  std::vector<SandboxState> History() {
    std::vector<SandboxState> states;
    for (uint64_t at = 1; at < daemon_.events().Next(); ++at) {
      const auto entry = daemon_.events().Read(at);
      if (entry->event.has_state_change()) states.push_back(entry->event.state_change().to());
    }
    return states;
  }

  DaemonFixture daemon_;
};

TEST_F(SandboxLifeTest, StartsTellsItsStagesAndStopsInGoodOrder) {
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(Named("box")));
  EXPECT_EQ(sandbox.state(), SANDBOX_STATE_RUNNING);
  EXPECT_EQ(sandbox.engine(), ENGINE_KVM);
  EXPECT_THAT(sandbox.engine_choice(), HasSubstr("KVM"));
  std::vector<std::string> stages;
  for (const auto& stage : sandbox.start_stages()) stages.push_back(stage.name());
  EXPECT_THAT(stages, ElementsAre("journalled", "jailed", "machine_ready", "agent_started",
                                  "root_mounted", "ready"));
  EXPECT_EQ(daemon_.launcher().Find(sandbox.id())->agent().clocks_set(), 1);

  ASSERT_OK(daemon_.Stop("box"));
  ASSERT_OK_AND_ASSIGN(const auto stopped, daemon_.Get("box"));
  EXPECT_EQ(stopped.state(), SANDBOX_STATE_STOPPED);
  EXPECT_EQ(stopped.reason(), REASON_UNSPECIFIED);
  EXPECT_EQ(daemon_.launcher().machines(), 0u);
  EXPECT_THAT(History(),
              ElementsAre(SANDBOX_STATE_CREATING, SANDBOX_STATE_STOPPED, SANDBOX_STATE_STARTING,
                          SANDBOX_STATE_RUNNING, SANDBOX_STATE_STOPPING, SANDBOX_STATE_STOPPED));
}

TEST_F(SandboxLifeTest, TheLaunchGetsWhatTheSpecificationSays) {
  SandboxSpec spec = Named("my_box.v2");
  spec.mutable_resources()->set_vcpus(3);
  spec.mutable_resources()->set_memory_mib(256);
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(spec));
  const LaunchSpec launched = daemon_.launcher().Find(sandbox.id())->spec();
  EXPECT_EQ(launched.vcpus, 3u);
  EXPECT_EQ(launched.memory_mib, 256u);
  EXPECT_EQ(launched.cpu_milli, 3000u);
  EXPECT_THAT(launched.command_line, testing::StartsWith("msb.hostname=my-box-v2 msb.address="));
  ASSERT_EQ(launched.companions.size(), 1u);
  EXPECT_EQ(launched.companions[0].name, "net");
  ASSERT_EQ(launched.disks.size(), 2u);
  EXPECT_TRUE(launched.disks[0].read_only);
  EXPECT_FALSE(launched.disks[1].read_only);
  EXPECT_EQ(std::filesystem::file_size(launched.disks[1].path), 16u << 20);
}

TEST_F(SandboxLifeTest, StartAndStopSucceedWhereThereIsNothingToDo) {
  ASSERT_OK(daemon_.Create(Named("box")));
  EXPECT_OK(daemon_.Start("box"));
  ASSERT_OK(daemon_.Stop("box"));
  EXPECT_OK(daemon_.Stop("box"));
  EXPECT_OK(daemon_.Start("box"));
  EXPECT_EQ(daemon_.Get("box")->state(), SANDBOX_STATE_RUNNING);
}

TEST_F(SandboxLifeTest, PausesAndSetsTheClockWhenItResumes) {
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(Named("box")));
  const auto pause = [](const auto& held, Sandbox::Done done) { held->Pause(std::move(done)); };
  const auto resume = [](const auto& held, Sandbox::Done done) { held->Resume(std::move(done)); };
  ASSERT_OK(daemon_.Do("box", pause));
  EXPECT_EQ(daemon_.Get("box")->state(), SANDBOX_STATE_PAUSED);
  EXPECT_OK(daemon_.Do("box", pause));
  EXPECT_THAT(daemon_.Start("box"), HasReason(Reason::kSandboxWrongState));
  ASSERT_OK(daemon_.Do("box", resume));
  EXPECT_EQ(daemon_.Get("box")->state(), SANDBOX_STATE_RUNNING);
  EXPECT_EQ(daemon_.launcher().Find(sandbox.id())->agent().clocks_set(), 2);
}

TEST_F(SandboxLifeTest, APausedSandboxCanBeStoppedInGoodOrder) {
  ASSERT_OK(daemon_.Create(Named("box")));
  ASSERT_OK(daemon_.Do("box",
                       [](const auto& held, Sandbox::Done done) { held->Pause(std::move(done)); }));
  ASSERT_OK(daemon_.Stop("box"));
  EXPECT_EQ(daemon_.Get("box")->state(), SANDBOX_STATE_STOPPED);
}

TEST_F(SandboxLifeTest, AGuestThatEndsByItselfIsToldApart) {
  ASSERT_OK_AND_ASSIGN(const auto first, daemon_.Create(Named("off")));
  daemon_.launcher().Find(first.id())->End(Reason::kGuestShutdown, "poweroff");
  ASSERT_OK_AND_ASSIGN(auto ended, daemon_.WaitFor("off", SANDBOX_STATE_STOPPED));
  EXPECT_EQ(ended.reason(), REASON_GUEST_SHUTDOWN);

  ASSERT_OK_AND_ASSIGN(const auto second, daemon_.Create(Named("crash")));
  daemon_.launcher().Find(second.id())->End(Reason::kTripleFault, "rip=0x10");
  ASSERT_OK_AND_ASSIGN(ended, daemon_.WaitFor("crash", SANDBOX_STATE_FAILED));
  EXPECT_EQ(ended.reason(), REASON_TRIPLE_FAULT);
  EXPECT_EQ(ended.reason_detail(), "rip=0x10");

  ASSERT_OK_AND_ASSIGN(const auto third, daemon_.Create(Named("killed")));
  daemon_.launcher().Find(third.id())->End(Reason::kUnspecified, "");
  ASSERT_OK_AND_ASSIGN(ended, daemon_.WaitFor("killed", SANDBOX_STATE_FAILED));
  EXPECT_EQ(ended.reason(), REASON_VMM_DIED);
}

TEST_F(SandboxLifeTest, AnOutOfMemoryKillIsNamed) {
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(Named("box")));
  daemon_.launcher().usage.oom_killed = true;
  daemon_.launcher().Find(sandbox.id())->End(Reason::kUnspecified, "");
  ASSERT_OK_AND_ASSIGN(const auto ended, daemon_.WaitFor("box", SANDBOX_STATE_FAILED));
  EXPECT_EQ(ended.reason(), REASON_VMM_OUT_OF_MEMORY);
}

TEST_F(SandboxLifeTest, AFailedLaunchLeavesTheSandboxFailedAndStartable) {
  daemon_.launcher().before_launch = [](const LaunchSpec&) {
    return MakeError(Reason::kJailFailed, "step 3: EPERM");
  };
  EXPECT_THAT(daemon_.Create(Named("box")), HasReason(Reason::kJailFailed));
  ASSERT_OK_AND_ASSIGN(const auto failed, daemon_.Get("box"));
  EXPECT_EQ(failed.state(), SANDBOX_STATE_FAILED);
  EXPECT_EQ(failed.reason(), REASON_JAIL_FAILED);
  daemon_.launcher().before_launch = nullptr;
  EXPECT_OK(daemon_.Start("box"));
}

TEST_F(SandboxLifeTest, AMachineThatEndsBeforeItsAgentIsReadyFailsTheStart) {
  daemon_.launcher().after_launch = [](FakeMachine& machine) {
    machine.End(Reason::kGuestReset, "panic");
  };
  const auto sandbox = daemon_.Create(Named("box"));
  EXPECT_THAT(sandbox, HasReason(Reason::kSandboxStartFailed));
  EXPECT_THAT(std::string(sandbox.status().message()), HasSubstr("GUEST_RESET: panic"));
  EXPECT_EQ(daemon_.Get("box")->reason(), REASON_GUEST_RESET);
  EXPECT_EQ(daemon_.launcher().machines(), 0u);
}

TEST_F(SandboxLifeTest, AVmmThatEndsBeforeItListensSaysHow) {
  daemon_.launcher().wait_status = SIGSYS;
  daemon_.launcher().after_launch = [](FakeMachine& machine) {
    machine.vmm().StopListening();
    machine.End(Reason::kUnspecified, "");
  };
  const auto sandbox = daemon_.Create(Named("box"));
  EXPECT_THAT(sandbox, HasReason(Reason::kSandboxStartFailed));
  EXPECT_THAT(std::string(sandbox.status().message()), HasSubstr("(SIGSYS)"));
  EXPECT_EQ(daemon_.Get("box")->reason(), REASON_VMM_DIED);
}

TEST_F(SandboxLifeTest, AnAgentThatIsNeverReadyRunsIntoTheTimeLimit) {
  daemon_.Crash();
  daemon_.config().sandbox.start_timeout = absl::Milliseconds(30);
  daemon_.Up();
  daemon_.launcher().after_launch = [](FakeMachine&) {};
  EXPECT_THAT(daemon_.Create(Named("box")), HasReason(Reason::kSandboxStartTimeout));
  EXPECT_EQ(daemon_.Get("box")->state(), SANDBOX_STATE_FAILED);
  EXPECT_EQ(daemon_.launcher().machines(), 0u);
}

TEST_F(SandboxLifeTest, AStopEndsAStartThatIsUnderWay) {
  absl::Notification launched;
  daemon_.launcher().after_launch = [&](FakeMachine&) { launched.Notify(); };
  const auto started = std::make_shared<absl::StatusOr<msb::v1::Sandbox>>();
  absl::Notification answered;
  daemon_.registry().Create(daemon_.caller, Named("box"), true, [&](auto sandbox) {
    *started = std::move(sandbox);
    answered.Notify();
  });
  launched.WaitForNotification();
  ASSERT_OK(daemon_.Stop("box"));
  answered.WaitForNotification();
  EXPECT_THAT(*started, HasReason(Reason::kSandboxStopped));
  EXPECT_EQ(daemon_.Get("box")->state(), SANDBOX_STATE_STOPPED);
  EXPECT_EQ(daemon_.launcher().machines(), 0u);
}

TEST_F(SandboxLifeTest, AGuestThatIgnoresTheShutdownIsKilledAfterGraceAndMargin) {
  daemon_.Crash();
  daemon_.config().sandbox.stop_margin = absl::Milliseconds(20);
  daemon_.Up();
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(Named("box")));
  daemon_.launcher().Find(sandbox.id())->agent().OnShutdown([](const auto&) {});
  ASSERT_OK(daemon_.Stop("box", {.grace = absl::Milliseconds(10)}));
  EXPECT_EQ(daemon_.Get("box")->state(), SANDBOX_STATE_STOPPED);
}

TEST_F(SandboxLifeTest, AForcedStopAsksTheGuestNothing) {
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(Named("box")));
  bool asked = false;
  daemon_.launcher().Find(sandbox.id())->agent().OnShutdown([&](const auto&) { asked = true; });
  ASSERT_OK(daemon_.Stop("box", {.force = true}));
  EXPECT_FALSE(asked);
}

TEST_F(SandboxLifeTest, AnIdleSandboxIsStoppedWithThatReason) {
  SandboxSpec spec = Named("box");
  spec.mutable_limits()->mutable_idle_timeout()->set_nanos(30'000'000);
  ASSERT_OK(daemon_.Create(spec));
  ASSERT_OK_AND_ASSIGN(const auto stopped, daemon_.WaitFor("box", SANDBOX_STATE_STOPPED));
  EXPECT_EQ(stopped.reason(), REASON_IDLE_TIMEOUT);
}

TEST_F(SandboxLifeTest, ALifetimeEndsEvenABusySandbox) {
  SandboxSpec spec = Named("box");
  spec.mutable_limits()->mutable_lifetime()->set_nanos(30'000'000);
  ASSERT_OK(daemon_.Create(spec));
  ASSERT_OK_AND_ASSIGN(const auto stopped, daemon_.WaitFor("box", SANDBOX_STATE_STOPPED));
  EXPECT_EQ(stopped.reason(), REASON_LIFETIME_EXCEEDED);
}

TEST_F(SandboxLifeTest, RemoveOnExitLeavesNothing) {
  SandboxSpec spec = Named("box");
  spec.set_remove_on_exit(true);
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(spec));
  ASSERT_OK(daemon_.Stop("box"));
  daemon_.WaitForRemoval("box");
  EXPECT_FALSE(std::filesystem::exists(daemon_.data() + "/sandboxes/" + sandbox.id()));
}

TEST_F(SandboxLifeTest, ARunningSandboxIsRemovedOnlyByForce) {
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(Named("box")));
  EXPECT_THAT(daemon_.Remove("box"), HasReason(Reason::kSandboxWrongState));
  ASSERT_OK(daemon_.Remove("box", /*force=*/true));
  EXPECT_THAT(daemon_.Get("box"), HasReason(Reason::kSandboxNotFound));
  EXPECT_EQ(daemon_.launcher().machines(), 0u);
  EXPECT_FALSE(std::filesystem::exists(daemon_.data() + "/sandboxes/" + sandbox.id()));
  EXPECT_EQ(History().back(), SANDBOX_STATE_UNSPECIFIED);
}

TEST_F(SandboxLifeTest, AVmmThatTalksNonsenseOnlyLosesItsControl) {
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(Named("box")));
  daemon_.launcher().Find(sandbox.id())->vmm().SendRaw("\xff\xff\xff\x7f garbage");
  EXPECT_THAT(daemon_.Do("box", [](const auto& held, Sandbox::Done done) { held->Pause(done); }),
              HasReason(Reason::kVmmDied));
  EXPECT_OK(daemon_.Stop("box"));
}

TEST_F(SandboxLifeTest, AVmmThatLiesAboutItsClockMakesNoStageBeforeTheRequest) {
  daemon_.launcher().after_launch = [](FakeMachine& machine) { machine.Boot(); };
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(Named("box")));
  for (const auto& stage : sandbox.start_stages()) {
    EXPECT_GE(stage.since_request().seconds(), 0);
    EXPECT_LT(stage.since_request().seconds(), 60);
  }
}

TEST_F(SandboxLifeTest, MetricsComeFromCgroupVmmAndGuest) {
  ASSERT_OK(daemon_.Create(Named("box")));
  daemon_.launcher().usage = {.cpu_ns = 5, .memory_bytes = 6, .memory_limit_bytes = 7};
  const auto metrics = DaemonFixture::Await<absl::StatusOr<msb::v1::Metrics>>([&](auto done) {
    daemon_.registry().With(daemon_.caller, "box",
                            [done](Registry::Found found) { CollectMetrics(*found, done); });
  });
  ASSERT_OK(metrics);
  EXPECT_EQ(metrics->cpu_usage_ns(), 5u);
  EXPECT_EQ(metrics->memory_limit_bytes(), 7u);
  EXPECT_EQ(metrics->disk_written_bytes(), 22u);
  EXPECT_EQ(metrics->processes(), 7u);
}

}  // namespace
}  // namespace msb
