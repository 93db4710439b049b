// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/quota/change.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

constexpr int64_t kLimit = 1 << 20, kBlock = 4096;
constexpr int64_t kName = Ledger::kNameBytes;

class QuotaChangeTest : public testing::Test {
 protected:
  static QuotaChange::Subject SubjectOf(const UniqueFd& fd) {
    return {.export_index = 0, .id = SpaceOf(fd.get())->id, .fd = fd.get()};
  }
  int64_t Used() const { return kLimit - static_cast<int64_t>(quotas_.ledger.RoomOf(0).left); }

  const TempDir place_;
  const UniqueFd directory_{::open(place_.path().c_str(), O_PATH | O_CLOEXEC)};
  const UniqueFd file_{
      ::open((place_.path() + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  Quotas quotas_{{kLimit}};
};

// Between the moment when a new file has its name and the one when it is counted.
TEST_F(QuotaChangeTest, WhatGrewBeforeItWasCountedCounts) {
  std::optional<QuotaChange> growth;
  int waits = 0;
  const std::function<void()> others_turn = [&] {
    ++waits;
    ASSERT_EQ(growth->AdmitWrite(file_.get(), 0, 8 * kBlock), Errno::kNone);
    ASSERT_EQ(::posix_fallocate(file_.get(), 0, 8 * kBlock), 0);
    growth.reset();
  };
  {
    QuotaChange made(quotas_, SubjectOf(directory_), others_turn);
    ASSERT_EQ(made.AdmitName(), Errno::kNone);
    made.NameIsMade();
    growth.emplace(quotas_, SubjectOf(file_), others_turn);
    made.CountFile(file_.get());
  }
  EXPECT_EQ(waits, 1);
  EXPECT_EQ(Used(), kName + 8 * kBlock);
}

TEST_F(QuotaChangeTest, ADirectoryThatIsFoundInItselfIsNotWaitedFor) {
  {
    QuotaChange made(quotas_, SubjectOf(directory_), [] {});
    ASSERT_EQ(made.AdmitName(), Errno::kNone);
    made.NameIsMade();
    made.CountFile(directory_.get());
  }
  EXPECT_EQ(Used(), kName);
}

}  // namespace
}  // namespace msb
