// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/unique_fd.h"
#include "supervisor/store/data_directory.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

namespace fs = std::filesystem;

TEST(RemoveTreeTest, RemovesFilesLinksAndFolders) {
  const TempDir dir;
  fs::create_directories(dir.path() + "/tree/a/b");
  dir.Write("outside", "kept");
  fs::create_symlink(dir.path() + "/outside", dir.path() + "/tree/a/link");
  fs::create_directory_symlink(dir.path(), dir.path() + "/tree/a/b/up");
  ASSERT_EQ(::mkfifo((dir.path() + "/tree/a/pipe").c_str(), 0600), 0);
  dir.Write("tree/.msb-deep-0", "of that very name");

  ASSERT_OK(RemoveTree(dir.path() + "/tree"));

  EXPECT_FALSE(fs::exists(dir.path() + "/tree"));
  EXPECT_EQ(dir.Read("outside"), "kept");
}

TEST(RemoveTreeTest, MindsNoTreeThatIsNotThere) {
  const TempDir dir;
  EXPECT_OK(RemoveTree(dir.path() + "/none"));
}

TEST(RemoveTreeTest, FollowsNoLinkInItsPlace) {
  const TempDir dir;
  fs::create_directory(dir.path() + "/kept");
  fs::create_directory_symlink(dir.path() + "/kept", dir.path() + "/link");
  EXPECT_THAT(RemoveTree(dir.path() + "/link"), HasReason(Reason::kHostError));
  EXPECT_TRUE(fs::exists(dir.path() + "/kept"));
}

// Deeper than a path may be long and a process may hold descriptors.
TEST(RemoveTreeTest, RemovesWhatIsTooDeepForAnyPath) {
  constexpr int kDepth = 1100;
  const TempDir dir;
  fs::create_directory(dir.path() + "/tree");
  UniqueFd at(::open((dir.path() + "/tree").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "deeper", 0700), 0);
    at = UniqueFd(::openat(at.get(), "deeper", O_PATH | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at.valid());
  }

  const UniqueFd file(::openat(at.get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(file.valid());

  ASSERT_OK(RemoveTree(dir.path() + "/tree"));

  EXPECT_FALSE(fs::exists(dir.path() + "/tree"));
}

}  // namespace
}  // namespace msb
