// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What lets others be served meanwhile, and what is not worth it.

#include "file-server/session/slow.h"

#include <fcntl.h>
#include <signal.h>

#include <thread>

#include "absl/synchronization/notification.h"
#include "file-server/session/session_fixture.h"

namespace msb {
namespace {

class SlowTest : public SessionTest {
 protected:
  // With storage for all of it.
  void MakeFile(const std::string& name, int64_t bytes) {
    const UniqueFd file(::open(inside(name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::posix_fallocate(file.get(), 0, bytes), 0);
  }
  // How often it was slow to do `what`.
  int SlowIn(const std::function<void()>& what) {
    slow_ = 0;
    what();
    return slow_;
  }
  void Forget(uint64_t node) {
    fuse_forget_in forget = {};
    forget.nlookup = 1;
    Ask(FUSE_FORGET, node, Bytes(forget));
  }
};

TEST_F(SlowTest, QuickRequestsAreServedOnTheSpot) {
  MakeFile("file", 4096);
  const int slow = SlowIn([&] {
    const uint64_t node = NodeOf("file");
    EXPECT_EQ(SetMode(node, 0644).error, 0);
    EXPECT_EQ(Open(node, O_WRONLY | O_TRUNC).error, 0);
    EXPECT_EQ(Create(writable_, "file", O_WRONLY | O_TRUNC).error, 0);
    EXPECT_EQ(Create(writable_, "new", O_WRONLY).error, 0);
    List(writable_, FUSE_READDIRPLUS);
    EXPECT_EQ(Rename(writable_, "new", writable_, "file").error, 0);
    EXPECT_EQ(Ask(FUSE_UNLINK, writable_, Name("file")).error, 0);
    Forget(node);
  });
  EXPECT_EQ(slow, 0);
}

TEST_F(SlowTest, FreeingALargeFileIsSlow) {
  MakeFile("file", kSlowToFreeBytes);
  EXPECT_EQ(SlowIn([&] { Open(NodeOf("file"), O_WRONLY | O_TRUNC); }), 1);
  MakeFile("file", kSlowToFreeBytes);
  EXPECT_EQ(SlowIn([&] { Create(writable_, "file", O_WRONLY | O_TRUNC); }), 1);
  fuse_setattr_in truncate = {};
  truncate.valid = FATTR_SIZE;
  EXPECT_EQ(SlowIn([&] { Ask(FUSE_SETATTR, NodeOf("file"), Bytes(truncate)); }), 1);
}

TEST_F(SlowTest, ALargeFileThatIsUnlinkedGoesWithTheLastForget) {
  MakeFile("file", kSlowToFreeBytes);
  const uint64_t node = NodeOf("file");
  EXPECT_EQ(SlowIn([&] { Forget(node); }), 0);  // it has a name still
  const uint64_t again = NodeOf("file");
  EXPECT_EQ(SlowIn([&] { Ask(FUSE_UNLINK, writable_, Name("file")); }), 0);
  EXPECT_EQ(SlowIn([&] { Forget(again); }), 1);
}

TEST_F(SlowTest, AFileThatSomebodyHasALeaseOnIsWaitedFor) {
  MakeFile("file", 4096);
  ::signal(SIGIO, SIG_IGN);  // by which its holder is told
  const UniqueFd holder(::open(inside("file").c_str(), O_RDONLY | O_CLOEXEC));
  if (::fcntl(holder.get(), F_SETLEASE, F_RDLCK) != 0) GTEST_SKIP() << "no leases here";
  absl::Notification wanted;
  std::thread gives_up([&] {
    wanted.WaitForNotification();
    ::fcntl(holder.get(), F_SETLEASE, F_UNLCK);
  });
  on_slow_ = [&] { wanted.Notify(); };
  EXPECT_EQ(SlowIn([&] { EXPECT_EQ(Open(NodeOf("file"), O_WRONLY).error, 0); }), 1);
  gives_up.join();
}

}  // namespace
}  // namespace msb
