// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace msb {
namespace {

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) != -1; }
int OpenNull() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

TEST(UniqueFdTest, ClosesWhatItOwns) {
  int raw = -1;
  {
    UniqueFd fd(OpenNull());
    raw = fd.get();
    ASSERT_TRUE(IsOpen(raw));
  }
  EXPECT_FALSE(IsOpen(raw));
}

TEST(UniqueFdTest, MoveAssignmentClosesTheOldDescriptor) {
  UniqueFd first(OpenNull());
  const int old = first.get();
  UniqueFd second(OpenNull());
  const int kept = second.get();

  first = std::move(second);

  EXPECT_FALSE(IsOpen(old));
  EXPECT_EQ(first.get(), kept);
  EXPECT_FALSE(second.valid());
}

TEST(UniqueFdTest, SurvivesMoveToItself) {
  UniqueFd fd(OpenNull());
  UniqueFd& alias = fd;

  fd = std::move(alias);

  EXPECT_TRUE(IsOpen(fd.get()));
}

}  // namespace
}  // namespace msb
