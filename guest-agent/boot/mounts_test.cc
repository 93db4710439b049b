// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What of the mounts an ordinary process can do.

#include "guest-agent/boot/mounts.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

namespace fs = std::filesystem;

TEST(MountsTest, FindsADiskByItsSerial) {
  const TempDir dir;
  for (const char* name : {"vda", "vdb", "loop0"}) fs::create_directory(dir.path() + "/" + name);
  dir.Write("vda/serial", "rootfs");
  dir.Write("vdb/serial", "volume-1\n");

  ASSERT_OK_AND_ASSIGN(const std::string device, DiskWithSerial(dir.path(), "volume-1"));

  EXPECT_EQ(device, "/dev/vdb");
  EXPECT_THAT(DiskWithSerial(dir.path(), "volume"), HasReason(Reason::kSandboxStartFailed));
  EXPECT_THAT(DiskWithSerial(dir.path(), ""), HasReason(Reason::kSandboxStartFailed));
  EXPECT_THAT(DiskWithSerial(dir.path() + "/none", "rootfs"),
              HasReason(Reason::kSandboxStartFailed));
}

TEST(MountsTest, MakesTheDirectoriesThatAreMissing) {
  const TempDir dir;
  ASSERT_OK(MakeDirectories(dir.path() + "/a/b/c"));
  ASSERT_OK(MakeDirectories(dir.path() + "/a/b/c"));
  EXPECT_TRUE(fs::is_directory(dir.path() + "/a/b/c"));
}

TEST(MountsTest, RefusesPathsThatCannotBeMountedOn) {
  const TempDir dir;
  dir.Write("file", "");
  for (const std::string& path :
       {std::string(), std::string("relative"), dir.path() + "/file", dir.path() + "/file/below"}) {
    EXPECT_THAT(MakeDirectories(path), HasReason(Reason::kPathInvalid)) << path;
  }
}

TEST(MountsTest, MakesAFileWhereThereIsNothing) {
  const TempDir dir;
  ASSERT_OK(MakeFile(dir.path() + "/a/b"));
  EXPECT_TRUE(fs::is_regular_file(dir.path() + "/a/b"));
  dir.Write("kept", "content");
  ASSERT_OK(MakeFile(dir.path() + "/kept"));
  EXPECT_EQ(dir.Read("kept"), "content");
}

TEST(MountsTest, RefusesAFileWhereADirectoryIs) {
  const TempDir dir;
  for (const std::string& path : {dir.path(), dir.path() + "/", std::string("name")}) {
    EXPECT_THAT(MakeFile(path), HasReason(Reason::kPathInvalid)) << path;
  }
}

TEST(MountsTest, RefusesAMountWithoutASource) {
  const TempDir dir;
  agent::v1::MountAll request;
  request.add_mounts()->set_path(dir.path() + "/mnt");
  EXPECT_THAT(MountAll(request), HasReason(Reason::kAgentProtocol));
}

}  // namespace
}  // namespace msb
