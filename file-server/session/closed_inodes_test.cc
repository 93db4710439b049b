// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// More files than descriptors: those that are closed are found again, and nothing else is.

#include <string>
#include <vector>

#include "file-server/session/session_fixture.h"

namespace msb {
namespace {

namespace fs = std::filesystem;

class ClosedInodesTest : public SessionTest {
 protected:
  static constexpr size_t kDescriptors = 16;
  static constexpr int kFiles = 200;

  ClosedInodesTest() : SessionTest({.inodes = 1000, .descriptors = kDescriptors, .handles = 12}) {
    for (int i = 0; i < kFiles; ++i) {
      std::ofstream(inside(NameOf(i))) << "content " << i;
      nodes_.push_back(NodeOf(NameOf(i)));
    }
  }

  static std::string NameOf(int i) { return "f" + std::to_string(i); }
  // Uses so many others that none that can be closed is open any more.
  void UseOthers() {
    for (int round = 0; round < 2; ++round) {
      for (int i = kFiles / 2; i < kFiles; ++i) EXPECT_EQ(SizeOf(nodes_[i]).error, 0);
    }
  }
  Reply SizeOf(uint64_t node) { return Ask(FUSE_GETATTR, node, Bytes(fuse_getattr_in{})); }
  std::string ContentOf(uint64_t node) {
    const Reply opened = Open(node, O_RDONLY);
    if (opened.error != 0) return "error " + std::to_string(opened.error);
    const uint64_t handle = opened.As<fuse_open_out>().fh;
    const std::string content = Read(node, handle, 0, 100).body;
    EXPECT_EQ(Ask(FUSE_RELEASE, node, Bytes(fuse_release_in{.fh = handle})).error, 0);
    return content;
  }
  const std::string kStale = "error " + std::to_string(ESTALE);

  std::vector<uint64_t> nodes_;
};

TEST_F(ClosedInodesTest, AreServedLikeAllOthers) {
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < kFiles; ++i) {
      EXPECT_EQ(ContentOf(nodes_[i]), "content " + std::to_string(i));
      EXPECT_EQ(NodeOf(NameOf(i)), nodes_[i]);
    }
  }
  EXPECT_LE(session_->open_inodes(), kDescriptors);
  EXPECT_EQ(session_->inodes(), kFiles + 2u);
}

TEST_F(ClosedInodesTest, AreForgottenLikeAllOthers) {
  UseOthers();
  for (const uint64_t node : nodes_) {
    EXPECT_FALSE(Ask(FUSE_FORGET, node, Bytes(fuse_forget_in{.nlookup = 1})).sent);
    EXPECT_EQ(SizeOf(node).error, ESTALE);
  }
  EXPECT_EQ(session_->inodes(), 2u);
  EXPECT_EQ(session_->open_inodes(), 2u);
}

TEST_F(ClosedInodesTest, FollowTheGuestsRenames) {
  UseOthers();
  fs::create_directory(inside("folder"));
  const uint64_t folder = NodeOf("folder");
  EXPECT_EQ(Rename(writable_, "f0", folder, "moved").error, 0);
  EXPECT_EQ(Rename(writable_, "f1", writable_, "f2", RENAME_EXCHANGE).error, 0);
  EXPECT_EQ(Rename(writable_, "folder", writable_, "renamed").error, 0);
  UseOthers();
  EXPECT_EQ(ContentOf(nodes_[0]), "content 0");
  EXPECT_EQ(ContentOf(nodes_[1]), "content 1");
  EXPECT_EQ(ContentOf(nodes_[2]), "content 2");
}

TEST_F(ClosedInodesTest, OutliveTheNameThatTheGuestTakesFromThem) {
  UseOthers();
  EXPECT_EQ(Ask(FUSE_UNLINK, writable_, Name("f0")).error, 0);
  EXPECT_EQ(Rename(writable_, "f2", writable_, "f1").error, 0);
  UseOthers();
  EXPECT_EQ(ContentOf(nodes_[0]), "content 0");
  EXPECT_EQ(ContentOf(nodes_[1]), "content 1");
  EXPECT_EQ(ContentOf(nodes_[2]), "content 2");
}

TEST_F(ClosedInodesTest, AreNotClosedWhileTheyAreOpenInTheGuest) {
  const uint64_t handle = Open(nodes_[0], O_RDWR).As<fuse_open_out>().fh;
  const Reply made = Create(writable_, "made", O_RDWR);
  const auto made_node = made.As<fuse_entry_out>().nodeid;
  UseOthers();
  fs::remove(inside("f0"));  // by the host
  fs::remove(inside("made"));
  UseOthers();
  EXPECT_EQ(SizeOf(nodes_[0]).error, 0);
  EXPECT_EQ(SizeOf(made_node).error, 0);
  EXPECT_EQ(Read(nodes_[0], handle, 0, 100).body, "content 0");
}

TEST_F(ClosedInodesTest, AreStaleWhenTheHostHasTakenThemAway) {
  UseOthers();
  fs::remove(inside("f0"));
  EXPECT_EQ(ContentOf(nodes_[0]), kStale);
  fs::rename(inside("f1"), inside("elsewhere"));
  EXPECT_EQ(ContentOf(nodes_[1]), kStale);
  // For which a kernel looks the name up anew.
  EXPECT_EQ(NodeOf("elsewhere"), nodes_[1]);
  EXPECT_EQ(ContentOf(nodes_[1]), "content 1");
}

TEST_F(ClosedInodesTest, AreNotTakenForWhatIsNowInTheirPlace) {
  UseOthers();
  fs::remove(inside("f0"));
  fs::create_symlink(outside("secret"), inside("f0"));
  fs::rename(inside("f2"), inside("f1"));
  fs::remove(inside("f3"));
  fs::create_directory(inside("f3"));
  for (int i : {0, 1, 3}) EXPECT_EQ(ContentOf(nodes_[i]), kStale) << i;
  EXPECT_EQ(SizeOf(nodes_[0]).error, ESTALE);
  // A file system that gives the number of a deleted file to the next one does not mislead either.
  for (int i = 10; i < 30; ++i) {
    fs::remove(inside(NameOf(i)));
    std::ofstream(inside(NameOf(i))) << "another";
    EXPECT_EQ(ContentOf(nodes_[i]), kStale);
    const uint64_t node = NodeOf(NameOf(i));
    EXPECT_NE(node, nodes_[i]);
    EXPECT_EQ(ContentOf(node), "another");
    EXPECT_EQ(ContentOf(nodes_[i]), kStale);
  }
}

TEST_F(ClosedInodesTest, ThereIsAnEndWhenNoneCanBeClosed) {
  int refused = 0;
  for (size_t i = 0; i < 2 * kDescriptors; ++i) {
    const std::string name = "folder" + std::to_string(i);
    fs::create_directory(inside(name));
    refused += Lookup(writable_, name).error == ENFILE ? 1 : 0;
  }
  EXPECT_EQ(refused, static_cast<int>(kDescriptors + 2));
  EXPECT_EQ(Open(nodes_[0], O_RDONLY).error, ENFILE);
  EXPECT_EQ(NodeOf("f0"), nodes_[0]);
  EXPECT_LE(session_->open_inodes(), kDescriptors);
}

}  // namespace
}  // namespace msb
