// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/quota/ledger.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "jailer/policy/filter.h"

namespace msb {
namespace {

constexpr uint64_t kLimit = 100'000;
constexpr int64_t kName = Ledger::kNameBytes;
constexpr FileId kFile = {1, 10}, kOther = {1, 11}, kDirectory = {1, 2};
constexpr auto kNamed = Ledger::Remains::kNamed;
constexpr auto kNothing = Ledger::Remains::kNothing;

// Two exports with a limit, and one between them without.
class LedgerTest : public testing::Test {
 protected:
  // `file` changes from what it takes to what it takes then; whether it may.
  bool Change(FileId file, int64_t from, int64_t to, uint32_t export_index = 0) {
    ledger_.Begin(export_index, file, from);
    ErrnoOr<int64_t> reserved = ledger_.Reserve(export_index, file, to, 0);
    ledger_.End(export_index, file, reserved.ok() ? to : from, reserved.ok() ? *reserved : 0);
    return reserved.ok();
  }
  int64_t Used(uint32_t export_index = 0) const {
    const Ledger::Room room = ledger_.RoomOf(export_index);
    return static_cast<int64_t>(room.limit - room.left);
  }

  Ledger ledger_{{kLimit, 0, kLimit}};
};

TEST_F(LedgerTest, KnowsWhoHasALimit) {
  EXPECT_TRUE(ledger_.HasLimits());
  EXPECT_TRUE(ledger_.Limits(0));
  EXPECT_FALSE(ledger_.Limits(1));
  EXPECT_FALSE(Ledger({0, 0}).HasLimits());
}

TEST_F(LedgerTest, CountsWhatAFileIsLargerByThanItWas) {
  EXPECT_TRUE(Change(kFile, 5000, 8000));
  EXPECT_EQ(Used(), 3000);
  EXPECT_TRUE(Change(kFile, 8000, 6000));
  EXPECT_EQ(Used(), 1000);
  EXPECT_EQ(Used(2), 0);
}

TEST_F(LedgerTest, WhatWasThereBeforeGivesNothingBack) {
  EXPECT_TRUE(Change(kOther, 0, 90'000));
  EXPECT_TRUE(Change(kFile, 50'000, 0));
  EXPECT_EQ(Used(), 90'000);
  EXPECT_EQ(ledger_.accounts(), 1u);
  // And to make it what it was is growth.
  EXPECT_FALSE(Change(kFile, 0, 50'000));
  EXPECT_TRUE(Change(kFile, 0, 10'000));
  EXPECT_EQ(Used(), 100'000);
}

TEST_F(LedgerTest, WhatIsOverItsLimitMayStillShrink) {
  ledger_.AddFile(0, kFile, 200'000);  // the host's doing
  EXPECT_EQ(ledger_.RoomOf(0).left, 0u);
  EXPECT_EQ(ledger_.CheckWithin(0), ErrnoValue(EDQUOT));
  EXPECT_FALSE(Change(kOther, 0, 1));
  EXPECT_TRUE(Change(kFile, 200'000, 200'000));
  EXPECT_TRUE(Change(kFile, 200'000, 1000));
  EXPECT_EQ(ledger_.CheckWithin(0), Errno::kNone);
  EXPECT_EQ(Used(), kName + 1000);
}

TEST_F(LedgerTest, WhatIsSetAsideIsNobodyElses) {
  ledger_.Begin(0, kFile, 0);
  ledger_.Begin(0, kOther, 0);
  ErrnoOr<int64_t> first = ledger_.Reserve(0, kFile, 60'000, 0);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(ledger_.Reserve(0, kOther, 60'000, 0).error(), ErrnoValue(EDQUOT));
  ledger_.End(0, kFile, 1000, *first);
  EXPECT_TRUE(ledger_.Reserve(0, kOther, 60'000, 0).ok());
}

TEST_F(LedgerTest, ANameCosts) {
  ledger_.AddFile(0, kFile, 0);
  EXPECT_EQ(Used(), kName);
  ledger_.Begin(0, kFile, 0);
  ledger_.AddName(0, kFile);
  ledger_.End(0, kFile, 0, 0);
  EXPECT_EQ(Used(), 2 * kName);
  ledger_.RemoveName(0, kFile, kNamed);
  EXPECT_EQ(Used(), kName);
  ledger_.RemoveName(0, kFile, kNothing);
  EXPECT_EQ(Used(), 0);
  EXPECT_EQ(ledger_.accounts(), 0u);
}

TEST_F(LedgerTest, NamesOfOldFilesGiveNothingBack) {
  ledger_.AddFile(0, kOther, 0);
  for (int i = 0; i < 3; ++i) ledger_.RemoveName(0, kFile, kNamed);
  ledger_.RemoveName(0, kFile, kNothing);
  EXPECT_EQ(Used(), kName);
}

TEST_F(LedgerTest, WhatNobodyKnowsCountsForEver) {
  ledger_.AddUnknown(0);
  EXPECT_EQ(Used(), kName);
  EXPECT_EQ(ledger_.accounts(), 0u);
}

TEST_F(LedgerTest, AFileWithoutANameCountsWhileItIsHeld) {
  ledger_.Hold(kFile);
  ledger_.Hold(kFile);
  ledger_.AddFile(0, kFile, 5000);
  ledger_.RemoveName(0, kFile, kNothing);
  EXPECT_EQ(Used(), kName + 5000);
  EXPECT_TRUE(Change(kFile, 5000, 9000));
  ledger_.LetGo(kFile, kNothing);
  EXPECT_EQ(Used(), kName + 9000);
  ledger_.LetGo(kFile, kNothing);
  EXPECT_EQ(Used(), 0);
  EXPECT_FALSE(ledger_.Knows(kFile));
}

TEST_F(LedgerTest, AFileThatHasANameCountsWhoeverLetsItGo) {
  ledger_.Hold(kFile);
  ledger_.AddFile(0, kFile, 5000);
  ledger_.LetGo(kFile, kNamed);
  EXPECT_EQ(Used(), kName + 5000);
}

TEST_F(LedgerTest, TheEndOfAFileIsItsEndInAllMounts) {
  ledger_.AddFile(0, kFile, 1000);
  EXPECT_TRUE(Change(kFile, 1000, 5000, 2));
  EXPECT_EQ(Used(2), 5000);
  ledger_.RemoveName(2, kFile, kNothing);
  EXPECT_EQ(Used(0), 0);
  EXPECT_EQ(Used(2), 0);
}

TEST_F(LedgerTest, WhatOneMountAddedWasNotThereBeforeForAnother) {
  ledger_.AddFile(0, kFile, 0);
  EXPECT_TRUE(Change(kFile, 0, 90'000));
  // A name through the other: its account stays open.
  ledger_.Begin(2, kFile, 90'000);
  ledger_.AddName(2, kFile);
  ledger_.End(2, kFile, 90'000, 0);
  EXPECT_TRUE(Change(kFile, 90'000, 0));
  EXPECT_EQ(Used(0), kName);
  EXPECT_TRUE(Change(kFile, 0, 90'000, 2));
  EXPECT_EQ(Used(2), kName + 90'000);
  EXPECT_FALSE(Change(kFile, 90'000, 100'000, 2));
}

TEST_F(LedgerTest, WhatWasThereBeforeAllMountsIsNobodys) {
  EXPECT_TRUE(Change(kFile, 50'000, 60'000));
  EXPECT_TRUE(Change(kFile, 60'000, 70'000, 2));
  EXPECT_EQ(Used(0), 10'000);
  EXPECT_EQ(Used(2), 20'000);
}

TEST_F(LedgerTest, ANewFileHasNoOldAccountInAnyMount) {
  EXPECT_TRUE(Change(kFile, 50'000, 60'000, 2));
  ledger_.AddFile(0, kFile, 0);  // the host removed the first
  EXPECT_EQ(Used(2), 0);
  EXPECT_TRUE(Change(kFile, 0, 50'000, 2));
  EXPECT_EQ(Used(2), 50'000);
}

TEST_F(LedgerTest, ANumberThatTheHostGaveToAnotherFileBeginsAnew) {
  ledger_.AddFile(0, kFile, 50'000);
  ledger_.AddFile(0, kFile, 1000);
  EXPECT_EQ(Used(), kName + 1000);
  EXPECT_EQ(ledger_.accounts(), 1u);
}

TEST_F(LedgerTest, WithAllAccountsTakenNothingMoreGrows) {
  Ledger full({kLimit}, 1);
  full.AddFile(0, kOther, 1000);
  full.Begin(0, kFile, 7000);
  EXPECT_EQ(full.Reserve(0, kFile, 8000, 0).error(), ErrnoValue(EDQUOT));
  full.AddName(0, kFile);
  full.End(0, kFile, 7000, 0);
  EXPECT_EQ(full.RoomOf(0).left, kLimit - 1000 - 2 * kName);
  full.Begin(0, kOther, 1000);
  EXPECT_EQ(full.Reserve(0, kOther, 1000, kName).error(), ErrnoValue(EDQUOT));
  EXPECT_TRUE(full.Reserve(0, kOther, 2000, 0).ok());
}

TEST_F(LedgerTest, AFileThatSomebodyHasFoundAlreadyKeepsItsNames) {
  ledger_.Hold(kFile);
  ledger_.Begin(0, kFile, 0);
  ledger_.AddName(0, kFile);
  ledger_.End(0, kFile, 0, 0);
  EXPECT_TRUE(Change(kFile, 0, 5000));
  EXPECT_TRUE(Change(kFile, 5000, 6000, 2));
  ledger_.AddFile(0, kFile, 6000);
  EXPECT_EQ(Used(), 2 * kName + 6000);
  EXPECT_EQ(Used(2), 6000);
  EXPECT_EQ(ledger_.accounts(), 2u);
}

TEST_F(LedgerTest, SeveralAtOnceGetNoMoreAccountsThanThereAre) {
  Ledger full({kLimit}, 2);
  full.Begin(0, kDirectory, 0);
  ErrnoOr<int64_t> one = full.Reserve(0, kDirectory, 0, kName);
  ErrnoOr<int64_t> other = full.Reserve(0, kDirectory, 0, kName);
  ASSERT_TRUE(one.ok() && other.ok());
  full.AddFile(0, kFile, 100);
  full.AddFile(0, kOther, 100);
  full.End(0, kDirectory, 0, *one + *other);
  EXPECT_EQ(full.accounts(), 1u);
  EXPECT_EQ(full.RoomOf(0).left, kLimit - 2 * kName - 200);
  full.RemoveName(0, kFile, kNothing);
  full.RemoveName(0, kOther, kNothing);
  EXPECT_EQ(full.RoomOf(0).left, kLimit - kName - 100);
}

TEST_F(LedgerTest, SumsOfTheLargestNumbersAreNumbers) {
  for (ino_t number = 1; number < 100; ++number) ledger_.AddFile(0, {1, number}, INT64_MAX);
  EXPECT_EQ(ledger_.RoomOf(0).left, 0u);
  for (ino_t number = 1; number < 100; ++number) ledger_.RemoveName(0, {1, number}, kNothing);
  EXPECT_EQ(Used(), 0);
}

TEST_F(LedgerTest, ManyAtOnceStayWithinTheLimit) {
  PrepareLibraries();  // no heaps that the confined threads of other tests would go on with
  std::vector<std::thread> threads;
  for (ino_t number = 0; number < 4; ++number) {
    threads.emplace_back([this, number] {
      const FileId file = {2, number};
      int64_t taken = 0;
      for (int i = 0; i < 10'000; ++i) {
        const int64_t next = i % 7 == 0 ? 0 : taken + 997;
        if (Change(file, taken, next)) taken = next;
      }
      Change(file, taken, 0);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Used(), 0);
  EXPECT_EQ(ledger_.accounts(), 0u);
}

}  // namespace
}  // namespace msb
