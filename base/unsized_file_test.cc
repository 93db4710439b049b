// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/unsized_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/unique_fd.h"

namespace msb {
namespace {

TEST(UnsizedFileTest, AFileOfProcHasContentAndNoSize) {
  const UniqueFd file(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  struct stat info {};
  ASSERT_EQ(::fstat(file.get(), &info), 0);
  ASSERT_EQ(info.st_size, 0);
  const auto content = ReadUnsized(file.get());
  ASSERT_TRUE(content.has_value());
  EXPECT_EQ(content->substr(0, 5), "Name:");
  EXPECT_EQ(content->back(), '\n');
}

TEST(UnsizedFileTest, AFileWithoutAnEndIsRefused) {
  const UniqueFd file(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(ReadUnsized(file.get()), std::nullopt);
  EXPECT_EQ(errno, EFBIG);
}

TEST(UnsizedFileTest, WhatHasNothingAtTheMomentEndsThere) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  ASSERT_EQ(::write(write_end.get(), "line", 4), 4);
  EXPECT_EQ(ReadUnsized(read_end.get()), "line");
}

TEST(UnsizedFileTest, WhatCannotBeReadSaysWhy) {
  const UniqueFd directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(ReadUnsized(directory.get()), std::nullopt);
  EXPECT_EQ(errno, EISDIR);
}

}  // namespace
}  // namespace msb
