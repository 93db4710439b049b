// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/quota/file_space.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

constexpr int64_t kBlock = 4096;

FileSpace File(int64_t size, int64_t allocated, BlockCount blocks = BlockCount::kAtOnce) {
  return {.type = S_IFREG, .size = size, .allocated = allocated, .blocks = blocks};
}

TEST(FileSpaceTest, AFileTakesItsBlocks) {
  EXPECT_EQ(TakenBytes(File(1, kBlock)), kBlock);
  EXPECT_EQ(TakenBytes(File(1 << 30, kBlock)), kBlock);  // with a hole
  EXPECT_EQ(TakenBytes({.type = S_IFDIR, .allocated = kBlock, .blocks = BlockCount::kAtOnce}),
            kBlock);
}

TEST(FileSpaceTest, WhatXfsTakesAheadIsNotTheGuests) {
  EXPECT_EQ(TakenBytes(File(kBlock + 1, 16 * kBlock, BlockCount::kAhead)), 2 * kBlock);
  EXPECT_EQ(TakenBytes(File(1 << 30, kBlock, BlockCount::kAhead)), kBlock);
  // But what was behind the end is in the file then.
  EXPECT_EQ(MostAfterResize(File(kBlock, 16 * kBlock, BlockCount::kAhead), 1 << 30), 16 * kBlock);
}

TEST(FileSpaceTest, LargeBlocksCountInWhole) {
  EXPECT_EQ(TakenBytes(File(1, 16 * kBlock)), 16 * kBlock);
  EXPECT_EQ(MostAfterResize(File(1, 16 * kBlock), 2), 16 * kBlock);
  // In a hole of a file that has more than its size says.
  EXPECT_EQ(MostAfterWrite(File(2 * kBlock, 16 * kBlock), 0, kBlock), 17 * kBlock);
}

TEST(FileSpaceTest, WhereBlocksComeLateTheSizeCounts) {
  EXPECT_EQ(TakenBytes(File(1 << 20, 0, BlockCount::kLate)), 1 << 20);
  EXPECT_EQ(MostAfterResize(File(0, 0, BlockCount::kLate), 1 << 30), 1 << 30);
  EXPECT_EQ(MostAfterWrite(File(0, 0, BlockCount::kLate), 1 << 30, 1), (1 << 30) + kBlock);
}

TEST(FileSpaceTest, AWriteTakesTheBlocksThatItTouches) {
  EXPECT_EQ(MostAfterWrite(File(0, 0), 0, 1), kBlock);
  EXPECT_EQ(MostAfterWrite(File(0, 0), 1 << 30, kBlock), kBlock);
  EXPECT_EQ(MostAfterWrite(File(0, 0), kBlock - 1, 2), 2 * kBlock);
  // A file without holes is not larger for being written over.
  EXPECT_EQ(MostAfterWrite(File(4 * kBlock, 4 * kBlock), 0, 4 * kBlock), 4 * kBlock);
  EXPECT_EQ(MostAfterWrite(File(4 * kBlock, 4 * kBlock), kBlock, 4 * kBlock), 5 * kBlock);
  EXPECT_EQ(MostAfterWrite(File(8 * kBlock, 4 * kBlock), 0, kBlock), 5 * kBlock);
}

TEST(FileSpaceTest, AnotherSizeTakesNoBlocks) {
  EXPECT_EQ(MostAfterResize(File(kBlock, kBlock), 1 << 30), kBlock);
  EXPECT_EQ(MostAfterResize(File(4 * kBlock, 4 * kBlock), 1), 4 * kBlock);
}

TEST(FileSpaceTest, TheLargestNumbersStayNumbers) {
  const FileSpace huge = File(INT64_MAX, INT64_MAX, BlockCount::kLate);
  EXPECT_GT(MostAfterWrite(huge, INT64_MAX, INT64_MAX), 0);
  EXPECT_GT(MostAfterWrite(File(0, 0), INT64_MAX, INT64_MAX), 0);
  EXPECT_GT(MostAfterResize(huge, INT64_MAX), 0);
  EXPECT_GT(TakenBytes(huge), 0);
}

TEST(FileSpaceTest, ReadsWhatADescriptorSays) {
  const TempDir directory;
  const std::string path = directory.path() + "/file";
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::posix_fallocate(file.get(), kBlock, kBlock), 0);
  struct stat info;
  ASSERT_EQ(::fstat(file.get(), &info), 0);

  ErrnoOr<FileSpace> space = SpaceOf(file.get());

  ASSERT_TRUE(space.ok());
  EXPECT_EQ(space->id, IdOf(info));
  EXPECT_EQ(space->size, 2 * kBlock);
  EXPECT_FALSE(IsWithoutHole(file.get(), 0, 2 * kBlock));
  ASSERT_EQ(::pwrite(file.get(), "x", 1, 0), 1);
  EXPECT_TRUE(IsWithoutHole(file.get(), 0, 1));
}

}  // namespace
}  // namespace msb
