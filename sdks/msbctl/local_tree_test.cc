// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/local_tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
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
      [&](std::string data) {
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
