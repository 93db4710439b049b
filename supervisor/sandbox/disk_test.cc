// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/unique_fd.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

constexpr uint64_t kMib = 1 << 20;

// 64 MiB with three islands of data in it, one of them at the very end.
void WriteTemplate(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(::ftruncate(fd.get(), 64 * kMib), 0);
  const std::string block(4096, 'd');
  for (const off_t offset : {off_t{0}, off_t{17 * kMib + 4096}, off_t{64 * kMib - 4096}}) {
    ASSERT_EQ(::pwrite(fd.get(), block.data(), block.size(), offset), 4096);
  }
}

char ByteAt(const std::string& path, off_t offset) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char byte = '?';
  EXPECT_EQ(::pread(fd.get(), &byte, 1, offset), 1);
  return byte;
}

TEST(MakeDiskTest, CopiesTheDataKeepsTheHolesAndGrows) {
  const TempDir dir;
  const std::string source = dir.path() + "/64.ext4";
  const std::string disk = dir.path() + "/disk";
  WriteTemplate(source);
  ASSERT_OK(MakeDisk(dir.path(), disk, 100 * kMib));
  struct stat info {};
  ASSERT_EQ(::stat(disk.c_str(), &info), 0);
  EXPECT_EQ(static_cast<uint64_t>(info.st_size), 100 * kMib);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_LT(info.st_blocks * 512, 2 * static_cast<off_t>(kMib));
  EXPECT_EQ(ByteAt(disk, 0), 'd');
  EXPECT_EQ(ByteAt(disk, 17 * kMib + 5000), 'd');
  EXPECT_EQ(ByteAt(disk, 64 * kMib - 1), 'd');
  EXPECT_EQ(ByteAt(disk, 30 * kMib), '\0');
  EXPECT_EQ(ByteAt(disk, 100 * kMib - 1), '\0');
}

TEST(MakeDiskTest, TakesTheLargestTemplateThatFits) {
  const TempDir dir;
  for (const char* name : {"16.ext4", "64.ext4", "256.ext4", "README", "x.ext4", ".ext4"}) {
    dir.Write(name, name);
  }
  ASSERT_OK(MakeDisk(dir.path(), dir.path() + "/disk", 255 * kMib));
  EXPECT_EQ(dir.Read("disk").substr(0, 7), "64.ext4");
}

TEST(MakeDiskTest, ADiskSmallerThanEveryTemplateIsRefused) {
  const TempDir dir;
  WriteTemplate(dir.path() + "/64.ext4");
  EXPECT_THAT(MakeDisk(dir.path(), dir.path() + "/disk", 63 * kMib),
              HasReason(Reason::kAssetMissing));
  EXPECT_NE(::access((dir.path() + "/disk").c_str(), F_OK), 0);
}

TEST(MakeDiskTest, WithoutATemplateItSaysSo) {
  const TempDir dir;
  EXPECT_THAT(MakeDisk(dir.path() + "/templates", dir.path() + "/disk", 16 * kMib),
              HasReason(Reason::kAssetMissing));
}

TEST(GrowDiskTest, GrowsAndNeverShrinks) {
  const TempDir dir;
  WriteTemplate(dir.path() + "/disk");
  ASSERT_OK(GrowDisk(dir.path() + "/disk", 128 * kMib));
  EXPECT_EQ(std::filesystem::file_size(dir.path() + "/disk"), 128 * kMib);
  ASSERT_OK(GrowDisk(dir.path() + "/disk", 16 * kMib));
  EXPECT_EQ(std::filesystem::file_size(dir.path() + "/disk"), 128 * kMib);
  EXPECT_EQ(ByteAt(dir.path() + "/disk", 64 * kMib - 1), 'd');
}

TEST(GrowDiskTest, OfNoDiskIsAnError) {
  const TempDir dir;
  EXPECT_THAT(GrowDisk(dir.path() + "/disk", 16 * kMib), HasReason(Reason::kHostError));
}

TEST(MakeDiskTest, AnExistingDiskIsNotTouched) {
  const TempDir dir;
  WriteTemplate(dir.path() + "/64.ext4");
  dir.Write("disk", "precious");
  EXPECT_THAT(MakeDisk(dir.path(), dir.path() + "/disk", 64 * kMib), HasReason(Reason::kHostError));
  EXPECT_EQ(dir.Read("disk"), "precious");
}

}  // namespace
}  // namespace msb
