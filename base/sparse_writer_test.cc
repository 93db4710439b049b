// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/sparse_writer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

namespace msb {
namespace {

// On the file system of the build, which has holes.
class SparseWriterTest : public testing::Test {
 protected:
  SparseWriterTest() : file_(std::tmpfile(), std::fclose) {}
  int fd() const { return ::fileno(file_.get()); }
  std::string Content() const {
    std::string content(static_cast<size_t>(Stat().st_size), '?');
    EXPECT_EQ(::pread(fd(), content.data(), content.size(), 0),
              static_cast<ssize_t>(content.size()));
    return content;
  }
  struct stat Stat() const {
    struct stat info {};
    EXPECT_EQ(::fstat(fd(), &info), 0);
    return info;
  }

  std::unique_ptr<FILE, int (*)(FILE*)> file_;
};

TEST_F(SparseWriterTest, ContentIsTheSameHoweverItIsCut) {
  const std::string content = "begin" + std::string(100'000, '\0') + "middle" +
                              std::string(3 * SparseWriter::kBlockBytes, 'x') +
                              std::string(9'000, '\0');
  for (const size_t piece : {size_t{1}, size_t{4095}, size_t{4096}, size_t{70'000}}) {
    ASSERT_EQ(::ftruncate(fd(), 0), 0);
    SparseWriter writer(fd());
    for (size_t at = 0; at < content.size(); at += piece) {
      ASSERT_TRUE(writer.Write(absl::string_view(content).substr(at, piece)));
    }
    ASSERT_TRUE(writer.End());
    EXPECT_EQ(Content(), content) << piece;
  }
}

TEST_F(SparseWriterTest, ZerosTakeNoRoom) {
  SparseWriter writer(fd());
  const std::string zeros(1 << 20, '\0');
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(writer.Write(zeros));
  ASSERT_TRUE(writer.Write("end"));
  ASSERT_TRUE(writer.End());
  EXPECT_EQ(Stat().st_size, (16 << 20) + 3);
  EXPECT_LT(Stat().st_blocks * 512, 1 << 16);
}

TEST_F(SparseWriterTest, SaysWhyItCannot) {
  SparseWriter writer(-1);
  EXPECT_FALSE(writer.Write("x"));
  EXPECT_EQ(errno, EBADF);
}

}  // namespace
}  // namespace msb
