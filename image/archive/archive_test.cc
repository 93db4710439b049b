// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/error.h"
#include "image/archive/archive_contents.h"
#include "image/archive/archive_stream.h"
#include "image/archive/tar_writer.h"
#include "image/blob/blob_directory.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb::image {
namespace {

using testing::HasSubstr;

TEST(NameTest, NamesAreMadeNormalOrRefused) {
  EXPECT_EQ(NormalName("./a//b/."), "a/b");
  EXPECT_EQ(NormalName("a"), "a");
  EXPECT_EQ(NormalName("./"), "");
  for (const std::string& name :
       {std::string(), std::string("/a"), std::string("a/../b"), std::string(".."),
        std::string("a b"), std::string("a\nb"), std::string("\xc3\xa4"), std::string(1025, 'a')}) {
    EXPECT_EQ(NormalName(name), std::nullopt) << name;
  }
}

TEST(NameTest, LinksLeadSomewhereInTheArchive) {
  EXPECT_EQ(LinkTarget("b/layer.tar", "../a/layer.tar"), "a/layer.tar");
  EXPECT_EQ(LinkTarget("b/c/d", "./e"), "b/c/e");
  for (const char* target : {"", "/etc/passwd", "../../a", "../.."}) {
    EXPECT_EQ(LinkTarget("b/layer.tar", target), std::nullopt) << target;
  }
}

class ArchiveTest : public testing::Test {
 protected:
  ArchiveTest() : directory_(UniqueFd(::open(staging_.path().c_str(), O_RDONLY | O_DIRECTORY))) {}

  TempDir staging_;
  BlobDirectory directory_;
};

TEST_F(ArchiveTest, WhatIsWrittenIsRead) {
  UniqueFd file(::memfd_create("archive", MFD_CLOEXEC));
  TarWriter writer(UniqueFd(::dup(file.get())));
  ASSERT_OK(writer.AddDirectory("blobs"));
  ASSERT_OK(writer.BeginFile("blobs/empty", 0));
  ASSERT_OK(writer.BeginFile("blobs/one", 1000));
  ASSERT_OK(writer.Append(std::string(600, 'a')));
  ASSERT_OK(writer.Append(std::string(400, 'b')));
  ASSERT_OK(writer.Finish());
  EXPECT_EQ(writer.written_bytes() % 512, 0u);
  ::lseek(file.get(), 0, SEEK_SET);

  ArchiveStream stream(std::move(file), {});
  ArchiveContents contents(directory_);
  ASSERT_OK(contents.ReadAll(stream, {}, [] {}));

  ASSERT_NE(contents.Find("blobs/one"), nullptr);
  EXPECT_EQ(contents.Find("blobs/one")->size, 1000u);
  EXPECT_EQ(contents.Find("./blobs//empty")->digest, Sha256::Of(""));
  EXPECT_EQ(contents.Find("blobs"), nullptr);
  EXPECT_NE(contents.FindDigest(Sha256::Of("")), nullptr);
  contents.Discard([](const Digest& digest) { return digest == Sha256::Of(""); });
  EXPECT_TRUE(std::filesystem::exists(staging_.path() + "/" + Sha256::Of("").file_name()));
  EXPECT_FALSE(*directory_.Has(Sha256::Of(std::string(600, 'a') + std::string(400, 'b'))));
}

// What comes out of a pipe that gives the first bytes one by one, each when the last was taken.
std::string ReadFromDrips(const std::string& bytes) {
  int ends[2];
  MSB_CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  std::thread writer([&bytes, fd = ends[1]] {
    for (size_t i = 0; i < bytes.size(); ++i) {
      MSB_CHECK(::send(fd, bytes.data() + i, 1, 0) == 1);
    }
    ::close(fd);
  });
  ArchiveStream stream(UniqueFd(ends[0]), {});
  std::string content;
  while (true) {
    const absl::StatusOr<absl::string_view> piece = stream.Read(1000);
    if (!piece.ok()) content = std::string(piece.status().message());
    if (!piece.ok() || piece->empty()) break;
    absl::StrAppend(&content, *piece);
  }
  writer.join();
  return content;
}

TEST_F(ArchiveTest, ACompressionIsKnownHoweverSlowlyTheFileComes) {
  // "hello" of gzip and of zstd.
  EXPECT_EQ(
      ReadFromDrips(absl::HexStringToBytes("1f8b0800000000000003cb48cdc9c9070086a6103605000000")),
      "hello");
  EXPECT_EQ(ReadFromDrips(absl::HexStringToBytes("28b52ffd200529000068656c6c6f")), "hello");
  EXPECT_EQ(ReadFromDrips("plain"), "plain");
  EXPECT_EQ(ReadFromDrips(absl::HexStringToBytes("1f")), "\x1f") << "shorter than any magic";
  EXPECT_THAT(ReadFromDrips("BZh91AY"), HasSubstr("bzip2"));
  EXPECT_EQ(ReadFromDrips(""), "");
}

TEST_F(ArchiveTest, AnArchiveHasNoMoreEntriesThanItMay) {
  for (const uint64_t entries : {2, 3}) {
    UniqueFd file(::memfd_create("archive", MFD_CLOEXEC));
    TarWriter writer(UniqueFd(::dup(file.get())));
    for (uint64_t i = 0; i < entries; ++i) {
      ASSERT_OK(writer.BeginFile(absl::StrCat("file", i), 0));
    }
    ASSERT_OK(writer.Finish());
    ::lseek(file.get(), 0, SEEK_SET);
    const Limits limits{.max_archive_entries = 2};
    ArchiveStream stream(std::move(file), limits);
    ArchiveContents contents(directory_);
    const absl::Status read = contents.ReadAll(stream, limits, [] {});
    EXPECT_EQ(read.ok(), entries == 2) << read;
    if (read.ok()) continue;
    EXPECT_THAT(read, HasReason(Reason::kImageTooLarge));
    EXPECT_THAT(std::string(read.message()), HasSubstr("images.max_archive_entries"));
  }
}

TEST_F(ArchiveTest, AFileOfMoreThanEightGigabytesHasAHeaderThatIsUnderstood) {
  UniqueFd file(::memfd_create("archive", MFD_CLOEXEC));
  const uint64_t size = uint64_t{9} << 30;
  TarWriter writer(UniqueFd(::dup(file.get())));
  ASSERT_OK(writer.BeginFile("large", size));
  ::lseek(file.get(), 0, SEEK_SET);
  ArchiveStream stream(std::move(file), {});
  tar::Reader reader(stream);
  ASSERT_OK_AND_ASSIGN(const auto entry, reader.Next());
  EXPECT_EQ(entry->size, size);
}

TEST_F(ArchiveTest, AReaderThatGoesAwayIsAnError) {
  ::signal(SIGPIPE, SIG_IGN);
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  TarWriter writer{UniqueFd(pipe[1])};
  ::close(pipe[0]);
  EXPECT_THAT(writer.AddDirectory("blobs"), HasReason(Reason::kHostError));
}

TEST_F(ArchiveTest, AFullDiskSaysSo) {
  TarWriter writer(UniqueFd(::open("/dev/full", O_WRONLY | O_CLOEXEC)));
  EXPECT_THAT(writer.AddDirectory("blobs"), HasReason(Reason::kNoSpace));
}

TEST_F(ArchiveTest, ANewBlobThatIsNotFinishedLeavesNothing) {
  {
    ASSERT_OK_AND_ASSIGN(NewBlob blob, directory_.Create());
    ASSERT_OK(blob.Append("x"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(staging_.path()));
}

TEST_F(ArchiveTest, ABlobIsNotReadThroughASymbolicLink) {
  const Digest digest = Sha256::Of("x");
  staging_.Write("target", "x");
  std::filesystem::create_symlink("target", staging_.path() + "/" + digest.file_name());
  std::filesystem::create_symlink("target", staging_.path() + "/" + digest.file_name() + ".part");
  EXPECT_FALSE(directory_.Has(digest).ok());
  EXPECT_FALSE(directory_.Continue(digest).ok());
}

}  // namespace
}  // namespace msb::image
