// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/tree/inode_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>

#include "tests/support/temp_dir.h"

namespace msb {
namespace {

TEST(InodeTableTest, TheFirstFileSystemKeepsItsNumbers) {
  InodeTable table(1, 1);
  EXPECT_EQ(table.GuestInodeNumber(7, 42), 42u);
  EXPECT_EQ(table.GuestInodeNumber(7, (uint64_t{1} << 48) - 1), (uint64_t{1} << 48) - 1);
}

TEST(InodeTableTest, OneFileHasOneNumberAndEachAnother) {
  InodeTable table(1, 1);
  std::set<uint64_t> seen;
  // Overlayfs has a layer's number in the uppermost bits; some have numbers of 64 bits.
  const uint64_t numbers[] = {1,
                              2,
                              uint64_t{1} << 48 | 1,
                              uint64_t{2} << 48 | 1,
                              uint64_t{1} << 63 | 1,
                              uint64_t{3} << 62,
                              UINT64_MAX};
  for (const dev_t device : {7, 8, 9}) {
    for (const uint64_t number : numbers) {
      const uint64_t guest = table.GuestInodeNumber(device, number);
      EXPECT_TRUE(seen.insert(guest).second) << device << " " << number;
      EXPECT_EQ(table.GuestInodeNumber(device, number), guest);
    }
  }
}

TEST(InodeTableTest, NumbersThatAreSpreadOver64BitsAreNoneOfTheOthers) {
  InodeTable table(1, 1);
  std::set<uint64_t> seen;
  constexpr uint64_t kFiles = 100'000;  // more than the table holds
  for (uint64_t i = 0; i < kFiles; ++i) {
    const dev_t device = 7 + i % 2;
    seen.insert(table.GuestInodeNumber(device, (i / 2) * 0x9e3779b97f4a7c15));
    seen.insert(table.GuestInodeNumber(device, i / 2));
  }
  EXPECT_EQ(seen.size(), 2 * kFiles - 2);  // number 0 of each is in both rows
}

TEST(InodeTableTest, WhatLostItsNameBeforeItWasHeldIsStaleWhereThatIsCounted) {
  const TempDir directory;
  const UniqueFd top(::open(directory.path().c_str(), O_PATH | O_CLOEXEC));
  struct stat info;
  ASSERT_EQ(::fstat(top.get(), &info), 0);
  Ledger ledger({1 << 20});
  InodeTable table(4, 4, &ledger);
  for (const bool is_gone : {false, true}) {
    directory.Write("file", "");
    ErrnoOr<Found> found = FindEntry({top.get(), info.st_dev, FileSystemKind::kLocal}, "file");
    ASSERT_TRUE(found.ok());
    if (is_gone) {
      ASSERT_EQ(::unlink((directory.path() + "/file").c_str()), 0);
    }

    ErrnoOr<uint64_t> node = table.Lookup(*std::move(found), {2, "file"}, Shown{});

    EXPECT_EQ(node.ok(), !is_gone);
    EXPECT_EQ(node.error(), is_gone ? ErrnoValue(ESTALE) : Errno::kNone);
    table.Clear();
  }
}

}  // namespace
}  // namespace msb
