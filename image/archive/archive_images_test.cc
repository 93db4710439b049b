// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Archives that are no more than their documents say, and what these may not say.

#include "image/archive/archive_images.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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
using testing::SizeIs;

const std::string kConfig =
    R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}})";
const Platform kPlatform{.os = "linux", .architecture = "amd64", .variant = ""};

std::string Described(const std::string& type, const std::string& text,
                      const std::string& more = "") {
  return absl::StrCat(R"({"mediaType":")", type, R"(","digest":")", Sha256::Of(text).text(),
                      R"(","size":)", text.size(), more, "}");
}

std::string IndexOf(const std::vector<std::string>& entries) {
  return absl::StrCat(R"({"schemaVersion":2,"mediaType":")", media_type::kOciIndex,
                      R"(","manifests":[)", absl::StrJoin(entries, ","), "]}");
}

class ArchiveImagesTest : public testing::Test {
 protected:
  ArchiveImagesTest()
      : directory_(UniqueFd(::open(staging_.path().c_str(), O_RDONLY | O_DIRECTORY))) {}

  void AddFile(const std::string& name, const std::string& text) {
    ASSERT_OK(writer_.BeginFile(name, text.size()));
    ASSERT_OK(writer_.Append(text));
  }
  // Under its digest, as an OCI layout has it.
  std::string AddBlob(const std::string& text) {
    AddFile("blobs/sha256/" + Sha256::Of(text).hex(), text);
    return text;
  }
  absl::StatusOr<std::vector<ArchivedImage>> Find() {
    MSB_RETURN_IF_ERROR(writer_.Finish());
    ::lseek(file_.get(), 0, SEEK_SET);
    ArchiveStream stream(UniqueFd(::dup(file_.get())), {});
    ArchiveContents contents(directory_);
    MSB_RETURN_IF_ERROR(contents.ReadAll(stream, {}, [] {}));
    return FindImages(contents, kPlatform, {});
  }
  // "name0", "name1"...
  static std::string Names(size_t count) {
    std::vector<std::string> names;
    for (size_t i = 0; i < count; ++i) names.push_back(absl::StrCat("\"name", i, "\""));
    return absl::StrJoin(names, ",");
  }
  void AddDockerManifest(size_t names) {
    AddFile("manifest.json", absl::StrCat(R"([{"Config":"config.json","Layers":[],"RepoTags":[)",
                                          Names(names), "]}]"));
  }

  TempDir staging_;
  BlobDirectory directory_;
  const UniqueFd file_{::memfd_create("archive", MFD_CLOEXEC)};
  TarWriter writer_{UniqueFd(::dup(file_.get()))};
  const std::string manifest_ = absl::StrCat(
      R"({"schemaVersion":2,"mediaType":")", media_type::kOciManifest, R"(","config":)",
      Described(media_type::kOciConfig, kConfig), R"(,"layers":[]})");
};

TEST_F(ArchiveImagesTest, AnImageOfDockersHasAllItsNames) {
  AddFile("config.json", kConfig);
  AddDockerManifest(kMaxNames);
  ASSERT_OK_AND_ASSIGN(const auto images, Find());
  EXPECT_THAT(images, SizeIs(1));
  EXPECT_THAT(images[0].names, SizeIs(kMaxNames));
}

TEST_F(ArchiveImagesTest, HundredsOfThousandsOfNamesAreNoImages) {
  AddFile("config.json", kConfig);
  AddDockerManifest(300'000);
  const absl::Status refused = Find().status();
  EXPECT_THAT(refused, HasReason(Reason::kImageTooLarge));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("64 names"));
}

TEST_F(ArchiveImagesTest, ALayoutsImageHasNoMoreNamesThanDockers) {
  AddBlob(kConfig);
  AddBlob(manifest_);
  std::vector<std::string> entries;
  for (size_t i = 0; i <= kMaxNames; ++i) {
    entries.push_back(Described(
        media_type::kOciManifest, manifest_,
        absl::StrCat(R"(,"annotations":{"org.opencontainers.image.ref.name":"n:)", i, R"("})")));
  }
  AddFile("index.json", IndexOf(entries));
  EXPECT_THAT(Find(), HasReason(Reason::kImageTooLarge));
}

TEST_F(ArchiveImagesTest, TheNamesBesideALayoutAreCountedToo) {
  AddBlob(kConfig);
  AddBlob(manifest_);
  AddFile("index.json", IndexOf({Described(media_type::kOciManifest, manifest_)}));
  AddFile("manifest.json", absl::StrCat(R"([{"Config":"blobs/sha256/)", Sha256::Of(kConfig).hex(),
                                        R"(","RepoTags":[)", Names(300'000), "]}]"));
  EXPECT_THAT(Find(), HasReason(Reason::kImageTooLarge));
}

TEST_F(ArchiveImagesTest, ALayoutsEntryLeadsToAnImageByOneIndexAtMost) {
  AddBlob(kConfig);
  AddBlob(manifest_);
  const std::string index = AddBlob(IndexOf({Described(media_type::kOciManifest, manifest_)}));
  AddFile("index.json", IndexOf({Described(media_type::kOciIndex, index)}));
  ASSERT_OK_AND_ASSIGN(const auto images, Find());
  ASSERT_THAT(images, SizeIs(1));
  EXPECT_EQ(images[0].index, index);
  EXPECT_EQ(images[0].manifest_bytes, manifest_);
}

TEST_F(ArchiveImagesTest, AnIndexInAnIndexIsNotSupported) {
  AddBlob(kConfig);
  AddBlob(manifest_);
  const std::string inner = AddBlob(IndexOf({Described(media_type::kOciManifest, manifest_)}));
  const std::string outer = AddBlob(IndexOf({Described(media_type::kOciIndex, inner)}));
  AddFile("index.json", IndexOf({Described(media_type::kOciIndex, outer)}));
  EXPECT_THAT(Find(), HasReason(Reason::kImageUnsupported));
}

}  // namespace
}  // namespace msb::image
