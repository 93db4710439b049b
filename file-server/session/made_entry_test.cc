// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/session/made_entry.h"

#include <atomic>
#include <thread>

#include "file-server/session/session_fixture.h"

namespace msb {
namespace {

constexpr uid_t kMaker = 5;

struct statx Made(mode_t type) {
  struct statx info = {};
  info.stx_mask = kMadeEntryMask;
  info.stx_mode = static_cast<uint16_t>(type | 0755);
  info.stx_uid = kMaker;
  info.stx_nlink = type == S_IFDIR ? 2 : 1;
  info.stx_btime.tv_sec = info.stx_mtime.tv_sec = info.stx_ctime.tv_sec = 1000;
  return info;
}

TEST(MadeEntryTest, IsWhatWasAskedForAndNothingElse) {
  for (const mode_t type : {S_IFDIR, S_IFIFO, S_IFSOCK, S_IFLNK}) {
    EXPECT_TRUE(WasJustMade(Made(type), type, kMaker)) << type;
    EXPECT_FALSE(WasJustMade(Made(S_IFREG), type, kMaker)) << type;
    EXPECT_FALSE(WasJustMade(Made(type), type, 0)) << type;
    struct statx linked = Made(type);
    ++linked.stx_nlink;
    EXPECT_FALSE(WasJustMade(linked, type, kMaker)) << type;
  }
  struct statx on_btrfs = Made(S_IFDIR);
  on_btrfs.stx_nlink = 1;
  EXPECT_TRUE(WasJustMade(on_btrfs, S_IFDIR, kMaker));
}

TEST(MadeEntryTest, IsNotWhatIsOlderThanItsRename) {
  struct statx info = Made(S_IFIFO);
  info.stx_ctime.tv_sec += 1;  // the clock's second ended meanwhile
  EXPECT_TRUE(WasJustMade(info, S_IFIFO, kMaker));
  info.stx_ctime.tv_sec += 1;
  info.stx_mtime = info.stx_ctime;  // written to a moment ago
  EXPECT_FALSE(WasJustMade(info, S_IFIFO, kMaker));
  info.stx_mask &= ~STATX_BTIME;
  EXPECT_TRUE(WasJustMade(info, S_IFIFO, kMaker));
  info.stx_mtime.tv_sec = 900;
  EXPECT_FALSE(WasJustMade(info, S_IFIFO, kMaker));
  info.stx_mtime.tv_sec = INT64_MIN;
  EXPECT_FALSE(WasJustMade(info, S_IFIFO, kMaker));
}

// A server that may chown.
class GivingSessionTest : public SessionTest {
 protected:
  static constexpr uint32_t kUid = 1234, kGid = 1235;
  static constexpr int kRounds = 100;

  GivingSessionTest()
      : SessionTest({.inodes = 8 + kRounds, .handles = 16}, IdentityMap::PassThrough()) {
    caller_ = {.uid = kUid, .gid = kGid};
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "no right to chown";
  }
  Reply MakeNode(const std::string& name, uint32_t type) {
    fuse_mknod_in wanted = {};
    wanted.mode = type | 0644;
    return Ask(FUSE_MKNOD, writable_, Bytes(wanted) + Name(name));
  }
  struct stat Info(const std::string& name) {
    struct stat info = {};
    EXPECT_EQ(::lstat(inside(name).c_str(), &info), 0) << name;
    return info;
  }
};

TEST_F(GivingSessionTest, GivesWhatItMakesToTheCaller) {
  const Reply replies[] = {Create(writable_, "file", O_RDWR),
                           MakeNode("node", S_IFREG),
                           MakeNode("fifo", S_IFIFO),
                           MakeNode("socket", S_IFSOCK),
                           Ask(FUSE_MKDIR, writable_, Bytes(fuse_mkdir_in{}) + Name("folder")),
                           Ask(FUSE_SYMLINK, writable_, Name("link") + Name("target"))};
  for (const Reply& reply : replies) {
    ASSERT_EQ(reply.error, 0);
    EXPECT_EQ(reply.As<fuse_entry_out>().attr.uid, kUid);
    EXPECT_EQ(reply.As<fuse_entry_out>().attr.gid, kGid);
  }
  for (const char* name : {"file", "node", "fifo", "socket", "folder", "link"}) {
    EXPECT_EQ(Info(name).st_uid, kUid) << name;
    EXPECT_EQ(Info(name).st_gid, kGid) << name;
  }
  EXPECT_EQ(MakeNode("file", S_IFREG).error, EEXIST);
}

TEST_F(GivingSessionTest, ADirectoryMaySayWhoseGroupItIs) {
  ASSERT_EQ(::chown(root().c_str(), 0, 77), 0);
  ASSERT_EQ(::chmod(root().c_str(), 02777), 0);
  ASSERT_EQ(MakeNode("fifo", S_IFIFO).error, 0);
  EXPECT_EQ(Info("fifo").st_uid, kUid);
  EXPECT_EQ(Info("fifo").st_gid, 77u);
}

TEST_F(GivingSessionTest, GivesNothingAwayThatWasPutInThePlaceOfWhatItMade) {
  constexpr uid_t kVictim = 7;
  ASSERT_EQ(::mkfifo(inside("victim").c_str(), 0600), 0);
  ASSERT_EQ(::chown(inside("victim").c_str(), kVictim, kVictim), 0);
  const UniqueFd victim = Path(inside("victim"));
  for (int i = 0; i < kRounds; ++i) {
    // Somebody on the host waits for the new name, and swaps the two.
    std::atomic<bool> waits = false;
    std::thread swapper([&] {
      waits = true;
      while (::renameat2(AT_FDCWD, inside("victim").c_str(), AT_FDCWD, inside("made").c_str(),
                         RENAME_EXCHANGE) != 0) {
        std::this_thread::yield();
      }
    });
    while (!waits) std::this_thread::yield();
    const int error = MakeNode("made", S_IFIFO).error;
    swapper.join();
    EXPECT_TRUE(error == 0 || error == ESTALE) << error;
    struct stat info;
    ASSERT_EQ(::fstat(victim.get(), &info), 0);
    ASSERT_EQ(info.st_uid, kVictim) << "round " << i;
    ASSERT_EQ(::unlink(inside("victim").c_str()), 0);
    ASSERT_EQ(::rename(inside("made").c_str(), inside("victim").c_str()), 0);
  }
}

}  // namespace
}  // namespace msb
