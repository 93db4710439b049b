// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// ReadTree, WriteTree and Watch, through the whole agent.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "guest-agent/files/watch_tree.h"
#include "tests/support/agent/test_agent.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

namespace fs = std::filesystem;
using agent::v1::AgentFrame;
using agent::v1::FileType;
using agent::v1::HostFrame;
using agent::v1::Open;
using agent::v1::TreeEntry;
using agent::v1::WatchEvent;
using testing::AnyOf;
using testing::ElementsAre;

class TreeTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }

  AgentClient StartWriting(bool keep_owner = false) {
    AgentClient client = agent_.Connect();
    Open open;
    open.mutable_write_tree()->set_path(Path("to"));
    open.mutable_write_tree()->set_keep_owner(keep_owner);
    client.Open(open);
    return client;
  }
  static void SendEntry(AgentClient& client, const TreeEntry& entry,
                        const std::string& content = "") {
    HostFrame frame;
    *frame.mutable_tree_entry() = entry;
    client.Send(frame);
    if (!content.empty()) client.SendData(content);
  }
  Reason ReasonOfWriting(const TreeEntry& entry, const std::string& content = "") {
    AgentClient client = StartWriting();
    SendEntry(client, entry, content);
    client.End();
    return ReasonFromNumber(ReadFileResult(client).error.reason());
  }
  FileResult Read(const std::string& path) {
    AgentClient client = agent_.Connect();
    Open open;
    open.mutable_read_tree()->set_path(path);
    client.Open(open);
    return ReadFileResult(client);
  }

  TestAgent agent_;
  TempDir directory_;
};

TreeEntry Entry(const std::string& path, FileType type, uint64_t size = 0) {
  TreeEntry entry;
  entry.set_path(path);
  entry.set_type(type);
  entry.set_mode(type == FileType::FILE_TYPE_DIRECTORY ? 0755 : 0644);
  entry.set_size(size);
  return entry;
}
TreeEntry File(const std::string& path, uint64_t size) {
  return Entry(path, FileType::FILE_TYPE_REGULAR, size);
}
TreeEntry Symlink(const std::string& path, const std::string& target) {
  TreeEntry entry = Entry(path, FileType::FILE_TYPE_SYMLINK);
  entry.set_symlink_target(target);
  return entry;
}

TEST_F(TreeTest, ReadsATreeParentsFirst) {
  fs::create_directories(Path("from/d/e"));
  directory_.Write("from/d/file", "content");
  directory_.Write("from/a", "A");
  fs::create_symlink("../a", Path("from/d/link"));
  ASSERT_EQ(::mkfifo(Path("from/fifo").c_str(), 0600), 0);
  const FileResult result = Read(Path("from"));
  std::vector<std::string> paths;
  for (const TreeEntry& entry : result.entries) paths.push_back(entry.path());
  EXPECT_THAT(paths, ElementsAre("", "a", "d", "d/e", "d/file", "d/link"));
  EXPECT_EQ(result.data, "Acontent");
  EXPECT_EQ(result.entries[4].size(), 7u);
  EXPECT_EQ(result.entries[5].symlink_target(), "../a");
  EXPECT_EQ(result.done.entries(), 6u);
  EXPECT_EQ(result.done.bytes(), 8u);
}

// Past the page cache, in both directions.
TEST_F(TreeTest, ALargeFileInATreeIsTheSame) {
  std::string content = std::string(2 << 20, '\0');
  for (int i = 0; content.size() < (9 << 20) + 4097; ++i) content += std::to_string(i);
  content += std::string(1 << 20, '\0');
  fs::create_directory(Path("from"));
  directory_.Write("from/large", content);
  const FileResult read = Read(Path("from"));
  EXPECT_TRUE(read.data == content);

  AgentClient client = StartWriting();
  SendEntry(client, File("large", content.size()));
  for (size_t at = 0; at < content.size(); at += 200'000) {
    client.SendData(content.substr(at, 200'000));
  }
  client.End();
  EXPECT_EQ(ReadFileResult(client).done.bytes(), content.size());
  EXPECT_TRUE(directory_.Read("to/large") == content);
  struct stat status {};
  ASSERT_EQ(::stat(Path("to/large").c_str(), &status), 0);
  EXPECT_LT(static_cast<size_t>(status.st_blocks) * 512, content.size() - (1 << 20));
}

TEST_F(TreeTest, ReadsASingleFileAndFollowsATopSymlinkOnlyWhenAsked) {
  directory_.Write("file", "content");
  fs::create_symlink("file", Path("link"));
  EXPECT_EQ(Read(Path("file")).data, "content");
  const FileResult link = Read(Path("link"));
  ASSERT_EQ(link.entries.size(), 1u);
  EXPECT_EQ(link.entries[0].type(), FileType::FILE_TYPE_SYMLINK);
  AgentClient client = agent_.Connect();
  Open open;
  open.mutable_read_tree()->set_path(Path("link"));
  open.mutable_read_tree()->set_follow_top_symlink(true);
  client.Open(open);
  EXPECT_EQ(ReadFileResult(client).data, "content");
  EXPECT_EQ(ReasonFromNumber(Read(Path("none")).error.reason()), Reason::kFileNotFound);
}

TEST_F(TreeTest, AFileWithoutASizeIsSentWithItsContent) {
  const FileResult status = Read("/proc/self/status");
  ASSERT_EQ(status.entries.size(), 1u);
  EXPECT_EQ(status.data.substr(0, 5), "Name:");
  EXPECT_EQ(status.entries[0].size(), status.data.size());
  EXPECT_EQ(status.done.bytes(), status.data.size());
  // Says 4096.
  const FileResult loopback = Read("/sys/class/net/lo/mtu");
  EXPECT_EQ(loopback.data, "65536\n");
  EXPECT_EQ(loopback.entries[0].size(), 6u);
}

TEST_F(TreeTest, AFileWithoutSizeAndEndIsRefused) {
  const FileResult refused = Read("/proc/self/pagemap");
  EXPECT_EQ(ReasonFromNumber(refused.error.reason()), Reason::kLimitExceeded);
  EXPECT_TRUE(refused.entries.empty());
}

TEST_F(TreeTest, WritesATreeWithModesAndTimes) {
  AgentClient client = StartWriting();
  client.Expect(AgentFrame::kOpened);
  TreeEntry closed = Entry("d", FileType::FILE_TYPE_DIRECTORY);
  closed.set_mode(0500);
  closed.set_mtime_ns(1'000'000'000'500'000'000);
  SendEntry(client, closed);
  TreeEntry file = File("d/file", 7);
  file.set_mode(04711);
  file.set_mtime_ns(1'111'111'111'000'000'001);
  SendEntry(client, file, "content");
  SendEntry(client, Symlink("d/link", "/etc/passwd"));
  SendEntry(client, File("implied/parent/empty", 0));
  client.End();
  const FileResult result = ReadFileResult(client);
  EXPECT_EQ(result.done.entries(), 4u);
  EXPECT_EQ(result.done.bytes(), 7u);
  EXPECT_EQ(directory_.Read("to/d/file"), "content");
  EXPECT_EQ(fs::read_symlink(Path("to/d/link")), "/etc/passwd");
  EXPECT_TRUE(fs::exists(Path("to/implied/parent/empty")));
  struct stat status {};
  ASSERT_EQ(::stat(Path("to/d").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0500u);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'000'000'000);
  EXPECT_EQ(status.st_mtim.tv_nsec, 500'000'000);
  ASSERT_EQ(::stat(Path("to/d/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 04711u);
  EXPECT_EQ(status.st_mtim.tv_nsec, 1);
}

TEST_F(TreeTest, WritesForAUserWithTheUsersRights) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0777), 0);
  AgentClient client = agent_.Connect();
  Open open;
  open.mutable_write_tree()->set_path(Path("to"));
  open.mutable_write_tree()->set_user("daemon");
  client.Open(open);
  TreeEntry file = File("file", 1);
  file.set_uid(77);
  SendEntry(client, file, "x");
  client.End();
  EXPECT_FALSE(ReadFileResult(client).ended_in_error);
  struct stat status {};
  ASSERT_EQ(::stat(Path("to/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 1u);

  AgentClient keeping = StartWriting(/*keep_owner=*/true);
  SendEntry(keeping, file, "x");
  keeping.End();
  EXPECT_FALSE(ReadFileResult(keeping).ended_in_error);
  ASSERT_EQ(::stat(Path("to/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 77u);
}

TEST_F(TreeTest, NeverLeavesItsDirectory) {
  fs::create_directories(Path("outside"));
  fs::create_directories(Path("to"));
  fs::create_directory_symlink(Path("outside"), Path("to/link"));
  for (const char* path : {"../x", "/etc/x", "a/../../x", ".", "a//b", "a/", ".."}) {
    EXPECT_EQ(ReasonOfWriting(File(path, 0)), Reason::kPathInvalid) << path;
  }
  EXPECT_THAT(ReasonOfWriting(File("link/x", 0)),
              AnyOf(Reason::kPathInvalid, Reason::kNotADirectory));
  EXPECT_EQ(ReasonOfWriting(File(std::string("a\0b", 3), 0)), Reason::kPathInvalid);
  EXPECT_TRUE(fs::is_empty(Path("outside")));
}

TEST_F(TreeTest, ReplacesASymlinkRatherThanWritingThroughIt) {
  directory_.Write("target", "old");
  fs::create_directories(Path("to"));
  fs::create_symlink(Path("target"), Path("to/file"));
  EXPECT_EQ(ReasonOfWriting(File("file", 3), "new"), Reason::kUnspecified);
  EXPECT_EQ(directory_.Read("target"), "old");
  EXPECT_EQ(directory_.Read("to/file"), "new");
}

TEST_F(TreeTest, RefusesContentOfAnotherSizeThanAnnounced) {
  EXPECT_EQ(ReasonOfWriting(File("file", 3), "four"), Reason::kAgentProtocol);
  EXPECT_EQ(ReasonOfWriting(File("file", 3), "tw"), Reason::kAgentProtocol);
  EXPECT_EQ(ReasonOfWriting(File("file", 0), "x"), Reason::kAgentProtocol);
}

TEST_F(TreeTest, RefusesWhatIsNoPartOfATree) {
  EXPECT_EQ(ReasonOfWriting(Entry("x", FileType::FILE_TYPE_OTHER)), Reason::kPathInvalid);
  EXPECT_EQ(ReasonOfWriting(File("", 0)), Reason::kPathInvalid);
  EXPECT_EQ(ReasonOfWriting(Entry("", FileType::FILE_TYPE_DIRECTORY)), Reason::kUnspecified);
  fs::create_directories(Path("to/dir"));
  EXPECT_EQ(ReasonOfWriting(File("dir", 0)), Reason::kIsADirectory);
}

TEST_F(TreeTest, KeepsHolesInFiles) {
  std::string content(8 << 20, '\0');
  content.replace(0, 5, "start");
  content.replace(5'000'000, 6, "middle");
  AgentClient client = StartWriting();
  HostFrame frame;
  *frame.mutable_tree_entry() = File("sparse", content.size());
  client.Send(frame);
  for (size_t at = 0; at < content.size(); at += 99'999) {
    client.SendData(absl::string_view(content).substr(at, 99'999));
  }
  client.End();
  EXPECT_EQ(ReadFileResult(client).done.bytes(), content.size());
  EXPECT_TRUE(directory_.Read("to/sparse") == content);
  struct stat status {};
  ASSERT_EQ(::stat(Path("to/sparse").c_str(), &status), 0);
  EXPECT_LT(status.st_blocks * 512, 1 << 20);
}

TEST_F(TreeTest, WhatIsReadCanBeWritten) {
  fs::create_directories(Path("from/a/b/c"));
  directory_.Write("from/a/b/file", std::string(700'000, 'x'));
  fs::create_symlink("b/file", Path("from/a/link"));
  AgentClient reader = agent_.Connect();
  Open open;
  open.mutable_read_tree()->set_path(Path("from"));
  reader.Open(open);
  AgentClient writer = StartWriting();
  while (const auto frame = reader.Receive()) {
    HostFrame copy;
    if (frame->has_tree_entry()) *copy.mutable_tree_entry() = frame->tree_entry();
    if (frame->has_data()) copy.set_data(frame->data());
    if (frame->has_done()) copy.mutable_end();
    writer.Send(copy);
    if (frame->has_done()) break;
  }
  EXPECT_FALSE(ReadFileResult(writer).ended_in_error);
  EXPECT_TRUE(directory_.Read("to/a/b/file") == std::string(700'000, 'x'));
  EXPECT_EQ(fs::read_symlink(Path("to/a/link")), "b/file");
  EXPECT_TRUE(fs::is_directory(Path("to/a/b/c")));
}

class WatchTest : public TreeTest {
 protected:
  AgentClient Watch(bool recursive) {
    AgentClient client = agent_.Connect();
    Open open;
    open.mutable_watch()->set_path(directory_.path());
    open.mutable_watch()->set_recursive(recursive);
    client.Open(open);
    client.Expect(AgentFrame::kOpened);
    return client;
  }
  // Skips events until the wanted one; the test's patience is the client's.
  WatchEvent Await(AgentClient& client, WatchEvent::Kind kind, const std::string& name) {
    while (const auto frame = client.Receive()) {
      const WatchEvent& event = frame->watch_event();
      if (event.kind() == kind && event.path() == Path(name)) return event;
    }
    ADD_FAILURE() << "no event " << kind << " of " << name;
    return WatchEvent();
  }
};

TEST_F(WatchTest, TellsWhatHappensInADirectory) {
  AgentClient client = Watch(false);
  directory_.Write("file", "x");
  Await(client, WatchEvent::KIND_CREATED, "file");
  Await(client, WatchEvent::KIND_MODIFIED, "file");
  ASSERT_EQ(::chmod(Path("file").c_str(), 0600), 0);
  Await(client, WatchEvent::KIND_ATTRIBUTES, "file");
  fs::rename(Path("file"), Path("other"));
  EXPECT_EQ(Await(client, WatchEvent::KIND_RENAMED, "file").new_path(), Path("other"));
  fs::remove(Path("other"));
  Await(client, WatchEvent::KIND_REMOVED, "other");
}

TEST_F(WatchTest, FollowsNewAndRenamedDirectories) {
  fs::create_directories(Path("old"));
  AgentClient client = Watch(true);
  fs::create_directories(Path("a/b"));
  EXPECT_TRUE(Await(client, WatchEvent::KIND_CREATED, "a").is_directory());
  Await(client, WatchEvent::KIND_CREATED, "a/b");
  directory_.Write("a/b/file", "x");
  Await(client, WatchEvent::KIND_CREATED, "a/b/file");
  fs::rename(Path("a"), Path("z"));
  Await(client, WatchEvent::KIND_RENAMED, "a");
  directory_.Write("z/b/second", "x");
  Await(client, WatchEvent::KIND_CREATED, "z/b/second");
  directory_.Write("old/file", "x");
  Await(client, WatchEvent::KIND_CREATED, "old/file");
}

TEST_F(WatchTest, WhatMovesOutIsRemovedAndWhatMovesInIsCreated) {
  TempDir elsewhere;
  directory_.Write("file", "x");
  AgentClient client = Watch(true);
  fs::rename(Path("file"), elsewhere.path() + "/file");
  Await(client, WatchEvent::KIND_REMOVED, "file");
  fs::rename(elsewhere.path() + "/file", Path("back"));
  Await(client, WatchEvent::KIND_CREATED, "back");
}

TEST_F(WatchTest, EndsWhenTheHostDoes) {
  AgentClient client = Watch(false);
  client.HalfClose();
  EXPECT_TRUE(client.Expect(AgentFrame::kDone).has_done());
}

TEST_F(WatchTest, TakesNoMoreEventsAtOnceThanItCanHold) {
  auto tree = WatchTree::Open(directory_.path(), WatchDepth::kOne);
  ASSERT_OK(tree);
  constexpr size_t kFiles = 8000;
  for (size_t i = 0; i < kFiles; ++i) directory_.Write(absl::StrCat("f", i), "");

  size_t created = 0;
  size_t most_at_once = 0;
  int turns = 0;
  for (; created < kFiles; ++turns) {
    const auto events = tree->Read(WatchTree::Settled::kYes);
    ASSERT_OK(events);
    ASSERT_FALSE(events->empty());
    most_at_once = std::max(most_at_once, events->size());
    created += std::count_if(events->begin(), events->end(), [](const auto& event) {
      return event.kind() == agent::v1::WatchEvent::KIND_CREATED;
    });
  }
  EXPECT_EQ(created, kFiles);
  EXPECT_GT(turns, 1);
  EXPECT_LT(most_at_once, kFiles);
}

TEST_F(WatchTest, RefusesMoreThanItsLimit) {
  TestAgent agent({.server = {.watches = 1}});
  const auto watch = [&] {
    AgentClient client = agent.Connect();
    Open open;
    open.mutable_watch()->set_path(directory_.path());
    client.Open(open);
    return client;
  };
  AgentClient first = watch();
  first.Expect(AgentFrame::kOpened);
  AgentClient second = watch();
  EXPECT_EQ(ReasonFromNumber(ReadFileResult(second).error.reason()), Reason::kLimitExceeded);
}

}  // namespace
}  // namespace msb
