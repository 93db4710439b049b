// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <sys/xattr.h>

#include "file-server/session/session_fixture.h"

namespace msb {
namespace {

using testing::IsSupersetOf;
using testing::SizeIs;
using testing::UnorderedElementsAre;

TEST_F(SessionTest, ShowsTheExportsByNumber) {
  EXPECT_THAT(List(FUSE_ROOT_ID, FUSE_READDIR), UnorderedElementsAre("0", "1", "2"));
  EXPECT_TRUE(S_ISDIR(Lookup(FUSE_ROOT_ID, "0").As<fuse_entry_out>().attr.mode));
  EXPECT_TRUE(S_ISREG(Lookup(FUSE_ROOT_ID, "2").As<fuse_entry_out>().attr.mode));
  for (const char* name : {"3", "00", "-1", "x", "4294967296"}) {
    EXPECT_EQ(Lookup(FUSE_ROOT_ID, name).error, ENOENT) << name;
  }
}

TEST_F(SessionTest, WritesAndReadsAFile) {
  const Reply made = Create(writable_, "file", O_RDWR);
  ASSERT_EQ(made.error, 0);
  const uint64_t node = made.As<fuse_entry_out>().nodeid;
  const uint64_t handle = made.As<fuse_open_out>(sizeof(fuse_entry_out)).fh;
  EXPECT_EQ(Write(node, handle, 0, "hello world").As<fuse_write_out>().size, 11u);
  EXPECT_EQ(Read(node, handle, 6, 100).body, "world");
  EXPECT_EQ(Read(node, handle, 100, 100).body, "");
  EXPECT_EQ(Content(inside("file")), "hello world");
  fuse_release_in release = {};
  release.fh = handle;
  EXPECT_EQ(Ask(FUSE_RELEASE, node, Bytes(release)).error, 0);
  EXPECT_EQ(Read(node, handle, 0, 1).error, EBADF);
  EXPECT_EQ(session_->handles(), 0u);
}

TEST_F(SessionTest, AppendsWhereTheFileEndsNow) {
  std::ofstream(inside("log")) << "host ";
  const uint64_t node = NodeOf("log");
  const uint64_t handle = Open(node, O_WRONLY | O_APPEND).As<fuse_open_out>().fh;
  std::ofstream(inside("log"), std::ios::app) << "again ";
  EXPECT_EQ(Write(node, handle, 0, "guest", O_APPEND).error, 0);
  EXPECT_EQ(Content(inside("log")), "host again guest");
}

TEST_F(SessionTest, ReadsAFileThatIsNoLongerThere) {
  std::ofstream(inside("gone")) << "still here";
  const uint64_t node = NodeOf("gone");
  const uint64_t handle = Open(node, O_RDONLY).As<fuse_open_out>().fh;
  EXPECT_EQ(Ask(FUSE_UNLINK, writable_, Name("gone")).error, 0);
  EXPECT_EQ(Read(node, handle, 0, 100).body, "still here");
  EXPECT_EQ(Lookup(writable_, "gone").error, ENOENT);
}

TEST_F(SessionTest, KeepsTheGuestsCacheOnlyOfWhatHasNotChanged) {
  std::ofstream(inside("file")) << "one";
  const uint64_t node = NodeOf("file");
  EXPECT_EQ(Open(node, O_RDONLY).As<fuse_open_out>().open_flags, 0u);
  EXPECT_EQ(Open(node, O_RDONLY).As<fuse_open_out>().open_flags, uint32_t{FOPEN_KEEP_CACHE});
  std::ofstream(inside("file")) << "longer";
  EXPECT_EQ(Open(node, O_RDONLY).As<fuse_open_out>().open_flags, 0u);
}

TEST_F(SessionTest, ListsALargeDirectoryInSmallReplies) {
  for (int i = 0; i < 40; ++i) std::ofstream(inside("f" + std::to_string(i)));
  EXPECT_THAT(List(writable_, FUSE_READDIR, 200), SizeIs(42));
  EXPECT_THAT(List(writable_, FUSE_READDIRPLUS, 600), SizeIs(42));
  EXPECT_THAT(List(writable_, FUSE_READDIR), IsSupersetOf({".", "..", "f0", "f39"}));
}

TEST_F(SessionTest, CountsWhatItListsWithAttributes) {
  std::ofstream(inside("file"));
  const size_t before = session_->inodes();
  List(writable_, FUSE_READDIRPLUS);
  EXPECT_EQ(session_->inodes(), before + 1);
  fuse_forget_in forget = {};
  forget.nlookup = 2;  // that of the list, and the next line's
  const uint64_t node = NodeOf("file");
  EXPECT_FALSE(Ask(FUSE_FORGET, node, Bytes(forget)).sent);
  EXPECT_EQ(session_->inodes(), before);
}

TEST_F(SessionTest, RenamesWithItsFlags) {
  std::ofstream(inside("a")) << "a";
  std::ofstream(inside("b")) << "b";
  EXPECT_EQ(Rename(writable_, "a", writable_, "b", RENAME_NOREPLACE).error, EEXIST);
  EXPECT_EQ(Rename(writable_, "a", writable_, "b", RENAME_EXCHANGE).error, 0);
  EXPECT_EQ(Content(inside("a")), "b");
  EXPECT_EQ(Rename(writable_, "a", writable_, "b").error, 0);
  EXPECT_EQ(Content(inside("b")), "b");
}

TEST_F(SessionTest, LinksInodesAndReadsLinks) {
  std::ofstream(inside("file")) << "x";
  fuse_link_in link = {};
  link.oldnodeid = NodeOf("file");
  EXPECT_EQ(Ask(FUSE_LINK, writable_, Bytes(link) + Name("hard")).error, 0);
  EXPECT_EQ(Content(inside("hard")), "x");
  EXPECT_EQ(Ask(FUSE_SYMLINK, writable_, Name("soft") + Name("../secret")).error, 0);
  EXPECT_EQ(Ask(FUSE_READLINK, NodeOf("soft"), "").body, "../secret");
}

TEST_F(SessionTest, ChangesSizeModeAndTimes) {
  std::ofstream(inside("file")) << "0123456789";
  fuse_setattr_in wanted = {};
  wanted.valid = FATTR_SIZE | FATTR_MODE | FATTR_MTIME;
  wanted.size = 4;
  wanted.mode = 0600;
  wanted.mtime = 1000;
  const Reply reply = Ask(FUSE_SETATTR, NodeOf("file"), Bytes(wanted));
  EXPECT_EQ(reply.error, 0);
  const fuse_attr attributes = reply.As<fuse_attr_out>().attr;
  EXPECT_EQ(attributes.size, 4u);
  EXPECT_EQ(attributes.mode, uint32_t{S_IFREG | 0600});
  EXPECT_EQ(attributes.mtime, 1000u);
  EXPECT_EQ(attributes.uid, 0u);  // whoever runs the test is the guest's root
}

TEST_F(SessionTest, FindsHolesAndCopiesRanges) {
  std::ofstream(inside("from")) << std::string(10'000, 'x');
  std::ofstream(inside("to"));
  const uint64_t from = NodeOf("from");
  const uint64_t to = NodeOf("to");
  fuse_copy_file_range_in copy = {};
  copy.fh_in = Open(from, O_RDONLY).As<fuse_open_out>().fh;
  copy.nodeid_out = to;
  copy.fh_out = Open(to, O_WRONLY).As<fuse_open_out>().fh;
  copy.len = UINT64_MAX;
  EXPECT_EQ(Ask(FUSE_COPY_FILE_RANGE, from, Bytes(copy)).As<fuse_write_out>().size, 10'000u);
  fuse_lseek_in seek = {};
  seek.fh = copy.fh_in;
  seek.whence = SEEK_HOLE;
  EXPECT_EQ(Ask(FUSE_LSEEK, from, Bytes(seek)).As<fuse_lseek_out>().offset, 10'000u);
  fuse_fallocate_in allocate = {};
  allocate.fh = copy.fh_out;
  allocate.length = 20'000;
  EXPECT_EQ(Ask(FUSE_FALLOCATE, to, Bytes(allocate)).error, 0);
  EXPECT_EQ(std::filesystem::file_size(inside("to")), 20'000u);
  allocate.mode = FALLOC_FL_COLLAPSE_RANGE;
  EXPECT_EQ(Ask(FUSE_FALLOCATE, to, Bytes(allocate)).error, EOPNOTSUPP);
}

TEST_F(SessionTest, ServesTheUsersExtendedAttributesAlone) {
  std::ofstream(inside("file"));
  const uint64_t node = NodeOf("file");
  fuse_setxattr_in set = {};
  set.size = 5;
  const std::string value = "value";
  const Reply done = Ask(FUSE_SETXATTR, node, Bytes(set) + Name("user.k") + value);
  if (done.error == EOPNOTSUPP) GTEST_SKIP() << "the temporary directory has none";
  ASSERT_EQ(done.error, 0);
  fuse_getxattr_in get = {};
  EXPECT_EQ(Ask(FUSE_GETXATTR, node, Bytes(get) + Name("user.k")).As<fuse_getxattr_out>().size, 5u);
  get.size = 100;
  EXPECT_EQ(Ask(FUSE_GETXATTR, node, Bytes(get) + Name("user.k")).body, value);
  EXPECT_EQ(Ask(FUSE_LISTXATTR, node, Bytes(get)).body, Name("user.k"));
  for (const char* name : {"security.capability", "trusted.x", "system.posix_acl_access"}) {
    EXPECT_EQ(Ask(FUSE_SETXATTR, node, Bytes(set) + Name(name) + value).error, EOPNOTSUPP);
    EXPECT_EQ(Ask(FUSE_GETXATTR, node, Bytes(get) + Name(name)).error, EOPNOTSUPP);
    EXPECT_EQ(Ask(FUSE_REMOVEXATTR, node, Name(name)).error, EOPNOTSUPP);
  }
  EXPECT_EQ(Ask(FUSE_REMOVEXATTR, node, Name("user.k")).error, 0);
}

TEST_F(SessionTest, ServesAFileThatIsAnExport) {
  const uint64_t node = Lookup(FUSE_ROOT_ID, "2").As<fuse_entry_out>().nodeid;
  const uint64_t handle = Open(node, O_RDWR).As<fuse_open_out>().fh;
  EXPECT_EQ(Write(node, handle, 0, "SINGLE").error, 0);
  EXPECT_EQ(Content(outside("single")), "SINGLE");
  EXPECT_EQ(Lookup(node, "x").error, ENOTDIR);
}

TEST_F(SessionTest, BeginsAnewWithTheNextInit) {
  std::ofstream(inside("file"));
  const uint64_t node = NodeOf("file");
  fuse_init_in init = {};
  init.major = FUSE_KERNEL_VERSION;
  init.minor = FUSE_KERNEL_MINOR_VERSION;
  EXPECT_EQ(Ask(FUSE_INIT, 0, Bytes(init)).error, 0);
  EXPECT_EQ(Open(node, O_RDONLY).error, ESTALE);
  init.major = 6;
  EXPECT_EQ(Ask(FUSE_INIT, 0, Bytes(init)).error, EPROTO);
}

}  // namespace
}  // namespace msb
