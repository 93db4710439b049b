// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a quota counts, and what it gives back (docs/mounts.md).

#include "file-server/session/quota_fixture.h"

namespace msb {
namespace {

TEST_F(SessionTest, WithoutAQuotaNothingIsRefused) {
  const uint64_t node = Create(writable_, "file", O_RDWR).As<fuse_entry_out>().nodeid;
  const uint64_t handle = Open(node, O_WRONLY).As<fuse_open_out>().fh;
  fuse_fallocate_in allocate = {};
  allocate.fh = handle;
  allocate.length = 4 << 20;
  allocate.mode = FALLOC_FL_KEEP_SIZE;
  EXPECT_EQ(Ask(FUSE_FALLOCATE, node, Bytes(allocate)).error, 0);
}

TEST_F(QuotaTest, IsFullWhenItIs) {
  const Opened file = Make("file");
  EXPECT_EQ(Used(), kName);
  EXPECT_EQ(Fill(file, 0, kQuota), EDQUOT);
  EXPECT_EQ(Used(), kName);
  EXPECT_EQ(Fill(file, 0, kQuota - kName), 0);
  EXPECT_EQ(Left(), 0);
  EXPECT_EQ(Fill(file, kQuota - kName, 1), EDQUOT);
  EXPECT_EQ(std::filesystem::file_size(inside("file")), static_cast<size_t>(kQuota - kName));
}

TEST_F(QuotaTest, AFullMountMayBeReadShrunkAndWrittenOver) {
  std::ofstream(inside("old")) << "old";
  const Opened file = Make("file");
  ASSERT_EQ(Fill(file, 0, kQuota - kName), 0);
  EXPECT_EQ(Fill(file, 0, kQuota - kName), 0);
  EXPECT_EQ(Read(file.node, file.handle, 0, 1).body, "x");
  EXPECT_EQ(Create(writable_, "new", O_RDWR).error, EDQUOT);
  EXPECT_EQ(Create(writable_, "old", O_RDWR).error, 0);
  EXPECT_EQ(Create(writable_, "old", O_RDWR | O_EXCL).error, EDQUOT);
  EXPECT_EQ(Rename(writable_, "old", writable_, "older").error, 0);
  EXPECT_EQ(SetMode(file.node, 0600).error, 0);
  EXPECT_EQ(Resize(file.node, kBlock), 0);
  EXPECT_EQ(Left(), kQuota - kName - kBlock);
}

TEST_F(QuotaTest, ASparseFileCountsByWhatItHolds) {
  const Opened file = Make("file");
  EXPECT_EQ(Resize(file.node, 1 << 30), 0);
  EXPECT_EQ(Used(), kName);
  EXPECT_EQ(Fill(file, 1 << 29, kBlock), 0);
  EXPECT_EQ(Used(), kName + kBlock);
  EXPECT_EQ(Allocate(file, 1 << 29, kBlock, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), 0);
  EXPECT_EQ(Used(), kName);
  // Full, what it holds may be written over.
  EXPECT_EQ(Fill(file, 0, kQuota - kName - kBlock), 0);
  EXPECT_EQ(Fill(file, 1 << 29, kBlock), 0);
  EXPECT_EQ(Fill(file, 1 << 29, kBlock), 0);
  EXPECT_EQ(Fill(file, 1 << 28, kBlock), EDQUOT);
}

TEST_F(QuotaTest, CountsAllWaysToGrow) {
  std::ofstream(inside("source")) << std::string(2 << 20, 's');
  const Opened source = OpenAt(NodeOf("source"), O_RDONLY);
  const Opened file = Make("file");
  EXPECT_EQ(Allocate(file, 0, 2 * kQuota), EDQUOT);
  EXPECT_EQ(Allocate(file, INT64_MAX - 10, 10), EDQUOT);
  EXPECT_EQ(Allocate(file, 0, 2 * kQuota, FALLOC_FL_ZERO_RANGE), EDQUOT);
  EXPECT_EQ(Copy(source, file, 2 << 20), EDQUOT);
  EXPECT_EQ(Used(), kName);
  EXPECT_EQ(Allocate(file, 0, kQuota / 2), 0);
  EXPECT_EQ(Used(), kName + kQuota / 2);
  EXPECT_EQ(Copy(source, file, kQuota / 2 + kBlock), 0);
  EXPECT_EQ(Used(), kName + kQuota / 2 + kBlock);
  fuse_write_in append = {};
  append.fh = file.handle;
  append.size = kQuota / 2;
  append.flags = O_APPEND;
  EXPECT_EQ(Ask(FUSE_WRITE, file.node, Bytes(append) + std::string(append.size, 'a')).error,
            EDQUOT);
  // What one cannot read the size of.
  EXPECT_EQ(Allocate(file, 0, kBlock, FALLOC_FL_KEEP_SIZE), EOPNOTSUPP);
  fuse_setxattr_in set = {};
  set.size = 1;
  EXPECT_EQ(Ask(FUSE_SETXATTR, file.node, Bytes(set) + Name("user.k") + "v").error, EOPNOTSUPP);
}

TEST_F(QuotaTest, GivesBackWhatIsFreed) {
  const Opened file = Make("file");
  ASSERT_EQ(Fill(file, 0, kQuota - 8 * kName), 0);
  Open(file.node, O_WRONLY | O_TRUNC);
  EXPECT_EQ(Used(), kName);
  ASSERT_EQ(Fill(file, 0, kQuota / 2), 0);
  Create(writable_, "file", O_WRONLY | O_TRUNC);
  EXPECT_EQ(Used(), kName);
  ASSERT_EQ(Fill(file, 0, kQuota / 2), 0);

  Make("other");
  EXPECT_EQ(Used(), 2 * kName + kQuota / 2);
  EXPECT_EQ(Rename(writable_, "other", writable_, "file").error, 0);
  BeginAnew();
  EXPECT_EQ(Used(), kName);
}

TEST_F(QuotaTest, WhatHasNoNameComesBackWhenItIsClosed) {
  const Opened file = Make("file");
  ASSERT_EQ(Fill(file, 0, kQuota / 2), 0);
  EXPECT_EQ(Unlink("file"), 0);
  EXPECT_EQ(Used(), kName + kQuota / 2);
  EXPECT_EQ(Fill(file, kQuota / 2, kQuota / 2), EDQUOT);
  Forget(file.node);
  EXPECT_EQ(Used(), kName + kQuota / 2);
  Close(file);
  EXPECT_EQ(Used(), 0);
}

TEST_F(QuotaTest, ARenameOverAFileGivesItsSpaceBack) {
  const Opened file = Make("file"), next = Make("next");
  ASSERT_EQ(Fill(file, 0, kQuota / 2), 0);
  Close(file);
  Forget(file.node);
  EXPECT_EQ(Used(), 2 * kName + kQuota / 2);
  EXPECT_EQ(Rename(writable_, "next", writable_, "file").error, 0);
  EXPECT_EQ(Used(), kName);
  EXPECT_EQ(Fill(next, 0, kQuota / 2), 0);
}

TEST_F(QuotaTest, DirectoriesLinksAndPipesHaveTheirPrice) {
  EXPECT_EQ(MakeDirectory("d"), 0);
  const int64_t directory = Used();
  EXPECT_GE(directory, kName);
  EXPECT_LE(directory, kName + 2 * kBlock);
  EXPECT_EQ(Ask(FUSE_SYMLINK, writable_, Name("s") + Name("target")).error, 0);
  fuse_mknod_in pipe = {};
  pipe.mode = S_IFIFO | 0600;
  EXPECT_EQ(Ask(FUSE_MKNOD, writable_, Bytes(pipe) + Name("p")).error, 0);
  pipe.mode = S_IFREG | 0600;
  EXPECT_EQ(Ask(FUSE_MKNOD, writable_, Bytes(pipe) + Name("f")).error, 0);
  EXPECT_EQ(LinkAs(NodeOf("f"), "g"), 0);
  EXPECT_EQ(Used(), directory + 4 * kName);
  for (const char* name : {"s", "p", "f", "g"}) EXPECT_EQ(Unlink(name), 0);
  EXPECT_EQ(Ask(FUSE_RMDIR, writable_, Name("d")).error, 0);
  BeginAnew();
  EXPECT_EQ(Used(), 0);
}

TEST_F(QuotaTest, ThereIsAnEndToNames) {
  int made = 0;
  while (made < 300 && MakeDirectory("d" + std::to_string(made)) == 0) ++made;
  EXPECT_GT(made, 60);
  EXPECT_LE(made, kQuota / kName);
  EXPECT_EQ(Create(writable_, "file", O_RDWR).error, EDQUOT);
  EXPECT_EQ(Ask(FUSE_SYMLINK, writable_, Name("s") + Name("t")).error, EDQUOT);
  EXPECT_LE(TakenOnTheHost(), kQuota + 3 * kBlock);
}

TEST_F(QuotaTest, OldFilesGiveNothingBack) {
  std::ofstream(inside("old")) << std::string(3 << 20, 'o');
  std::ofstream(inside("older")) << std::string(3 << 20, 'o');
  const Opened file = Make("file");
  ASSERT_EQ(Fill(file, 0, kQuota - kName), 0);
  EXPECT_EQ(Resize(NodeOf("old"), 0), 0);
  EXPECT_EQ(Unlink("old"), 0);
  EXPECT_EQ(Rename(writable_, "file", writable_, "older").error, 0);
  BeginAnew();
  EXPECT_EQ(Left(), 0);
  EXPECT_EQ(Create(writable_, "new", O_RDWR).error, EDQUOT);
}

TEST_F(QuotaTest, WhatTheHostRemovesComesBackWhereTheGuestKnowsIt) {
  const Opened file = Make("file");
  ASSERT_EQ(Fill(file, 0, kQuota / 2), 0);
  std::filesystem::remove(inside("file"));
  EXPECT_EQ(Used(), kName + kQuota / 2);
  Close(file);
  Forget(file.node);
  EXPECT_EQ(Used(), 0);
}

TEST_F(QuotaTest, AFileThatBothWriteIsTheGuests) {
  const Opened file = Make("file");
  ASSERT_EQ(Fill(file, 0, kBlock), 0);
  std::ofstream(inside("file"), std::ios::app) << std::string(2 << 20, 'h');
  EXPECT_EQ(Fill(file, 0, 1), 0);
  EXPECT_EQ(Left(), 0);
  EXPECT_EQ(Fill(file, 4 << 20, 1), EDQUOT);
  EXPECT_EQ(Resize(file.node, 0), 0);
  EXPECT_EQ(Used(), kName);
}

TEST_F(QuotaTest, WhatNeedsNoRoomIsRenamedAlsoInAMountThatIsOver) {
  const Opened file = Make("file");
  ASSERT_EQ(MakeDirectory("d"), 0);
  ASSERT_EQ(Fill(Make("target"), 0, 1), 0);
  ASSERT_EQ(Fill(file, 0, kBlock), 0);
  std::ofstream(inside("file"), std::ios::app) << std::string(2 << 20, 'h');
  ASSERT_EQ(Fill(file, 0, 1), 0);
  ASSERT_EQ(Left(), 0);
  const uint64_t directory = NodeOf("d");
  EXPECT_EQ(Rename(writable_, "file", directory, "file").error, EDQUOT);
  EXPECT_EQ(Rename(writable_, "file", writable_, "file-of-a-longer-name").error, EDQUOT);
  EXPECT_EQ(Rename(writable_, "file", writable_, "flie").error, 0);
  EXPECT_EQ(Rename(writable_, "flie", writable_, "d", RENAME_EXCHANGE).error, 0);
  EXPECT_EQ(Rename(writable_, "d", writable_, "target").error, 0);
  EXPECT_EQ(Resize(file.node, 0), 0);
  EXPECT_EQ(Rename(writable_, "target", directory, "file-of-a-longer-name").error, 0);
}

TEST_F(QuotaTest, TheGuestsNextSessionHasNoNewOne) {
  const Opened file = Make("file");
  ASSERT_EQ(Fill(file, 0, kQuota - kName), 0);
  BeginAnew();
  EXPECT_EQ(Left(), 0);
}

TEST_F(QuotaTest, IsShownAsTheSizeOfTheFileSystem) {
  const auto shown = Ask(FUSE_STATFS, writable_, "").As<fuse_statfs_out>().st;
  EXPECT_EQ(static_cast<int64_t>(shown.blocks * shown.frsize), kQuota);
  EXPECT_EQ(shown.bfree, shown.bavail);
  EXPECT_EQ(static_cast<int64_t>(shown.files), kQuota / kName);
  const auto other = Ask(FUSE_STATFS, read_only_, "").As<fuse_statfs_out>().st;
  EXPECT_GT(static_cast<int64_t>(other.blocks * other.frsize), kQuota);
}

}  // namespace
}  // namespace msb
