// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using testing::ElementsAre;

class TurnsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(loop_, EventLoop::Create());
    turns_.emplace(*loop_);
  }
  // Takes a turn by this name and keeps it.
  void Take(const std::string& name) {
    turns_->Take([this, name](absl::StatusOr<Turns::Turn> turn) {
      happened_.push_back(turn.ok() ? name : "no " + name);
      if (turn.ok()) held_ = *std::move(turn);
    });
  }
  void RunPosted() {
    loop_->Post([this] { loop_->Stop(); });
    ASSERT_OK(loop_->Run());
  }

  std::unique_ptr<EventLoop> loop_;
  std::optional<Turns> turns_;
  std::vector<std::string> happened_;
  Turns::Turn held_;
};

TEST_F(TurnsTest, ComeOneAtATimeInTheOrderTheyWereAskedFor) {
  for (const char* name : {"one", "two", "three"}) Take(name);
  EXPECT_THAT(happened_, ElementsAre("one"));

  std::thread([turn = std::exchange(held_, nullptr)] {}).join();
  EXPECT_THAT(happened_, ElementsAre("one"));
  RunPosted();
  EXPECT_THAT(happened_, ElementsAre("one", "two"));
}

TEST_F(TurnsTest, OneThatNobodyKeepsIsOver) {
  turns_->Take([this](const absl::StatusOr<Turns::Turn>&) { happened_.emplace_back("one"); });
  Take("two");
  RunPosted();
  EXPECT_THAT(happened_, ElementsAre("one", "two"));
}

TEST_F(TurnsTest, WhoWaitsCanBeRefusedAndTheOneAtItGoesOn) {
  for (const char* name : {"one", "two", "three"}) Take(name);
  turns_->Refuse(MakeError(Reason::kDaemonShuttingDown, "it ends"));
  EXPECT_THAT(happened_, ElementsAre("one", "no two", "no three"));

  held_.reset();
  RunPosted();
  Take("four");
  EXPECT_THAT(happened_, ElementsAre("one", "no two", "no three", "four"));
}

TEST_F(TurnsTest, ATurnMayOutliveThem) {
  Take("one");
  Take("two");
  turns_.reset();
  held_.reset();
  RunPosted();
  EXPECT_THAT(happened_, ElementsAre("one"));
}

}  // namespace
}  // namespace msb
