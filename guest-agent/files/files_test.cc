// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// File operations, through the whole agent.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "guest-agent/files/bulk_writer.h"
#include "tests/support/agent/test_agent.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

namespace fs = std::filesystem;
using agent::v1::AgentFrame;
using agent::v1::FileType;
using agent::v1::Open;
using testing::ElementsAre;

class FilesTest : public testing::Test {
 protected:
  FileResult Run(const Open& open) {
    AgentClient client = agent_.Connect();
    client.Open(open);
    return ReadFileResult(client);
  }
  Reason ReasonOf(const Open& open) { return ReasonFromNumber(Run(open).error.reason()); }

  FileResult Write(const agent::v1::WriteFile& request, const std::string& content) {
    AgentClient client = agent_.Connect();
    Open open;
    *open.mutable_write_file() = request;
    client.Open(open);
    for (size_t at = 0; at < content.size(); at += 100'000) {
      client.SendData(absl::string_view(content).substr(at, 100'000));
    }
    client.End();
    return ReadFileResult(client);
  }
  agent::v1::WriteFile ToWrite(const std::string& name) {
    agent::v1::WriteFile request;
    request.set_path(Path(name));
    return request;
  }

  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }
  mode_t ModeOf(const std::string& name) const {
    struct stat status {};
    return ::lstat(Path(name).c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  TestAgent agent_;
  TempDir directory_;
};

Open ReadRequest(const std::string& path, uint64_t offset = 0, uint64_t length = 0) {
  Open open;
  open.mutable_read_file()->set_path(path);
  open.mutable_read_file()->set_offset(offset);
  open.mutable_read_file()->set_length(length);
  return open;
}

std::string Pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + i / 251);
  return text;
}

TEST_F(FilesTest, ReadsAWholeFileOrAPartOfIt) {
  const std::string content = Pattern(1'000'000);
  directory_.Write("file", content);
  EXPECT_TRUE(Run(ReadRequest(Path("file"))).data == content);
  EXPECT_EQ(Run(ReadRequest(Path("file"))).done.bytes(), content.size());
  EXPECT_EQ(Run(ReadRequest(Path("file"), 10, 20)).data, content.substr(10, 20));
  EXPECT_EQ(Run(ReadRequest(Path("file"), 999'990)).data, content.substr(999'990));
  EXPECT_EQ(Run(ReadRequest(Path("file"), 2'000'000)).data, "");
}

TEST_F(FilesTest, ReadsFilesThatTheKernelMakesUp) {
  EXPECT_FALSE(Run(ReadRequest("/proc/self/status")).data.empty());
  EXPECT_EQ(Run(ReadRequest("/dev/zero", 0, 1000)).data, std::string(1000, '\0'));
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(Run(ReadRequest(Path("fifo"))).data, "");
}

TEST_F(FilesTest, TellsWhyAFileCannotBeRead) {
  EXPECT_EQ(ReasonOf(ReadRequest(Path("none"))), Reason::kFileNotFound);
  EXPECT_EQ(ReasonOf(ReadRequest(directory_.path())), Reason::kIsADirectory);
  directory_.Write("file", "");
  EXPECT_EQ(ReasonOf(ReadRequest(Path("file/below"))), Reason::kNotADirectory);
  EXPECT_EQ(ReasonOf(ReadRequest("relative")), Reason::kPathInvalid);
  EXPECT_EQ(ReasonOf(ReadRequest("")), Reason::kPathInvalid);
  EXPECT_EQ(ReasonOf(ReadRequest("/" + std::string(5000, 'x'))), Reason::kPathInvalid);
  EXPECT_EQ(ReasonOf(ReadRequest(std::string("/a\0b", 4))), Reason::kPathInvalid);
  EXPECT_EQ(Run(ReadRequest(Path("none"))).error.errno_value(), ENOENT);
}

TEST_F(FilesTest, HasExactlyTheRightsOfTheUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
  directory_.Write("secret", "x");
  ASSERT_EQ(::chmod(Path("secret").c_str(), 0640), 0);
  Open open = ReadRequest(Path("secret"));
  open.mutable_read_file()->set_user("daemon");
  EXPECT_EQ(ReasonOf(open), Reason::kFilePermissionDenied);
  open.mutable_read_file()->set_user("daemon:root");
  EXPECT_EQ(Run(open).data, "x");
  open.mutable_read_file()->set_user("nobody-of-the-name");
  EXPECT_EQ(ReasonOf(open), Reason::kUserNotFound);
  agent::v1::WriteFile write = ToWrite("new");
  write.set_user("daemon");
  EXPECT_EQ(ReasonFromNumber(Write(write, "x").error.reason()), Reason::kFilePermissionDenied);
  // The same worker thread is root again.
  EXPECT_EQ(Run(ReadRequest(Path("secret"))).data, "x");
}

TEST_F(FilesTest, WritesANewFileWithItsModeAndParents) {
  const std::string content = Pattern(500'000);
  agent::v1::WriteFile request = ToWrite("a/b/file");
  EXPECT_EQ(ReasonFromNumber(Write(request, content).error.reason()), Reason::kFileNotFound);
  request.set_make_parents(true);
  request.set_mode(0751);
  EXPECT_EQ(Write(request, content).done.bytes(), content.size());
  EXPECT_TRUE(directory_.Read("a/b/file") == content);
  EXPECT_EQ(ModeOf("a/b/file"), 0751u);
  Write(ToWrite("plain"), "");
  EXPECT_EQ(ModeOf("plain"), 0644u);
}

TEST_F(FilesTest, ReplacesAFileAtOnceAndKeepsItsModeAndOwner) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  directory_.Write("file", "old");
  ASSERT_EQ(::chmod(Path("file").c_str(), 0606), 0);
  ASSERT_EQ(::chown(Path("file").c_str(), 12, 34), 0);
  const int reader = ::open(Path("file").c_str(), O_RDONLY | O_CLOEXEC);
  agent::v1::WriteFile request = ToWrite("file");
  request.set_mode(0777);
  EXPECT_FALSE(Write(request, "new").ended_in_error);
  char text[4] = {};
  EXPECT_EQ(::read(reader, text, 3), 3);
  ::close(reader);
  EXPECT_STREQ(text, "old");
  EXPECT_EQ(directory_.Read("file"), "new");
  struct stat status {};
  ASSERT_EQ(::stat(Path("file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0606u);
  EXPECT_EQ(status.st_uid, 12u);
  EXPECT_EQ(status.st_gid, 34u);
}

TEST_F(FilesTest, ACutConnectionLeavesTheOldFileAndNothingElse) {
  directory_.Write("file", "old");
  {
    AgentClient client = agent_.Connect();
    Open open;
    *open.mutable_write_file() = ToWrite("file");
    client.Open(open);
    client.Expect(AgentFrame::kOpened);
    client.SendData("new");
    client.HalfClose();
    EXPECT_EQ(ReasonFromNumber(ReadFileResult(client).error.reason()), Reason::kFrameTruncated);
  }
  EXPECT_EQ(directory_.Read("file"), "old");
  EXPECT_THAT(Names(), ElementsAre("file"));
}

TEST_F(FilesTest, AppendsInPlace) {
  directory_.Write("file", "one ");
  agent::v1::WriteFile request = ToWrite("file");
  request.set_append(true);
  Write(request, "two");
  EXPECT_EQ(directory_.Read("file"), "one two");
}

TEST_F(FilesTest, WritesThroughSymlinks) {
  directory_.Write("target", "old");
  fs::create_symlink("target", Path("link"));
  fs::create_symlink("made", Path("dangling"));
  EXPECT_FALSE(Write(ToWrite("link"), "new").ended_in_error);
  EXPECT_FALSE(Write(ToWrite("dangling"), "fresh").ended_in_error);
  EXPECT_EQ(directory_.Read("target"), "new");
  EXPECT_EQ(directory_.Read("made"), "fresh");
  EXPECT_TRUE(fs::is_symlink(Path("link")));
  EXPECT_TRUE(fs::is_symlink(Path("dangling")));
}

// Past the page cache where the file system can: the one in memory cannot.
TEST_F(FilesTest, WritesLargeFilesOfAnySize) {
  const std::string in_memory = absl::StrCat("/dev/shm/msb-files-test-", ::getpid());
  for (const uint64_t size : {uint64_t{kMaxPieceBytes}, BulkWriter::kCachedBytes,
                              BulkWriter::kCachedBytes + 1, BulkWriter::kCachedBytes + PieceBytes(),
                              BulkWriter::kCachedBytes + 3 * PieceBytes() + 4097}) {
    const std::string content = Pattern(size);
    agent::v1::WriteFile request = ToWrite("large");
    EXPECT_EQ(Write(request, content).done.bytes(), size);
    EXPECT_TRUE(directory_.Read("large") == content) << size;
    request.set_path(in_memory);
    EXPECT_EQ(Write(request, content).done.bytes(), size);
    fs::copy_file(in_memory, Path("copy"), fs::copy_options::overwrite_existing);
    EXPECT_TRUE(directory_.Read("copy") == content) << size;
  }
  fs::remove(in_memory);
}

TEST_F(FilesTest, ReadsLargeFilesOfAnySize) {
  const std::string in_memory = absl::StrCat("/dev/shm/msb-files-test-", ::getpid());
  for (const uint64_t size : {uint64_t{4 << 20} + 1, uint64_t{4 << 20} + 3 * PieceBytes(),
                              uint64_t{4 << 20} + 3 * PieceBytes() + 4097}) {
    const std::string content = Pattern(size);
    directory_.Write("large", content);
    EXPECT_TRUE(Run(ReadRequest(Path("large"))).data == content) << size;
    EXPECT_TRUE(Run(ReadRequest(Path("large"), 5000)).data == content.substr(5000)) << size;
    EXPECT_TRUE(Run(ReadRequest(Path("large"), 0, size - 100)).data ==
                content.substr(0, size - 100))
        << size;
    fs::copy_file(Path("large"), in_memory, fs::copy_options::overwrite_existing);
    EXPECT_TRUE(Run(ReadRequest(in_memory)).data == content) << size;
  }
  fs::remove(in_memory);
}

TEST_F(FilesTest, ALargeFilesZerosTakeNoRoom) {
  for (const std::string& end : {std::string("end"), std::string()}) {
    const std::string content = std::string(4096, 'x') + std::string((16 << 20) - 4096, '\0') + end;
    EXPECT_EQ(Write(ToWrite("sparse"), content).done.bytes(), content.size());
    EXPECT_TRUE(directory_.Read("sparse") == content);
    struct stat status {};
    ASSERT_EQ(::stat(Path("sparse").c_str(), &status), 0);
    EXPECT_LT(status.st_blocks * 512, 4 << 20);
  }
}

TEST_F(FilesTest, WritesWithATimeOfItsOwn) {
  directory_.Write("old", "content");
  for (const std::string name : {"new", "old"}) {
    agent::v1::WriteFile request = ToWrite(name);
    request.set_mtime_ns(-1'500'000'000);
    EXPECT_EQ(Write(request, "x").done.bytes(), 1u);
    struct stat status {};
    ASSERT_EQ(::stat(Path(name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mtim.tv_sec, -2);
    EXPECT_EQ(status.st_mtim.tv_nsec, 500'000'000);
  }
}

TEST_F(FilesTest, LeavesNothingOfALargeFileThatIsCutOff) {
  AgentClient client = agent_.Connect();
  Open open;
  *open.mutable_write_file() = ToWrite("large");
  client.Open(open);
  client.Expect(AgentFrame::kOpened);
  const std::string piece = Pattern(100'000);
  for (size_t sent = 0; sent < BulkWriter::kCachedBytes + 2 * PieceBytes(); sent += piece.size()) {
    client.SendData(piece);
  }
  client.HalfClose();
  EXPECT_EQ(ReasonFromNumber(ReadFileResult(client).error.reason()), Reason::kFrameTruncated);
  EXPECT_THAT(Names(), ElementsAre());
}

TEST_F(FilesTest, ALargeFileThatDoesNotFitSaysSo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to mount";
  const std::string small = Path("small");
  fs::create_directory(small);
  ASSERT_EQ(::mount("none", small.c_str(), "tmpfs", 0, "size=6m"), 0);
  agent::v1::WriteFile request = ToWrite("small/large");
  const FileResult result = Write(request, Pattern(BulkWriter::kCachedBytes + (4 << 20)));
  EXPECT_EQ(ReasonFromNumber(result.error.reason()), Reason::kNoSpace);
  EXPECT_TRUE(fs::is_empty(small));
  ::umount(small.c_str());
}

TEST_F(FilesTest, ATimeThatAUserMayNotSetLosesNothing) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
  directory_.Write("file", "old");
  ASSERT_EQ(::chmod(Path("file").c_str(), 0666), 0);
  agent::v1::WriteFile request = ToWrite("file");
  request.set_user("nobody");
  request.set_mtime_ns(1'000'000'000);
  EXPECT_FALSE(Write(request, "new").ended_in_error);
  EXPECT_EQ(directory_.Read("file"), "new");
}

TEST_F(FilesTest, WritesDevicesInPlace) {
  agent::v1::WriteFile request;
  request.set_path("/dev/null");
  EXPECT_EQ(Write(request, "gone").done.bytes(), 4u);
  struct stat status {};
  ASSERT_EQ(::stat("/dev/null", &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(Write(ToWrite("fifo"), "x").error.errno_value(), ENXIO);
  request.set_path("/dev/full");
  EXPECT_EQ(ReasonFromNumber(Write(request, "x").error.reason()), Reason::kNoSpace);
  EXPECT_EQ(ReasonFromNumber(Write(ToWrite(""), "x").error.reason()), Reason::kIsADirectory);
}

TEST_F(FilesTest, AUserWritesAFileThatTheDirectoryDoesNotLetHimReplace) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
  directory_.Write("file", "a longer text");
  ASSERT_EQ(::chmod(Path("file").c_str(), 0666), 0);
  agent::v1::WriteFile request = ToWrite("file");
  request.set_user("daemon");
  EXPECT_FALSE(Write(request, "short").ended_in_error);
  EXPECT_EQ(directory_.Read("file"), "short");
}

TEST_F(FilesTest, DescribesAFile) {
  directory_.Write("file", "12345");
  ASSERT_EQ(::chmod(Path("file").c_str(), 04755), 0);
  fs::create_symlink("file", Path("link"));
  Open open;
  open.mutable_stat()->set_path(Path("link"));
  const FileResult link = Run(open);
  ASSERT_EQ(link.infos.size(), 1u);
  EXPECT_EQ(link.infos[0].type(), FileType::FILE_TYPE_SYMLINK);
  EXPECT_EQ(link.infos[0].symlink_target(), "file");
  open.mutable_stat()->set_follow_symlinks(true);
  const FileResult file = Run(open);
  ASSERT_EQ(file.infos.size(), 1u);
  EXPECT_EQ(file.infos[0].name(), "link");
  EXPECT_EQ(file.infos[0].path(), Path("link"));
  EXPECT_EQ(file.infos[0].type(), FileType::FILE_TYPE_REGULAR);
  EXPECT_EQ(file.infos[0].size(), 5u);
  EXPECT_EQ(file.infos[0].mode(), 04755u);
  EXPECT_GT(file.infos[0].mtime_ns(), 1'600'000'000'000'000'000);
  if (::geteuid() == 0) {
    EXPECT_EQ(file.infos[0].owner(), "root");
    EXPECT_EQ(file.infos[0].group(), "root");
  }
  open.mutable_stat()->set_path(Path("none"));
  EXPECT_EQ(ReasonOf(open), Reason::kFileNotFound);
}

TEST_F(FilesTest, ListsADirectorySortedToTheDepthAskedFor) {
  fs::create_directories(Path("b/x/deep"));
  for (const char* name : {"c", "a", "b/2", "b/1", "b/x/3"}) directory_.Write(name, "");
  const auto names = [&](uint32_t depth) {
    Open open;
    open.mutable_list_directory()->set_path(directory_.path() + "/");
    open.mutable_list_directory()->set_depth(depth);
    std::vector<std::string> paths;
    for (const auto& info : Run(open).infos) {
      paths.push_back(info.path().substr(directory_.path().size() + 1));
    }
    return paths;
  };
  EXPECT_THAT(names(0), ElementsAre("a", "b", "c"));
  EXPECT_THAT(names(2), ElementsAre("a", "b", "b/1", "b/2", "b/x", "c"));
  EXPECT_THAT(names(9), ElementsAre("a", "b", "b/1", "b/2", "b/x", "b/x/3", "b/x/deep", "c"));
  Open open;
  open.mutable_list_directory()->set_path(Path("a"));
  EXPECT_EQ(ReasonOf(open), Reason::kNotADirectory);
}

TEST_F(FilesTest, ListsManyEntriesAndNamesThatAreNoText) {
  for (int i = 0; i < 3000; ++i) directory_.Write(absl::StrCat("file-", i), "");
  directory_.Write("\xff\xfe", "");
  Open open;
  open.mutable_list_directory()->set_path(directory_.path());
  const FileResult result = Run(open);
  EXPECT_EQ(result.infos.size(), 3001u);
  EXPECT_EQ(result.infos.back().name(), "\xff\xfe");
  EXPECT_EQ(result.done.entries(), 3001u);
}

TEST_F(FilesTest, MakesDirectories) {
  Open open;
  auto& request = *open.mutable_make_directory();
  request.set_path(Path("a/b/c"));
  EXPECT_EQ(ReasonOf(open), Reason::kFileNotFound);
  request.set_parents(true);
  request.set_mode(01777);
  EXPECT_FALSE(Run(open).ended_in_error);
  EXPECT_EQ(ModeOf("a/b/c"), 01777u);
  EXPECT_EQ(ModeOf("a/b"), 0755u);
  EXPECT_FALSE(Run(open).ended_in_error);
  request.set_parents(false);
  EXPECT_EQ(ReasonOf(open), Reason::kFileExists);
  directory_.Write("file", "");
  request.set_path(Path("file/x"));
  request.set_parents(true);
  EXPECT_EQ(ReasonOf(open), Reason::kNotADirectory);
}

TEST_F(FilesTest, RemovesWhatIsAskedForAndNothingBehindSymlinks) {
  fs::create_directories(Path("tree/x/y"));
  fs::create_directories(Path("outside"));
  directory_.Write("outside/kept", "x");
  directory_.Write("tree/x/y/file", "");
  fs::create_directory_symlink(Path("outside"), Path("tree/x/link"));
  Open open;
  auto& request = *open.mutable_remove();
  request.set_path(Path("tree"));
  EXPECT_EQ(ReasonOf(open), Reason::kDirectoryNotEmpty);
  request.set_recursive(true);
  EXPECT_EQ(Run(open).done.entries(), 5u);
  EXPECT_EQ(ReasonOf(open), Reason::kFileNotFound);
  EXPECT_EQ(directory_.Read("outside/kept"), "x");
  request.set_path("/");
  EXPECT_EQ(ReasonOf(open), Reason::kPathInvalid);
  request.set_path(Path("outside/.."));
  EXPECT_EQ(ReasonOf(open), Reason::kPathInvalid);
}

TEST_F(FilesTest, RenamesAndReplacesOnlyWhenAllowed) {
  directory_.Write("a", "a");
  directory_.Write("b", "b");
  Open open;
  auto& request = *open.mutable_rename();
  request.set_from(Path("a"));
  request.set_to(Path("b"));
  request.set_no_replace(true);
  EXPECT_EQ(ReasonOf(open), Reason::kFileExists);
  request.set_no_replace(false);
  EXPECT_FALSE(Run(open).ended_in_error);
  EXPECT_EQ(directory_.Read("b"), "a");
  EXPECT_EQ(ReasonOf(open), Reason::kFileNotFound);
}

TEST_F(FilesTest, AFullFifoHoldsAWorkerNoLongerThanItsClient) {
  TestAgent agent({.server = {.file_workers = 1}});
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  const UniqueFd reader(::open(Path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  AgentClient writer = agent.Connect();
  Open open;
  *open.mutable_write_file() = ToWrite("fifo");
  writer.Open(open);
  writer.SendData(std::string(100'000, 'x'));  // more than a pipe holds
  writer.Expect(AgentFrame::kOpened);
  writer.Close();

  AgentClient next = agent.Connect();
  Open stat;
  stat.mutable_stat()->set_path(directory_.path());
  next.Open(stat);
  EXPECT_FALSE(ReadFileResult(next).ended_in_error);
}

TEST_F(FilesTest, AFifoTakesEverythingAsItIsRead) {
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  const UniqueFd reader(::open(Path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ::fcntl(reader.get(), F_SETFL, 0);
  // A FIFO without a writer is at its end: the agent may open it later than it is read.
  UniqueFd keeper(::open(Path("fifo").c_str(), O_WRONLY | O_CLOEXEC));
  std::string read_back;
  std::thread consumer([&] {
    char chunk[4096];
    while (true) {
      const ssize_t got = ::read(reader.get(), chunk, sizeof(chunk));
      if (got <= 0) break;
      read_back.append(chunk, static_cast<size_t>(got));
    }
  });
  const std::string content = Pattern(300'000);
  const FileResult result = Write(ToWrite("fifo"), content);
  keeper.Reset();
  consumer.join();
  EXPECT_FALSE(result.ended_in_error);
  EXPECT_EQ(read_back, content);
}

// The end of its data is no goodbye: who has sent all of it still waits for the answer.
TEST_F(FilesTest, AHostThatHasSentAllIsWaitedFor) {
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  const UniqueFd reader(::open(Path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  AgentClient writer = agent_.Connect();
  Open open;
  *open.mutable_write_file() = ToWrite("fifo");
  writer.Open(open);
  writer.Expect(AgentFrame::kOpened);
  writer.SendData(std::string(100'000, 'x'));  // more than a pipe holds
  writer.End();
  writer.HalfClose();

  size_t total = 0;
  char chunk[4096];
  pollfd readable{.fd = reader.get(), .events = POLLIN, .revents = 0};
  while (total < 100'000 && ::poll(&readable, 1, 10'000) > 0) {
    total += static_cast<size_t>(std::max<ssize_t>(0, ::read(reader.get(), chunk, sizeof(chunk))));
  }
  EXPECT_EQ(total, 100'000u);
  EXPECT_FALSE(ReadFileResult(writer).ended_in_error);
}

TEST_F(FilesTest, ManyAtOnceDoNotWaitForOneThatStalls) {
  AgentClient stalled = agent_.Connect();
  Open open;
  *open.mutable_write_file() = ToWrite("stalled");
  stalled.Open(open);
  stalled.Expect(AgentFrame::kOpened);
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(Write(ToWrite(absl::StrCat("file", i)), "x").ended_in_error);
  }
  stalled.End();
  EXPECT_FALSE(ReadFileResult(stalled).ended_in_error);
}

}  // namespace
}  // namespace msb
