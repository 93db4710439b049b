// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/local_tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

msb::v1::TreeEntry Entry(const std::string& path, msb::v1::FileType type, uint64_t size = 0) {
  msb::v1::TreeEntry entry;
  entry.set_path(path);
  entry.set_type(type);
  entry.set_mode(type == msb::v1::FILE_TYPE_DIRECTORY ? 0755 : 0644);
  entry.set_size(size);
  return entry;
}

msb::v1::TreeEntry Symlink(const std::string& path, const std::string& target) {
  msb::v1::TreeEntry entry = Entry(path, msb::v1::FILE_TYPE_SYMLINK);
  entry.set_symlink_target(target);
  return entry;
}

absl::Status CopyTree(const std::string& from, const std::string& to) {
  LocalTreeWriter writer(to);
  absl::Status written;
  MSB_RETURN_IF_ERROR(ReadLocalTree(
      from,
      [&](const msb::v1::TreeEntry& entry) {
        written = writer.Entry(entry);
        return written.ok();
      },
      [&](std::string& data) {
        written = writer.Data(data);
        return written.ok();
      }));
  MSB_RETURN_IF_ERROR(written);
  return writer.Finish();
}

TEST(LocalTreeTest, ATreeComesBackWithContentModesTimesAndSymlinks) {
  TempDir dir;
  std::filesystem::create_directories(dir.path() + "/from/sub/empty");
  dir.Write("from/a", "content");
  dir.Write("from/sub/big", std::string(1'000'000, 'x'));
  ::chmod((dir.path() + "/from/a").c_str(), 0751);
  ASSERT_EQ(::symlink("../a", (dir.path() + "/from/sub/link").c_str()), 0);
  const timespec times[] = {{1, 0}, {123456789, 5000}};
  ::utimensat(AT_FDCWD, (dir.path() + "/from/sub").c_str(), times, 0);

  ASSERT_OK(CopyTree(dir.path() + "/from", dir.path() + "/to"));

  EXPECT_EQ(dir.Read("to/a"), "content");
  EXPECT_EQ(dir.Read("to/sub/big").size(), 1'000'000u);
  EXPECT_TRUE(std::filesystem::is_directory(dir.path() + "/to/sub/empty"));
  EXPECT_EQ(std::filesystem::read_symlink(dir.path() + "/to/sub/link"), "../a");
  struct stat info {};
  ASSERT_EQ(::stat((dir.path() + "/to/a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0751u);
  ASSERT_EQ(::stat((dir.path() + "/to/sub").c_str(), &info), 0);
  EXPECT_EQ(info.st_mtim.tv_sec, 123456789);
}

TEST(LocalTreeTest, NamesThatAreNoTextStayTwoNames) {
  TempDir dir;
  std::filesystem::create_directory(dir.path() + "/from");
  dir.Write("from/a\xfe", "one");
  dir.Write("from/a\xff", "other");
  ASSERT_OK(CopyTree(dir.path() + "/from", dir.path() + "/to"));
  EXPECT_EQ(dir.Read("to/a\xfe"), "one");
  EXPECT_EQ(dir.Read("to/a\xff"), "other");
}

TEST(LocalTreeTest, AHoleStaysAHoleAndASymlinkKeepsItsTime) {
  TempDir dir;
  std::filesystem::create_directory(dir.path() + "/from");
  dir.Write("from/sparse", std::string(8 << 20, '\0') + "end");
  ASSERT_EQ(::symlink("nowhere", (dir.path() + "/from/link").c_str()), 0);
  const timespec times[] = {{1, 0}, {123456789, 5000}};
  ::utimensat(AT_FDCWD, (dir.path() + "/from/link").c_str(), times, AT_SYMLINK_NOFOLLOW);

  ASSERT_OK(CopyTree(dir.path() + "/from", dir.path() + "/to"));

  EXPECT_EQ(dir.Read("to/sparse"), std::string(8 << 20, '\0') + "end");
  struct stat info {};
  ASSERT_EQ(::stat((dir.path() + "/to/sparse").c_str(), &info), 0);
  EXPECT_LT(info.st_blocks * 512, 1 << 16);
  ASSERT_EQ(::lstat((dir.path() + "/to/link").c_str(), &info), 0);
  EXPECT_EQ(info.st_mtim.tv_sec, 123456789);
}

TEST(LocalTreeTest, ATopThatIsASymlinkIsWhatItPointsTo) {
  TempDir dir;
  dir.Write("file", "content");
  ASSERT_EQ(::symlink("file", (dir.path() + "/link").c_str()), 0);
  ASSERT_OK(CopyTree(dir.path() + "/link", dir.path() + "/to"));
  EXPECT_EQ(dir.Read("to"), "content");
  EXPECT_FALSE(std::filesystem::is_symlink(dir.path() + "/to"));
}

TEST(LocalTreeTest, BytesAreThoseOfAllFiles) {
  TempDir dir;
  std::filesystem::create_directories(dir.path() + "/from/sub");
  dir.Write("from/a", "12345");
  dir.Write("from/b", "678");
  dir.Write("from/sub/c", "90");
  EXPECT_EQ(LocalTreeBytes(dir.path() + "/from"), 10u);
  EXPECT_EQ(LocalTreeBytes(dir.path() + "/from/a"), 5u);
}

TEST(LocalTreeTest, AFileWithoutASizeHasItsContent) {
  TempDir dir;
  ASSERT_OK(CopyTree("/proc/sys/kernel/random", dir.path() + "/to"));
  EXPECT_EQ(dir.Read("to/boot_id").size(), 37u);
  ASSERT_OK(CopyTree("/proc/self/status", dir.path() + "/status"));
  EXPECT_EQ(dir.Read("status").substr(0, 5), "Name:");
}

TEST(LocalTreeTest, OfAKernelsDirectoryComesTheFirstLevel) {
  const std::string thread = std::to_string(::gettid());
  std::vector<std::string> paths;
  ASSERT_OK(ReadLocalTree(
      "/proc/self/task",
      [&](const msb::v1::TreeEntry& entry) {
        paths.push_back(entry.path());
        return true;
      },
      nullptr));
  EXPECT_THAT(paths, testing::ElementsAre("", thread));
}

class LocalFileTest : public testing::Test {
 protected:
  msb::v1::TreeEntry Top(uint64_t size) const {
    return Entry("", msb::v1::FILE_TYPE_REGULAR, size);
  }
  std::string Path(const std::string& name) const { return dir_.path() + "/" + name; }
  size_t Files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(dir_.path()), {}));
  }

  TempDir dir_;
};

TEST_F(LocalFileTest, WhatWasThereStaysUntilTheNewFileIsWhole) {
  dir_.Write("file", "precious");
  {
    LocalTreeWriter writer(Path("file"));
    ASSERT_OK(writer.Entry(Top(3)));
    ASSERT_OK(writer.Data("ne"));
    EXPECT_EQ(dir_.Read("file"), "precious");
  }
  EXPECT_EQ(dir_.Read("file"), "precious");
  EXPECT_EQ(Files(), 1u) << "nothing of the unfinished one is left";
  LocalTreeWriter writer(Path("file"));
  ASSERT_OK(writer.Entry(Top(3)));
  ASSERT_OK(writer.Data("new"));
  ASSERT_OK(writer.Finish());
  EXPECT_EQ(dir_.Read("file"), "new");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(LocalFileTest, OfAFileThatIsNotWholeNothingStays) {
  LocalTreeWriter(Path("file")).Entry(Top(3)).IgnoreError();
  EXPECT_EQ(Files(), 0u);
}

TEST_F(LocalFileTest, AFifoIsWrittenThrough) {
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  LocalTreeWriter early(Path("fifo"));
  EXPECT_FALSE(early.Entry(Top(3)).ok()) << "nobody reads it, and nobody is waited for";
  const UniqueFd reader(::open(Path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  LocalTreeWriter writer(Path("fifo"));
  ASSERT_OK(writer.Entry(Top(3)));
  ASSERT_OK(writer.Data("new"));
  ASSERT_OK(writer.Finish());
  char got[8];
  EXPECT_EQ(::read(reader.get(), got, sizeof(got)), 3);
  EXPECT_TRUE(std::filesystem::is_fifo(Path("fifo")));
}

TEST_F(LocalFileTest, ADescriptorOfThisProcessIsWrittenTo) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]), writer_end(ends[1]);
  for (const char* directory : {"/dev/fd/", "/proc/self/fd/"}) {
    LocalTreeWriter writer(directory + std::to_string(writer_end.get()));
    ASSERT_OK(writer.Entry(Top(3)));
    ASSERT_OK(writer.Data("new"));
    ASSERT_OK(writer.Finish());
    char got[8];
    EXPECT_EQ(::read(reader.get(), got, sizeof(got)), 3);
  }
}

// It may be one that an earlier copy out of the sandbox made.
TEST_F(LocalFileTest, ASymlinkIsReplacedAndNotWrittenThrough) {
  dir_.Write("precious", "mine");
  ASSERT_EQ(::symlink("precious", Path("result").c_str()), 0);
  LocalTreeWriter writer(Path("result"));
  ASSERT_OK(writer.Entry(Top(4)));
  ASSERT_OK(writer.Data("evil"));
  ASSERT_OK(writer.Finish());
  EXPECT_EQ(dir_.Read("precious"), "mine");
  EXPECT_EQ(dir_.Read("result"), "evil");
  EXPECT_FALSE(std::filesystem::is_symlink(Path("result")));
}

TEST_F(LocalFileTest, ATreeWithoutATopIsAnError) {
  EXPECT_THAT(LocalTreeWriter(Path("file")).Finish(), HasReason(Reason::kAgentProtocol));
}

TEST_F(LocalFileTest, ADirectoryIsNotReplaced) {
  std::filesystem::create_directory(Path("directory"));
  LocalTreeWriter writer(Path("directory"));
  EXPECT_THAT(std::string(writer.Entry(Top(0)).message()), testing::HasSubstr("Is a directory"));
}

class HostileTreeTest : public testing::Test {
 protected:
  HostileTreeTest() : writer_(dir_.path() + "/to") {
    dir_.Write("precious", "mine");
    EXPECT_OK(writer_.Entry(Entry("", msb::v1::FILE_TYPE_DIRECTORY)));
  }
  TempDir dir_;
  LocalTreeWriter writer_;
};

TEST_F(HostileTreeTest, NamesThatLeaveTheDestinationAreRefused) {
  for (const std::string& name :
       {std::string("../precious"), std::string("/etc/passwd"), std::string("a/../../precious"),
        std::string("a//b"), std::string("."), std::string("a/."), std::string("a\0b", 3)}) {
    EXPECT_THAT(writer_.Entry(Entry(name, msb::v1::FILE_TYPE_REGULAR)),
                HasReason(Reason::kPathInvalid))
        << name;
  }
  EXPECT_EQ(dir_.Read("precious"), "mine");
}

TEST_F(HostileTreeTest, ASymlinkSentBeforeIsNotFollowed) {
  ASSERT_OK(writer_.Entry(Symlink("out", "..")));

  EXPECT_FALSE(writer_.Entry(Entry("out/precious", msb::v1::FILE_TYPE_REGULAR)).ok());
  EXPECT_EQ(dir_.Read("precious"), "mine");
}

TEST_F(HostileTreeTest, ASecondTopIsRefused) {
  std::filesystem::create_directory(dir_.path() + "/elsewhere");
  LocalTreeWriter writer(dir_.path() + "/out");
  EXPECT_THAT(writer.Entry(Symlink("", dir_.path() + "/elsewhere")),
              HasReason(Reason::kAgentProtocol));
  EXPECT_THAT(writer.Entry(Entry("", msb::v1::FILE_TYPE_DIRECTORY)),
              HasReason(Reason::kAgentProtocol));
  EXPECT_FALSE(writer.Entry(Entry("evil", msb::v1::FILE_TYPE_REGULAR)).ok());
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path() + "/elsewhere"));
  EXPECT_FALSE(std::filesystem::is_symlink(dir_.path() + "/out"));

  EXPECT_THAT(writer_.Entry(Symlink("", "..")), HasReason(Reason::kAgentProtocol));
  EXPECT_THAT(writer_.Entry(Entry("", msb::v1::FILE_TYPE_REGULAR)),
              HasReason(Reason::kAgentProtocol));
}

TEST_F(HostileTreeTest, AnEntryWithoutItsTopIsRefused) {
  LocalTreeWriter writer(dir_.path() + "/out");
  EXPECT_THAT(writer.Entry(Entry("a", msb::v1::FILE_TYPE_REGULAR)),
              HasReason(Reason::kAgentProtocol));
  LocalTreeWriter file(dir_.path() + "/file");
  ASSERT_OK(file.Entry(Entry("", msb::v1::FILE_TYPE_REGULAR)));
  EXPECT_THAT(file.Entry(Entry("a", msb::v1::FILE_TYPE_REGULAR)),
              HasReason(Reason::kAgentProtocol));
}

TEST_F(HostileTreeTest, AFileReplacesASymlinkInsteadOfWritingThroughIt) {
  ASSERT_OK(writer_.Entry(Symlink("file", "../precious")));
  ASSERT_OK(writer_.Entry(Entry("file", msb::v1::FILE_TYPE_REGULAR, 4)));
  ASSERT_OK(writer_.Data("evil"));
  ASSERT_OK(writer_.Finish());

  EXPECT_EQ(dir_.Read("precious"), "mine");
  EXPECT_EQ(dir_.Read("to/file"), "evil");
}

TEST_F(HostileTreeTest, NoFileGetsSetuid) {
  msb::v1::TreeEntry entry = Entry("tool", msb::v1::FILE_TYPE_REGULAR);
  entry.set_mode(06755);
  ASSERT_OK(writer_.Entry(entry));
  ASSERT_OK(writer_.Finish());
  struct stat info {};
  ASSERT_EQ(::stat((dir_.path() + "/to/tool").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u);
}

TEST_F(HostileTreeTest, ContentMustBeAsLongAsAnnounced) {
  ASSERT_OK(writer_.Entry(Entry("f", msb::v1::FILE_TYPE_REGULAR, 3)));
  EXPECT_THAT(writer_.Data("four"), HasReason(Reason::kAgentProtocol));
  EXPECT_THAT(writer_.Finish(), HasReason(Reason::kAgentProtocol));
}

}  // namespace
}  // namespace msb
