// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a hostile kernel tries: out of the export, into its walls, or at the server itself.

#include <sys/sysmacros.h>

#include <atomic>
#include <thread>

#include "file-server/session/session_fixture.h"

namespace msb {
namespace {

TEST_F(SessionTest, TakesNoNameThatIsAPath) {
  for (const char* name : {"..", ".", "", "a/b", "/etc", "../secret", "/"}) {
    EXPECT_EQ(Lookup(writable_, name).error, EINVAL) << name;
    EXPECT_EQ(Ask(FUSE_UNLINK, writable_, Name(name)).error, EINVAL) << name;
    EXPECT_EQ(Create(writable_, name, O_RDWR).error, EINVAL) << name;
  }
  EXPECT_EQ(Lookup(writable_, std::string(256, 'n')).error, ENAMETOOLONG);
  EXPECT_EQ(Lookup(writable_, std::string(100'000, 'n')).error, ENAMETOOLONG);
  EXPECT_EQ(Ask(FUSE_LOOKUP, writable_, "no NUL").error, EINVAL);
}

TEST_F(SessionTest, FollowsNoSymbolicLink) {
  std::filesystem::create_symlink(outside("secret"), inside("file"));
  std::filesystem::create_directory_symlink(directory_.path(), inside("folder"));
  const uint64_t file = NodeOf("file");
  EXPECT_EQ(Open(file, O_RDONLY).error, ENXIO);
  EXPECT_EQ(Create(writable_, "file", O_RDWR).error, ENXIO);
  EXPECT_EQ(Lookup(NodeOf("folder"), "secret").error, ENOTDIR);
  EXPECT_EQ(SetMode(file, 0777).error, EOPNOTSUPP);
  fuse_setattr_in truncate = {};
  truncate.valid = FATTR_SIZE;
  EXPECT_EQ(Ask(FUSE_SETATTR, file, Bytes(truncate)).error, EINVAL);
  EXPECT_EQ(Content(outside("secret")), "secret");
}

TEST_F(SessionTest, IsNotFooledByALinkThatIsSwappedMeanwhile) {
  std::filesystem::create_directory(inside("d"));
  std::filesystem::create_symlink(directory_.path(), inside("l"));
  std::ofstream(inside("d/single")) << "inner!";
  std::atomic<bool> stop = false;
  // Somebody on the host swaps a directory and a link to the outside.
  std::thread swapper([&] {
    while (!stop) {
      ::renameat2(AT_FDCWD, inside("d").c_str(), AT_FDCWD, inside("l").c_str(), RENAME_EXCHANGE);
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const Reply folder = Lookup(writable_, "d");
    ASSERT_EQ(folder.error, 0);
    const auto entry = folder.As<fuse_entry_out>();
    const Reply found = Lookup(entry.nodeid, "single");
    if (S_ISLNK(entry.attr.mode)) {
      EXPECT_EQ(found.error, ENOTDIR);
      continue;
    }
    ASSERT_EQ(found.error, 0);
    EXPECT_EQ(found.As<fuse_entry_out>().attr.size, 6u);
    struct stat outer {};
    ::stat(outside("single").c_str(), &outer);
    EXPECT_NE(found.As<fuse_entry_out>().attr.ino, outer.st_ino);
  }
  stop = true;
  swapper.join();
}

TEST_F(SessionTest, ChangesNothingThatIsReadOnly) {
  std::ofstream(inside("file")) << "x";
  const uint64_t node = Lookup(read_only_, "file").As<fuse_entry_out>().nodeid;
  EXPECT_NE(node, NodeOf("file"));  // the same file, by another way with other rights
  EXPECT_EQ(Open(node, O_WRONLY).error, EROFS);
  EXPECT_EQ(Open(node, O_RDONLY | O_TRUNC).error, EROFS);
  EXPECT_EQ(Create(read_only_, "new", O_RDWR).error, EROFS);
  EXPECT_EQ(SetMode(node, 0777).error, EROFS);
  EXPECT_EQ(Ask(FUSE_UNLINK, read_only_, Name("file")).error, EROFS);
  EXPECT_EQ(Ask(FUSE_MKDIR, read_only_, Bytes(fuse_mkdir_in{}) + Name("d")).error, EROFS);
  EXPECT_EQ(Ask(FUSE_SYMLINK, read_only_, Name("s") + Name("t")).error, EROFS);
  EXPECT_EQ(Rename(read_only_, "file", read_only_, "other").error, EROFS);
  EXPECT_EQ(Rename(writable_, "file", read_only_, "other").error, EROFS);
  EXPECT_EQ(Ask(FUSE_SETXATTR, node, Bytes(fuse_setxattr_in{}) + Name("user.a")).error, EROFS);
  const uint64_t handle = Open(node, O_RDONLY).As<fuse_open_out>().fh;
  EXPECT_EQ(Write(node, handle, 0, "y").error, EBADF);
  fuse_setattr_in truncate = {};
  truncate.valid = FATTR_SIZE | FATTR_FH;
  truncate.fh = handle;
  EXPECT_EQ(Ask(FUSE_SETATTR, node, Bytes(truncate)).error, EROFS);
  EXPECT_EQ(Content(inside("file")), "x");
}

TEST_F(SessionTest, LeavesTheRootAlone) {
  EXPECT_EQ(Create(FUSE_ROOT_ID, "3", O_RDWR).error, EROFS);
  EXPECT_EQ(Ask(FUSE_RMDIR, FUSE_ROOT_ID, Name("0")).error, EROFS);
  EXPECT_EQ(Rename(FUSE_ROOT_ID, "0", FUSE_ROOT_ID, "9").error, EROFS);
  EXPECT_EQ(SetMode(FUSE_ROOT_ID, 0777).error, EROFS);
}

TEST_F(SessionTest, MovesAndLinksNothingBetweenExports) {
  std::ofstream(inside("file"));
  fuse_link_in link = {};
  link.oldnodeid = Lookup(FUSE_ROOT_ID, "2").As<fuse_entry_out>().nodeid;
  EXPECT_EQ(Ask(FUSE_LINK, writable_, Bytes(link) + Name("hard")).error, EXDEV);
  link.oldnodeid = Lookup(read_only_, "file").As<fuse_entry_out>().nodeid;
  EXPECT_EQ(Ask(FUSE_LINK, writable_, Bytes(link) + Name("hard")).error, EXDEV);
}

TEST_F(SessionTest, MakesNoDeviceAndNoSetuidProgram) {
  fuse_mknod_in node = {};
  node.rdev = 0x0103;
  for (const uint32_t type : {S_IFCHR, S_IFBLK, S_IFDIR, S_IFLNK}) {
    node.mode = type | 0666;
    EXPECT_EQ(Ask(FUSE_MKNOD, writable_, Bytes(node) + Name("dev")).error, EPERM);
  }
  ASSERT_EQ(Create(writable_, "program", O_RDWR, 06755).error, 0);
  struct stat info {};
  ::stat(inside("program").c_str(), &info);
  EXPECT_EQ(info.st_mode & 07777, 0755u);
  EXPECT_EQ(SetMode(NodeOf("program"), 06777).error, 0);
  ::stat(inside("program").c_str(), &info);
  EXPECT_EQ(info.st_mode & 07777, 0777u);
  fuse_mkdir_in folder = {};
  folder.mode = 06777;
  EXPECT_EQ(Ask(FUSE_MKDIR, writable_, Bytes(folder) + Name("d")).error, 0);
  ::stat(inside("d").c_str(), &info);
  EXPECT_EQ(info.st_mode & S_ISUID, 0u);
  EXPECT_EQ(Rename(writable_, "program", writable_, "p", 4 /* WHITEOUT */).error, EINVAL);
}

TEST_F(SessionTest, OpensNoFifoAndNoDevice) {
  ASSERT_EQ(::mkfifo(inside("fifo").c_str(), 0600), 0);
  EXPECT_EQ(Open(NodeOf("fifo"), O_RDONLY).error, ENXIO);  // and does not wait for a writer
  EXPECT_EQ(Create(writable_, "fifo", O_WRONLY).error, ENXIO);
  if (::mknod(inside("null").c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0) {
    GTEST_SKIP() << "no right to make a device";
  }
  EXPECT_EQ(Lookup(writable_, "null").error, EACCES);
}

TEST_F(SessionTest, HandsNoOtherFlagToTheHost) {
  std::ofstream(inside("file")) << "x";
  const int odd = O_DIRECTORY | O_PATH | O_TMPFILE | O_CREAT | O_NONBLOCK | O_ASYNC | O_NOATIME;
  const Reply reply = Open(NodeOf("file"), O_RDONLY | odd);
  ASSERT_EQ(reply.error, 0);
  EXPECT_EQ(Read(NodeOf("file"), reply.As<fuse_open_out>().fh, 0, 10).body, "x");
  EXPECT_EQ(Open(writable_, O_TMPFILE | O_RDWR).error, EISDIR);
}

TEST_F(SessionTest, SurvivesLiesAboutCounts) {
  std::ofstream(inside("file")) << "x";
  const uint64_t node = NodeOf("file");
  fuse_forget_in forget = {};
  forget.nlookup = UINT64_MAX;
  EXPECT_FALSE(Ask(FUSE_FORGET, node, Bytes(forget)).sent);
  EXPECT_EQ(Open(node, O_RDONLY).error, ESTALE);
  EXPECT_FALSE(Ask(FUSE_FORGET, node, Bytes(forget)).sent);
  EXPECT_FALSE(Ask(FUSE_FORGET, FUSE_ROOT_ID, Bytes(forget)).sent);
  EXPECT_FALSE(Ask(FUSE_FORGET, writable_, Bytes(forget)).sent);
  fuse_batch_forget_in batch = {};
  batch.count = UINT32_MAX;
  EXPECT_FALSE(Ask(FUSE_BATCH_FORGET, 0, Bytes(batch) + Bytes(fuse_forget_one{1, 1})).sent);
  EXPECT_EQ(Lookup(FUSE_ROOT_ID, "0").error, 0);  // found again
}

TEST_F(SessionTest, HoldsNoMoreThanItsLimits) {
  std::vector<uint64_t> nodes;
  int refused = 0;
  for (int i = 0; i < 100; ++i) {
    std::ofstream(inside("f" + std::to_string(i)));
    refused += Lookup(writable_, "f" + std::to_string(i)).error == ENFILE ? 1 : 0;
  }
  EXPECT_EQ(refused, 100 - (64 - 2));
  EXPECT_EQ(session_->inodes(), 64u);
  const uint64_t node = NodeOf("f0");
  refused = 0;
  for (int i = 0; i < 20; ++i) refused += Open(node, O_RDONLY).error == ENFILE ? 1 : 0;
  EXPECT_EQ(refused, 4);
}

TEST_F(SessionTest, KeepsHandlesApart) {
  std::ofstream(inside("a"));
  std::ofstream(inside("b"));
  const uint64_t a = NodeOf("a");
  const uint64_t handle = Open(a, O_RDONLY).As<fuse_open_out>().fh;
  EXPECT_EQ(Read(NodeOf("b"), handle, 0, 1).error, EBADF);
  EXPECT_EQ(Ask(FUSE_RELEASEDIR, a, Bytes(fuse_release_in{.fh = handle})).error, EBADF);
  EXPECT_EQ(Read(a, handle + 1, 0, 1).error, EBADF);
  EXPECT_EQ(Read(a, handle, UINT64_MAX, 1).error, EINVAL);
  EXPECT_EQ(Read(a, handle, 0, UINT32_MAX).error, EINVAL);
}

TEST_F(SessionTest, RefusesWhatIsCut) {
  for (uint32_t opcode = 0; opcode < 60; ++opcode) {
    for (size_t size = 0; size < 64; size += 3) {
      const Reply reply = Ask(opcode, writable_, std::string(size, 'A'));
      if (reply.sent && opcode != FUSE_GETATTR && opcode != FUSE_STATFS && opcode != FUSE_DESTROY) {
        EXPECT_NE(reply.error, 0) << opcode << " " << size;
      }
      if (opcode == FUSE_DESTROY) return;  // nothing is left to try on
    }
  }
}

TEST_F(SessionTest, ServesNoFileSystemOfTheKernels) {
  std::vector<Export> exports;
  exports.push_back({Path("/"), Access::kReadOnly});
  Session session(std::move(exports), IdentityMap::PassThrough(), {});
  session_ = std::make_unique<Session>(
      [] {
        std::vector<Export> root;
        root.push_back({Path("/"), Access::kReadWrite});
        return root;
      }(),
      IdentityMap::PassThrough(), SessionLimits{});
  const uint64_t root = Lookup(FUSE_ROOT_ID, "0").As<fuse_entry_out>().nodeid;
  EXPECT_EQ(Lookup(root, "proc").error, EACCES);
  EXPECT_EQ(Lookup(root, "sys").error, EACCES);
}

}  // namespace
}  // namespace msb
