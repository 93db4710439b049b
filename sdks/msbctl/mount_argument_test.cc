// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/mount_argument.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/matchers.h"

namespace msb {
namespace {

msb::v1::Mount Parse(const std::string& word, MountSource source = MountSource::kPathOrVolume) {
  const absl::StatusOr<msb::v1::Mount> mount = ParseMount(word, source);
  EXPECT_OK(mount.status());
  return mount.value_or(msb::v1::Mount());
}

TEST(MountArgumentTest, AWordWithoutSlashOrDotIsAVolume) {
  EXPECT_EQ(Parse("data:/data").volume().name(), "data");
  EXPECT_FALSE(Parse("data:/data").read_only());
  EXPECT_TRUE(Parse("data:/data:ro").read_only());
  EXPECT_EQ(Parse("data.1:/data").volume().name(), "data.1");
}

TEST(MountArgumentTest, APathIsMadeAbsolute) {
  const std::string here = std::filesystem::current_path().string();
  EXPECT_EQ(Parse("/src:/dst").host().path(), "/src");
  EXPECT_EQ(Parse("/src/:/dst").host().path(), "/src");
  EXPECT_EQ(Parse(".:/dst").host().path(), here);
  EXPECT_EQ(Parse("./src:/dst").host().path(), here + "/src");
  EXPECT_EQ(Parse("src/a:/dst").host().path(), here + "/src/a");
  EXPECT_EQ(Parse("src:/dst", MountSource::kHostPath).host().path(), here + "/src");
}

TEST(MountArgumentTest, TakesWhoseTheFilesAreInTheGuest) {
  const msb::v1::Mount mount = Parse("/src:/dst:ro,uid=1000,gid=100");
  EXPECT_TRUE(mount.read_only());
  EXPECT_EQ(mount.host().guest_uid(), 1000u);
  EXPECT_EQ(mount.host().guest_gid(), 100u);
}

TEST(MountArgumentTest, TakesHowMuchMayBeAdded) {
  EXPECT_EQ(Parse("/src:/dst").quota_bytes(), 0u);
  EXPECT_EQ(Parse("/src:/dst:quota=1G").quota_bytes(), uint64_t{1} << 30);
  EXPECT_EQ(Parse("/src:/dst:rw,quota=512,uid=7").quota_bytes(), uint64_t{512} << 20);
  EXPECT_EQ(Parse("cache:/dst:quota=2g").quota_bytes(), uint64_t{2} << 30);
}

TEST(MountArgumentTest, RefusesWhatIsNone) {
  for (const char* word : {"", ":", "a", "a:", ":/b", "/a:/b:", "/a:/b:rx", "/a:/b:ro:x",
                           "/a:/b:uid=", "/a:/b:uid=-1", "/a:/b:size=1", "data:/b:uid=1",
                           "/a:/b:quota", "/a:/b:quota=", "/a:/b:quota=much", "/a:/b:quota=0"}) {
    EXPECT_THAT(ParseMount(word, MountSource::kPathOrVolume), HasReason(Reason::kInvalidArgument))
        << word;
  }
}

TEST(MountArgumentTest, WhatLiesAboveComesFirst) {
  google::protobuf::RepeatedPtrField<msb::v1::Mount> mounts;
  for (const char* word : {"/x:/a/b/c", "/y:/a", "/z:/b"}) *mounts.Add() = Parse(word);

  SortMounts(mounts);

  EXPECT_EQ(mounts[0].path(), "/a");
  EXPECT_EQ(mounts[1].path(), "/b");
  EXPECT_EQ(mounts[2].path(), "/a/b/c");
}

TEST(MountArgumentTest, MemoryHasItsSizeBehindIt) {
  EXPECT_EQ(ParseTmpfs("/scratch:2G")->tmpfs().size_mib(), 2048u);
  EXPECT_EQ(ParseTmpfs("/scratch")->tmpfs().size_mib(), 0u);
  EXPECT_FALSE(ParseTmpfs("/scratch:much").ok());
}

}  // namespace
}  // namespace msb
