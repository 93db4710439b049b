// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a hostile kernel tries at a quota: space that is not counted, or given back twice.

#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "file-server/session/quota_fixture.h"

namespace msb {
namespace {

class QuotaAttackTest : public QuotaTest {
 protected:
  void AllAtOnce(const std::vector<std::function<void()>>& what) {
    std::vector<std::thread> threads;
    for (const auto& one : what) threads.emplace_back(one);
    for (std::thread& thread : threads) thread.join();
  }
};

// Mounts of one tree, 0 and 1, and of a part of it, 2: each has a quota.
class QuotasOfOneTreeTest : public QuotaAttackTest {
 protected:
  QuotasOfOneTreeTest() {
    std::filesystem::create_directory(inside("part"));
    std::vector<Export> exports;
    for (const std::string& path : {root(), root(), inside("part")}) {
      exports.push_back({Path(path), Access::kReadWrite, Owner{}, kQuota});
    }
    session_ = std::make_unique<Session>(
        std::move(exports), IdentityMap::Single({.uid = ::geteuid(), .gid = ::getegid()}),
        SessionLimits{.inodes = 200, .handles = 16});
    BeginAnew();
  }

  // What is asked for now goes through that mount.
  void Through(int mount) {
    writable_ = Lookup(FUSE_ROOT_ID, std::to_string(mount)).As<fuse_entry_out>().nodeid;
  }
  int64_t Used(int mount) {
    Through(mount);
    return QuotaTest::Used();
  }
};

TEST_F(QuotasOfOneTreeTest, WhatOneGotBackIsNotFreeThroughAnother) {
  const int64_t before = TakenOnTheHost();
  const int64_t most = kQuota - 2 * kName;
  const Opened file = Make("file");
  ASSERT_EQ(Allocate(file, 0, most), 0);
  Through(1);
  const Opened same = OpenAt(NodeOf("file"));
  ASSERT_EQ(LinkAs(same.node, "name"), 0);  // keeps an account open
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(Resize(file.node, 0), 0);
    EXPECT_EQ(Used(0), kName);
    EXPECT_EQ(Allocate(same, 0, most), 0);
    EXPECT_EQ(Used(1), kName + most);
    EXPECT_EQ(Allocate(same, most, 2 * kBlock), EDQUOT);
  }
  // Both are full now, and the host has no more of it than both may add.
  Through(0);
  EXPECT_EQ(Fill(Make("other"), 0, most - kName), 0);
  EXPECT_LE(TakenOnTheHost(), before + 2 * kQuota + 2 * kBlock);
}

TEST_F(QuotasOfOneTreeTest, NorThroughThatOfAPart) {
  std::ofstream(inside("part/old")) << std::string(kQuota / 2, 'o');
  Through(2);
  const Opened part = OpenAt(NodeOf("old"));
  ASSERT_EQ(Fill(part, kQuota / 2, kQuota / 4), 0);
  EXPECT_EQ(Used(2), kQuota / 4);
  Through(0);
  const uint64_t directory = NodeOf("part");
  const Opened whole = OpenAt(Lookup(directory, "old").As<fuse_entry_out>().nodeid);
  ASSERT_EQ(Fill(whole, kQuota / 4 * 3, kQuota / 4), 0);
  EXPECT_EQ(Used(0), kQuota / 2);
  EXPECT_EQ(Resize(part.node, kQuota / 2), 0);
  EXPECT_EQ(Used(2), 0);
  EXPECT_EQ(Fill(whole, kQuota / 2, kQuota / 4), 0);
  EXPECT_EQ(Used(0), kQuota / 4);
}

TEST_F(QuotaAttackTest, AFileThatIsHeldThroughAnotherMountIsNotGivenBack) {
  for (int i = 0; i < 8; ++i) {
    const std::optional<Opened> file = TryMake("file");
    if (!file.has_value()) break;
    Fill(*file, 0, kQuota / 2);
    const uint64_t held = Lookup(read_only_, "file").As<fuse_entry_out>().nodeid;
    EXPECT_EQ(Open(held, O_RDONLY).error, 0);
    Forget(held);
    EXPECT_EQ(Unlink("file"), 0);
    Close(*file);
    Forget(file->node);
    EXPECT_LE(TakenOnTheHost(), kQuota + 2 * kBlock);
  }
}

TEST_F(QuotaAttackTest, AFileThatIsHeldByItsNumberIsNotGivenBack) {
  for (int i = 0; i < 3; ++i) {
    const std::optional<Opened> file = TryMake("file");
    if (!file.has_value()) break;
    Fill(*file, 0, kQuota / 2);
    EXPECT_EQ(Unlink("file"), 0);
    Close(*file);
  }
  EXPECT_EQ(Used(), 3 * kName + kQuota / 2);
}

TEST_F(QuotaAttackTest, NamesOfOneFileAreNoWayToFreeIt) {
  const Opened file = Make("file");
  ASSERT_EQ(Fill(file, 0, kQuota / 2), 0);
  ASSERT_EQ(LinkAs(file.node, "other"), 0);
  EXPECT_EQ(Used(), 2 * kName + kQuota / 2);
  EXPECT_EQ(Rename(writable_, "file", writable_, "other").error, 0);  // does nothing: rename(2)
  EXPECT_EQ(Rename(writable_, "other", writable_, "other").error, 0);
  EXPECT_EQ(Used(), 2 * kName + kQuota / 2);
  Close(file);
  Forget(file.node);
  EXPECT_EQ(Unlink("file"), 0);
  EXPECT_EQ(Used(), kName + kQuota / 2);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(LinkAs(NodeOf("other"), "again"), 0);
    EXPECT_EQ(Unlink("again"), 0);
  }
  EXPECT_EQ(Used(), kName + kQuota / 2);
}

TEST_F(QuotaAttackTest, AnOldFilesNamesComeAndGoForNothing) {
  std::ofstream(inside("old")) << std::string(3 << 20, 'o');
  const Opened file = Make("file");
  ASSERT_EQ(Fill(file, 0, kQuota / 2), 0);
  const int64_t used = Used();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(LinkAs(NodeOf("old"), "name"), 0);
    EXPECT_EQ(Used(), used + kName);
    EXPECT_EQ(Unlink(i % 2 == 0 ? "name" : "old"), 0);
    EXPECT_EQ(Used(), used);
    if (i % 2 == 0) continue;
    EXPECT_EQ(Rename(writable_, "name", writable_, "old").error, 0);
  }
}

TEST_F(QuotaAttackTest, TwoRequestsShareNoRoom) {
  for (int round = 0; round < 20; ++round) {
    const Opened one = Make("one"), two = Make("two");
    AllAtOnce({[&] { Fill(one, 0, 600 << 10); }, [&] { Fill(two, 0, 600 << 10); },
               [&] { Allocate(one, 0, 600 << 10); }, [&] { Allocate(two, 1 << 30, 600 << 10); }});
    EXPECT_LE(TakenOnTheHost(), kQuota + 2 * kBlock);
    EXPECT_EQ(Unlink("one"), 0);
    EXPECT_EQ(Unlink("two"), 0);
    Close(one);
    Close(two);
    Forget(one.node);
    Forget(two.node);
    EXPECT_EQ(Used(), 0);
  }
}

TEST_F(QuotaAttackTest, WhatIsFreedTwiceAtOnceIsGivenBackOnce) {
  const Opened rest = Make("rest");
  ASSERT_EQ(Fill(rest, 0, kQuota / 4), 0);
  const int64_t used = Used();
  for (int round = 0; round < 20; ++round) {
    const Opened file = Make("file");
    ASSERT_EQ(Fill(file, 0, kQuota / 2), 0);
    const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    AllAtOnce({[&] { Resize(file.node, 0); }, [&] { Open(file.node, O_WRONLY | O_TRUNC); },
               [&] { Allocate(file, 0, kQuota, punch); }, [&] { Unlink("file"); }});
    Ask(FUSE_FORGET, file.node, Bytes(fuse_forget_in{.nlookup = UINT64_MAX}));
    EXPECT_GE(Used(), used);
    for (uint64_t handle = file.handle; handle < file.handle + 3; ++handle) {
      Ask(FUSE_RELEASE, file.node, Bytes(fuse_release_in{.fh = handle}));
    }
    EXPECT_EQ(Used(), used);
  }
}

// Whatever is asked for at the same time, the host never has more of it than the quota.
TEST_F(QuotaAttackTest, AStormOfRequestsStaysWithinTheQuota) {
  std::ofstream(inside("a")) << std::string(256 << 10, 'o');
  const int64_t before = TakenOnTheHost();
  std::atomic<bool> done = false;
  absl::Mutex looked_at;  // nothing changes while the host looks
  const auto storm = [&](unsigned seed) {
    std::mt19937 random(seed);
    const auto below = [&](unsigned n) { return static_cast<int64_t>(random() % n); };
    const auto name = [&] { return std::string(1, static_cast<char>('a' + below(4))); };
    for (int i = 0; i < 400; ++i) {
      absl::ReaderMutexLock lock(&looked_at);
      const uint64_t node = NodeOf(name());
      const Reply opened = Open(node, below(4) == 0 ? O_RDWR | O_TRUNC : O_RDWR);
      const Opened file = {node, opened.error == 0 ? opened.As<fuse_open_out>().fh : 0};
      const int64_t at = below(64) * 16'384, size = below(40) * 8192;
      switch (below(12)) {
        case 0:
          Create(writable_, name(), O_RDWR);
          break;
        case 1:
          Unlink(name());
          break;
        case 2:
          Rename(writable_, name(), writable_, name(), RENAME_EXCHANGE * (i % 2));
          break;
        case 3:
          LinkAs(node, name());
          break;
        case 4:
          Resize(node, static_cast<uint64_t>(at));
          break;
        case 5:
          Allocate(file, at, size + 1);
          break;
        case 6:
          Allocate(file, at, size + 1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
          break;
        case 7:
          MakeDirectory(name());
          break;
        case 8:
          Ask(FUSE_RMDIR, writable_, Name(name()));
          break;
        case 9:
          Ask(FUSE_FORGET, node, Bytes(fuse_forget_in{.nlookup = UINT64_MAX}));
          break;
        default:
          Fill(file, at, size);
          break;
      }
      if (below(3) != 0) Ask(FUSE_RELEASE, node, Bytes(fuse_release_in{.fh = file.handle}));
    }
  };
  std::thread watcher([&] {
    while (!done) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      absl::MutexLock lock(&looked_at);
      EXPECT_LE(TakenOnTheHost(), before + kQuota + 8 * kBlock);
    }
  });
  AllAtOnce({[&] { storm(1); }, [&] { storm(2); }, [&] { storm(3); }, [&] { storm(4); }});
  done = true;
  watcher.join();
  EXPECT_LE(TakenOnTheHost(), before + kQuota + 8 * kBlock);

  // And in the end nothing is left of it.
  BeginAnew();
  for (const char* name : {"a", "b", "c", "d"}) {
    Unlink(name);
    Ask(FUSE_RMDIR, writable_, Name(name));
  }
  EXPECT_EQ(Used(), 0);
}

}  // namespace
}  // namespace msb
