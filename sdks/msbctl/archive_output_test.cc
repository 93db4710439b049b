// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/archive_output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ArchiveOutputTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return dir_.path() + "/" + name; }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  TempDir dir_;
};

TEST_F(ArchiveOutputTest, AnArchiveIsThereWhenItIsWhole) {
  ASSERT_OK_AND_ASSIGN(ArchiveOutput output, ArchiveOutput::Open(Path("a.tar")));
  ASSERT_OK(output.Write("one "));
  ASSERT_OK(output.Write("two"));
  EXPECT_FALSE(std::filesystem::exists(Path("a.tar")));
  ASSERT_OK(output.Finish());
  EXPECT_EQ(dir_.Read("a.tar"), "one two");
  EXPECT_THAT(Files(), ElementsAre("a.tar"));
}

TEST_F(ArchiveOutputTest, AnArchiveThatFailsLeavesNothing) {
  {
    ASSERT_OK_AND_ASSIGN(ArchiveOutput output, ArchiveOutput::Open(Path("a.tar")));
    ASSERT_OK(output.Write("half"));
  }
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(ArchiveOutputTest, AnArchiveThatFailsLeavesTheOneBeforeIt) {
  dir_.Write("a.tar", "the backup");
  {
    ASSERT_OK_AND_ASSIGN(ArchiveOutput output, ArchiveOutput::Open(Path("a.tar")));
    ASSERT_OK(output.Write("half"));
  }
  EXPECT_EQ(dir_.Read("a.tar"), "the backup");
  EXPECT_THAT(Files(), ElementsAre("a.tar"));
}

TEST_F(ArchiveOutputTest, ANewArchiveHasTheModeOfTheOneBeforeIt) {
  dir_.Write("a.tar", "old");
  ASSERT_EQ(::chmod(Path("a.tar").c_str(), 0640), 0);
  ASSERT_OK_AND_ASSIGN(ArchiveOutput output, ArchiveOutput::Open(Path("a.tar")));
  ASSERT_OK(output.Write("new"));
  ASSERT_OK(output.Finish());
  struct stat info {};
  ASSERT_EQ(::stat(Path("a.tar").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  EXPECT_EQ(dir_.Read("a.tar"), "new");
}

TEST_F(ArchiveOutputTest, ALinkStaysALink) {
  dir_.Write("real.tar", "old");
  std::filesystem::create_symlink("real.tar", Path("a.tar"));
  ASSERT_OK_AND_ASSIGN(ArchiveOutput output, ArchiveOutput::Open(Path("a.tar")));
  ASSERT_OK(output.Write("new"));
  ASSERT_OK(output.Finish());
  EXPECT_TRUE(std::filesystem::is_symlink(Path("a.tar")));
  EXPECT_EQ(dir_.Read("real.tar"), "new");
}

TEST_F(ArchiveOutputTest, APipeTakesTheBytesAndStays) {
  ASSERT_EQ(::mkfifo(Path("pipe").c_str(), 0600), 0);
  const UniqueFd reader(::open(Path("pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  {
    ASSERT_OK_AND_ASSIGN(ArchiveOutput output, ArchiveOutput::Open(Path("pipe")));
    ASSERT_OK(output.Write("half"));
  }
  char bytes[8];
  EXPECT_EQ(::read(reader.get(), bytes, sizeof(bytes)), 4);
  EXPECT_THAT(Files(), ElementsAre("pipe"));
}

TEST_F(ArchiveOutputTest, AFullDeviceIsAnErrorAndStays) {
  ASSERT_OK_AND_ASSIGN(ArchiveOutput output, ArchiveOutput::Open("/dev/full"));
  EXPECT_FALSE(output.Write("half").ok());
  ASSERT_OK(output.Finish());
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

TEST_F(ArchiveOutputTest, AFolderThatIsNotThereIsSaid) {
  EXPECT_THAT(ArchiveOutput::Open(Path("no/a.tar")), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(ArchiveOutput::Open(dir_.path()), HasReason(Reason::kInvalidArgument));
}

}  // namespace
}  // namespace msb
