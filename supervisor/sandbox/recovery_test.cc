// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A daemon that was killed at any step finds what it left behind.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <filesystem>

#include "absl/time/clock.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/daemon_fixture.h"

namespace msb {
namespace {

using msb::v1::REASON_IDLE_TIMEOUT;
using msb::v1::REASON_LIFETIME_EXCEEDED;
using msb::v1::REASON_SANDBOX_START_FAILED;
using msb::v1::REASON_TRIPLE_FAULT;
using msb::v1::SANDBOX_STATE_CREATING;
using msb::v1::SANDBOX_STATE_FAILED;
using msb::v1::SANDBOX_STATE_PAUSED;
using msb::v1::SANDBOX_STATE_RUNNING;
using msb::v1::SANDBOX_STATE_STARTING;
using msb::v1::SANDBOX_STATE_STOPPED;
using msb::v1::SANDBOX_STATE_STOPPING;
using msb::v1::SandboxSpec;

class RecoveryTest : public testing::Test {
 protected:
  // A sandbox that is stopped, and the daemon down.
  void SetUp() override {
    daemon_.Up();
    SandboxSpec spec;
    spec.set_name("box");
    id_ = daemon_.Create(spec, /*start=*/false)->id();
    daemon_.Crash();
  }

  // Changes the journal as a daemon would have that was then killed.
  void Journal(const std::function<void(SandboxRecord&)>& change) {
    SandboxStore store = daemon_.OpenStore();
    SandboxRecord record = store.LoadAll()->at(0);
    change(record);
    ASSERT_OK(store.Put(record));
  }
  // What the daemon had started before it was killed.
  ProcessIdentity LaunchVmmOfOld() {
    LaunchSpec spec;
    spec.id = id_;
    return daemon_.launcher().Launch(spec)->process;
  }
  static void SetProcess(SandboxRecord& record, const ProcessIdentity& process) {
    record.has_vmm = true;
    record.pid = process.pid;
    record.start_time_ticks = process.start_time_ticks;
  }
  bool HasFiles() const { return std::filesystem::exists(daemon_.data() + "/sandboxes/" + id_); }

  DaemonFixture daemon_;
  std::string id_;
};

TEST_F(RecoveryTest, WhatIsAtRestIsFoundAsItWas) {
  daemon_.Up();
  EXPECT_EQ(daemon_.Get("box")->state(), SANDBOX_STATE_STOPPED);
  EXPECT_OK(daemon_.Start("box"));
}

TEST_F(RecoveryTest, AHalfMadeSandboxIsDeleted) {
  Journal([](SandboxRecord& record) { record.state = SANDBOX_STATE_CREATING; });
  daemon_.Up();
  daemon_.WaitForRemoval("box");
  EXPECT_FALSE(HasFiles());
}

TEST_F(RecoveryTest, AHalfRemovedSandboxIsDeleted) {
  Journal([](SandboxRecord& record) { record.removing = true; });
  daemon_.Up();
  daemon_.WaitForRemoval("box");
  EXPECT_FALSE(HasFiles());
  daemon_.Crash();
  EXPECT_TRUE(daemon_.OpenStore().LoadAll()->empty());
}

TEST_F(RecoveryTest, AVmmThatWasLaunchedButNotJournalledIsReaped) {
  LaunchVmmOfOld();
  Journal([](SandboxRecord& record) {
    record.state = SANDBOX_STATE_STARTING;
    record.has_vmm = true;
  });
  daemon_.Up();
  ASSERT_OK_AND_ASSIGN(const auto failed, daemon_.WaitFor("box", SANDBOX_STATE_FAILED));
  EXPECT_EQ(failed.reason(), REASON_SANDBOX_START_FAILED);
  EXPECT_EQ(daemon_.launcher().machines(), 0u);
}

TEST_F(RecoveryTest, AStartThatWasUnderWayIsFinished) {
  daemon_.launcher().after_launch = [](FakeMachine&) {};
  const ProcessIdentity process = LaunchVmmOfOld();
  Journal([&](SandboxRecord& record) {
    record.state = SANDBOX_STATE_STARTING;
    SetProcess(record, process);
  });
  daemon_.Up();
  daemon_.launcher().Find(id_)->vmm().WaitForWatcher();
  daemon_.launcher().Find(id_)->Boot();
  ASSERT_OK(daemon_.WaitFor("box", SANDBOX_STATE_RUNNING));
  EXPECT_OK(daemon_.Stop("box"));
}

TEST_F(RecoveryTest, ARunningSandboxIsAdoptedAndServes) {
  const ProcessIdentity process = LaunchVmmOfOld();
  Journal([&](SandboxRecord& record) {
    record.state = SANDBOX_STATE_RUNNING;
    SetProcess(record, process);
  });
  daemon_.Up();
  EXPECT_EQ(daemon_.Get("box")->state(), SANDBOX_STATE_RUNNING);
  EXPECT_OK(
      daemon_.Do("box", [](const auto& held, Sandbox::Done done) { held->CountExecs(done); }));
  EXPECT_OK(daemon_.Stop("box"));
  EXPECT_EQ(daemon_.launcher().machines(), 0u);
}

TEST_F(RecoveryTest, APauseThatWasNotJournalledIsNoticed) {
  const ProcessIdentity process = LaunchVmmOfOld();
  Journal([&](SandboxRecord& record) {
    record.state = SANDBOX_STATE_PAUSED;  // and the machine runs
    SetProcess(record, process);
  });
  daemon_.Up();
  EXPECT_OK(daemon_.WaitFor("box", SANDBOX_STATE_RUNNING));
}

TEST_F(RecoveryTest, ASandboxThatEndedWhileNoDaemonRanHasItsReason) {
  const ProcessIdentity process = LaunchVmmOfOld();
  Journal([&](SandboxRecord& record) {
    record.state = SANDBOX_STATE_RUNNING;
    SetProcess(record, process);
  });
  daemon_.launcher().Find(id_)->End(Reason::kTripleFault, "rip=0");
  // The process is gone for good before the daemon comes up.
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(process.pid), &info, WEXITED | WNOWAIT), 0);
  daemon_.Up();
  ASSERT_OK_AND_ASSIGN(const auto failed, daemon_.WaitFor("box", SANDBOX_STATE_FAILED));
  EXPECT_EQ(failed.reason(), REASON_TRIPLE_FAULT);
  EXPECT_EQ(daemon_.launcher().machines(), 0u);
}

TEST_F(RecoveryTest, AStopThatWasUnderWayIsFinishedWithItsReason) {
  const ProcessIdentity process = LaunchVmmOfOld();
  Journal([&](SandboxRecord& record) {
    record.state = SANDBOX_STATE_STOPPING;
    record.reason = Reason::kIdleTimeout;
    SetProcess(record, process);
  });
  daemon_.Up();
  ASSERT_OK_AND_ASSIGN(const auto stopped, daemon_.WaitFor("box", SANDBOX_STATE_STOPPED));
  EXPECT_EQ(stopped.reason(), REASON_IDLE_TIMEOUT);
  EXPECT_EQ(daemon_.launcher().machines(), 0u);
}

TEST_F(RecoveryTest, LeftoversOfAnEndedRunAreClearedUp) {
  LaunchVmmOfOld();
  Journal([](SandboxRecord& record) {
    record.state = SANDBOX_STATE_FAILED;
    record.has_vmm = true;
  });
  daemon_.Up();
  EXPECT_EQ(daemon_.launcher().machines(), 0u);
  EXPECT_OK(daemon_.Start("box"));
}

TEST_F(RecoveryTest, ALifetimeIsCountedFromTheStartAndNotFromTheAdoption) {
  const ProcessIdentity process = LaunchVmmOfOld();
  Journal([&](SandboxRecord& record) {
    record.state = SANDBOX_STATE_RUNNING;
    record.started_at = absl::Now() - absl::Hours(1);
    record.spec.mutable_limits()->mutable_lifetime()->set_seconds(1800);
    SetProcess(record, process);
  });
  daemon_.Up();
  ASSERT_OK_AND_ASSIGN(const auto stopped, daemon_.WaitFor("box", SANDBOX_STATE_STOPPED));
  EXPECT_EQ(stopped.reason(), REASON_LIFETIME_EXCEEDED);
}

}  // namespace
}  // namespace msb
