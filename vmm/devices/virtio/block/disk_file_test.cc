// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/block/disk_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using Access = DiskFile::Access;

class DiskFileTest : public testing::Test {
 protected:
  UniqueFd OpenFile(const std::string& name, int flags) {
    return UniqueFd(::open((directory_.path() + "/" + name).c_str(), flags | O_CLOEXEC));
  }
  DiskFile MakeDisk(const std::string& content) {
    directory_.Write("disk", content);
    auto disk = DiskFile::Open(OpenFile("disk", O_RDWR), Access::kReadWrite);
    MSB_CHECK(disk.ok());
    return *std::move(disk);
  }
  uint64_t AllocatedBytes() {
    struct stat status;
    MSB_CHECK(::stat((directory_.path() + "/disk").c_str(), &status) == 0);
    return static_cast<uint64_t>(status.st_blocks) * 512;
  }

  TempDir directory_;
};

std::vector<absl::Span<uint8_t>> InPieces(std::string& bytes, size_t piece) {
  std::vector<absl::Span<uint8_t>> pieces;
  for (size_t i = 0; i < bytes.size(); i += piece) {
    pieces.push_back(
        absl::MakeSpan(reinterpret_cast<uint8_t*>(&bytes[i]), std::min(piece, bytes.size() - i)));
  }
  return pieces;
}

TEST_F(DiskFileTest, CountsWholeSectors) {
  EXPECT_EQ(MakeDisk(std::string(1024, 'x')).sectors(), 2u);
  EXPECT_EQ(MakeDisk(std::string(1535, 'x')).sectors(), 2u);
  EXPECT_EQ(MakeDisk("").sectors(), 0u);
}

TEST_F(DiskFileTest, RefusesWhatIsNoDisk) {
  directory_.Write("disk", "x");
  EXPECT_THAT(DiskFile::Open(OpenFile("disk", O_RDONLY), Access::kReadWrite),
              HasReason(Reason::kVmSpecInvalid));
  EXPECT_THAT(DiskFile::Open(OpenFile("disk", O_WRONLY), Access::kReadOnly),
              HasReason(Reason::kVmSpecInvalid));
  EXPECT_THAT(DiskFile::Open(UniqueFd(::open("/dev/null", O_RDWR)), Access::kReadWrite),
              HasReason(Reason::kVmSpecInvalid));
  EXPECT_FALSE(DiskFile::Open(UniqueFd(), Access::kReadOnly).ok());
  EXPECT_OK(DiskFile::Open(OpenFile("disk", O_RDONLY), Access::kReadOnly));
}

TEST_F(DiskFileTest, MovesMoreBuffersThanOneSystemCallTakes) {
  const DiskFile disk = MakeDisk(std::string(65536, '.'));
  std::string written;
  for (int i = 0; i < 30000; ++i) written += static_cast<char>('a' + i % 26);
  ASSERT_OK(disk.Write(100, InPieces(written, 7), DiskFile::Durability::kAtOnce));
  std::string got(30000, '\0');
  ASSERT_OK(disk.Read(100, InPieces(got, 11)));
  EXPECT_EQ(got, written);
  EXPECT_EQ(directory_.Read("disk").substr(0, 101), std::string(100, '.') + "a");
}

TEST_F(DiskFileTest, ReadsFromTheCacheOrSaysThatItCannot) {
  const DiskFile disk = MakeDisk(std::string(8192, 'c'));
  std::string got(4096, '\0');
  ASSERT_OK_AND_ASSIGN(const bool all, disk.ReadCached(4096, InPieces(got, 1000)));
  if (!all) GTEST_SKIP() << "this file system cannot read from its cache alone";
  EXPECT_EQ(got, std::string(4096, 'c'));
}

TEST_F(DiskFileTest, ReadsAcrossTheFilesThatItIsMadeOf) {
  std::vector<UniqueFd> parts;
  std::string all;
  for (const size_t pages : {1, 0, 3, 1}) {
    const std::string name = "part" + std::to_string(parts.size());
    const std::string content(pages * 4096, static_cast<char>('a' + parts.size()));
    directory_.Write(name, content);
    all += content;
    parts.push_back(OpenFile(name, O_RDONLY));
  }
  directory_.Write("last", "end, no page");
  parts.push_back(OpenFile("last", O_RDONLY));
  all += "end, no page";
  ASSERT_OK_AND_ASSIGN(const DiskFile disk, DiskFile::OpenParts(std::move(parts)));
  EXPECT_EQ(disk.sectors(), all.size() / 512);
  EXPECT_TRUE(disk.read_only());
  for (const size_t offset : {0, 4000, 4096, 8192, 16'000}) {
    std::string got(all.size() - offset, '\0');
    ASSERT_OK(disk.Read(offset, InPieces(got, 1000)));
    EXPECT_EQ(got, all.substr(offset));
    ASSERT_OK_AND_ASSIGN(const bool cached, disk.ReadCached(offset, InPieces(got, 777)));
    EXPECT_TRUE(!cached || got == all.substr(offset));
  }
  std::string beyond(4096, '\0');
  EXPECT_EQ(disk.Read(all.size() - 10, InPieces(beyond, 4096)).code(), absl::StatusCode::kDataLoss);
}

TEST_F(DiskFileTest, RefusesFilesThatCannotFollowEachOther) {
  directory_.Write("odd", "123");
  directory_.Write("page", std::string(4096, 'x'));
  const auto open = [this](const std::vector<std::string>& names) {
    std::vector<UniqueFd> parts;
    for (const std::string& name : names) parts.push_back(OpenFile(name, O_RDONLY));
    return DiskFile::OpenParts(std::move(parts)).status();
  };
  EXPECT_OK(open({"page", "odd"}));
  EXPECT_THAT(open({"odd", "page"}), HasReason(Reason::kVmSpecInvalid));
  EXPECT_THAT(open({}), HasReason(Reason::kVmSpecInvalid));
}

TEST_F(DiskFileTest, SaysWhenTheFileEndsEarly) {
  const DiskFile disk = MakeDisk(std::string(1024, 'c'));
  std::string got(1024, '\0');
  EXPECT_EQ(disk.Read(512, InPieces(got, 1024)).code(), absl::StatusCode::kDataLoss);
}

TEST_F(DiskFileTest, GivesBlocksBack) {
  const DiskFile disk = MakeDisk(std::string(1 << 20, 'c'));
  ASSERT_OK(disk.Flush());
  const uint64_t before = AllocatedBytes();
  ASSERT_OK(disk.Discard(0, 512 << 10));
  EXPECT_EQ(AllocatedBytes(), before - (512 << 10));
  EXPECT_EQ(directory_.Read("disk").size(), size_t{1} << 20);
}

TEST_F(DiskFileTest, WritesZeroesWithAndWithoutBlocks) {
  for (const auto allocation : {DiskFile::Allocation::kKeep, DiskFile::Allocation::kMayDrop}) {
    const DiskFile disk = MakeDisk(std::string(200'000, 'c'));
    ASSERT_OK(disk.WriteZeroes(1000, 150'000, allocation));
    EXPECT_EQ(directory_.Read("disk"),
              std::string(1000, 'c') + std::string(150'000, '\0') + std::string(49'000, 'c'));
  }
}

}  // namespace
}  // namespace msb
