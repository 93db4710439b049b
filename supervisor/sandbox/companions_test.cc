// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The processes beside a VMM, as the sandbox sees them come and go.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/daemon_fixture.h"

namespace msb {
namespace {

using msb::v1::COMPANION_STATE_ENDED;
using msb::v1::COMPANION_STATE_RUNNING;
using msb::v1::REASON_COMPANION_DIED;
using msb::v1::REASON_UNSPECIFIED;
using msb::v1::SANDBOX_STATE_RUNNING;
using msb::v1::SANDBOX_STATE_STOPPED;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class CompanionsTest : public testing::Test {
 protected:
  void SetUp() override {
    daemon_.launcher().companions = {"fs-0", "net"};
    daemon_.Up();
    msb::v1::SandboxSpec spec;
    spec.set_name("box");
    ASSERT_OK_AND_ASSIGN(const msb::v1::Sandbox box, daemon_.Create(spec));
    id_ = box.id();
  }
  // Waits for the event that tells of a companion's end.
  msb::v1::Companion AwaitEvent() {
    absl::Mutex mutex;
    bool changed = true;
    const auto listener = daemon_.events().Listen([&] {
      absl::MutexLock lock(&mutex);
      changed = true;
    });
    std::optional<msb::v1::Companion> companion;
    for (uint64_t at = 1; !companion;) {
      const auto entry = daemon_.events().Read(at);
      if (entry) {
        if (entry->event.has_companion()) companion = entry->event.companion();
        ++at;
        continue;
      }
      absl::MutexLock lock(&mutex);
      mutex.Await(absl::Condition(&changed));
      changed = false;
    }
    daemon_.events().Unlisten(listener);
    return *companion;
  }
  bool AnyEvent() {
    for (uint64_t at = 1; at < daemon_.events().Next(); ++at) {
      if (daemon_.events().Read(at)->event.has_companion()) return true;
    }
    return false;
  }

  // As the next daemon finds it; for when none runs.
  std::optional<SandboxRecord> JournalledRecord(const std::string& name) {
    SandboxStore store = daemon_.OpenStore();
    const std::vector<SandboxRecord> records = *store.LoadAll();
    for (const SandboxRecord& record : records) {
      if (record.spec.name() == name) return record;
    }
    return std::nullopt;
  }

  DaemonFixture daemon_;
  std::string id_;
};

TEST_F(CompanionsTest, AreShownWhileTheSandboxRuns) {
  const msb::v1::Sandbox view = *daemon_.Get("box");

  ASSERT_THAT(view.companions(), SizeIs(2));
  EXPECT_EQ(view.companions(0).name(), "fs-0");
  EXPECT_EQ(view.companions(0).state(), COMPANION_STATE_RUNNING);
  EXPECT_EQ(view.companions(1).name(), "net");
}

TEST_F(CompanionsTest, OneThatDiesIsAnEventAndTheSandboxRunsOn) {
  daemon_.launcher().EndOfCompanion(id_, "net", /*orderly=*/false, "net ended with code 3");

  const msb::v1::Companion event = AwaitEvent();
  EXPECT_EQ(event.name(), "net");
  EXPECT_EQ(event.state(), COMPANION_STATE_ENDED);
  EXPECT_EQ(event.reason(), REASON_COMPANION_DIED);
  EXPECT_EQ(event.detail(), "net ended with code 3");
  const msb::v1::Sandbox view = *daemon_.Get("box");
  EXPECT_EQ(view.state(), SANDBOX_STATE_RUNNING);
  EXPECT_EQ(view.companions(0).state(), COMPANION_STATE_RUNNING);
  EXPECT_EQ(view.companions(1).state(), COMPANION_STATE_ENDED);
  EXPECT_EQ(view.companions(1).reason(), REASON_COMPANION_DIED);
}

TEST_F(CompanionsTest, OneThatEndsInGoodOrderHasNoReason) {
  daemon_.launcher().EndOfCompanion(id_, "fs-0", /*orderly=*/true, "fs-0 ended with code 0");

  EXPECT_EQ(AwaitEvent().reason(), REASON_UNSPECIFIED);
}

TEST_F(CompanionsTest, AreGoneWithTheVmmAndNoNewsOfTheirOwn) {
  ASSERT_OK(daemon_.Stop("box"));

  EXPECT_THAT(daemon_.Get("box")->companions(), IsEmpty());
  EXPECT_FALSE(AnyEvent());
}

TEST_F(CompanionsTest, AreMadeAnewByTheNextStart) {
  daemon_.launcher().EndOfCompanion(id_, "net", /*orderly=*/false, "net ended with code 3");
  AwaitEvent();
  ASSERT_OK(daemon_.Stop("box"));

  ASSERT_OK(daemon_.Start("box"));

  EXPECT_EQ(daemon_.Get("box")->companions(1).state(), COMPANION_STATE_RUNNING);
}

TEST_F(CompanionsTest, AreAdoptedByTheNextDaemon) {
  daemon_.Crash();
  daemon_.Up();
  ASSERT_THAT(daemon_.Get("box")->companions(), SizeIs(2));
  EXPECT_EQ(daemon_.Get("box")->companions(1).state(), COMPANION_STATE_RUNNING);

  daemon_.launcher().EndOfCompanion(id_, "net", /*orderly=*/false, "net ended with code 3");

  EXPECT_EQ(AwaitEvent().detail(), "net ended with code 3");
}

TEST_F(CompanionsTest, OneThatDiesWhileNoDaemonRunsIsToldByTheNext) {
  daemon_.Crash();
  daemon_.launcher().EndOfCompanion(id_, "net", /*orderly=*/false, "net ended with code 3");
  daemon_.Up();

  EXPECT_EQ(AwaitEvent().reason(), REASON_COMPANION_DIED);
  EXPECT_EQ(daemon_.Get("box")->state(), SANDBOX_STATE_RUNNING);
}

TEST_F(CompanionsTest, TheirOwnerIsKeptWithItsGroups) {
  daemon_.caller = Caller{.uid = 1000, .gid = 100, .groups = {100, 27}, .sees_all = false};
  msb::v1::SandboxSpec spec;
  spec.set_name("mine");
  ASSERT_OK(daemon_.Create(spec, /*start=*/false));
  daemon_.Crash();

  const std::optional<SandboxRecord> mine = JournalledRecord("mine");
  ASSERT_TRUE(mine.has_value());
  EXPECT_EQ(mine->owner_gid, 100u);
  EXPECT_THAT(mine->owner_groups, testing::ElementsAre(100u, 27u));
}

TEST_F(CompanionsTest, AStartByTheirOwnerTakesTheGroupsThatItHasNow) {
  const Caller owner{.uid = 1000, .gid = 100, .groups = {100, 27}, .sees_all = false};
  daemon_.caller = owner;
  msb::v1::SandboxSpec spec;
  spec.set_name("mine");
  ASSERT_OK(daemon_.Create(spec));
  ASSERT_OK(daemon_.Stop("mine"));
  // No longer in 27; neither root's groups nor those of a caller by token are the owner's.
  daemon_.caller.groups = {100};
  ASSERT_OK(daemon_.Start("mine"));
  ASSERT_OK(daemon_.Stop("mine"));
  daemon_.caller = Caller{.uid = 0, .gid = 0, .groups = {0}, .sees_all = true};
  ASSERT_OK(daemon_.Start("mine"));
  ASSERT_OK(daemon_.Stop("mine"));
  daemon_.caller = owner;
  daemon_.caller.way = Caller::Way::kToken;
  ASSERT_OK(daemon_.Start("mine"));
  daemon_.Crash();

  const std::optional<SandboxRecord> mine = JournalledRecord("mine");
  ASSERT_TRUE(mine.has_value());
  EXPECT_THAT(mine->owner_groups, testing::ElementsAre(100u));
}

}  // namespace
}  // namespace msb
