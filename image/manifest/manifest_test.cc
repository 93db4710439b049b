// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/manifest/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/error.h"
#include "image/manifest/manifest_writer.h"
#include "tests/support/matchers.h"

namespace msb::image {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const char kDigest[] = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string GoodManifest() {
  const Digest digest = *Digest::Parse(kDigest);
  return WriteManifest({.media_type = media_type::kOciManifest,
                        .config = {media_type::kOciConfig, digest, 2},
                        .layers = {{media_type::kOciLayerGzip, digest, 10},
                                   {media_type::kDockerLayerGzip, digest, 20}}});
}

absl::Status Parse(const std::string& text, absl::string_view type = "",
                   const Limits& limits = {}) {
  return ParseManifest(text, type, limits).status();
}

std::string With(const std::string& from, const std::string& to) {
  const std::string changed = absl::StrReplaceAll(GoodManifest(), {{from, to}});
  EXPECT_NE(changed, GoodManifest()) << from;
  return changed;
}

TEST(ManifestTest, WhatIsWrittenIsRead) {
  ASSERT_OK_AND_ASSIGN(const auto parsed,
                       ParseManifest(GoodManifest(), media_type::kOciManifest, {}));
  const auto& manifest = std::get<Manifest>(parsed);
  EXPECT_EQ(manifest.config.size, 2u);
  ASSERT_EQ(manifest.layers.size(), 2u);
  EXPECT_EQ(manifest.layers[1].size, 20u);
  EXPECT_EQ(manifest.layers[1].digest.text(), kDigest);
}

TEST(ManifestTest, ADocumentThatIsTwoThingsIsRefused) {
  EXPECT_THAT(Parse(With("\"layers\":", "\"manifests\":[],\"layers\":")),
              HasReason(Reason::kImageInvalid));
  EXPECT_THAT(Parse(GoodManifest(), media_type::kOciIndex), HasReason(Reason::kImageInvalid));
  EXPECT_THAT(Parse(GoodManifest(), media_type::kDockerManifest), HasReason(Reason::kImageInvalid));
  EXPECT_THAT(Parse(With(media_type::kOciManifest, media_type::kOciIndex)),
              HasReason(Reason::kImageUnsupported));
  EXPECT_OK(Parse(GoodManifest(), "application/json"));
}

TEST(ManifestTest, OldSchemasAreNamedAsSuch) {
  const absl::Status old = Parse(R"({"schemaVersion":1,"fsLayers":[]})");
  EXPECT_THAT(old, HasReason(Reason::kImageUnsupported));
  EXPECT_THAT(std::string(old.message()), HasSubstr("schema 1"));
  EXPECT_THAT(Parse("{}", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
              HasReason(Reason::kImageUnsupported));
  EXPECT_THAT(Parse("{}"), HasReason(Reason::kImageInvalid));
}

TEST(ManifestTest, WhatIsNoImageIsRefused) {
  EXPECT_THAT(Parse(With(media_type::kOciConfig, "application/vnd.cncf.helm.config.v1+json")),
              HasReason(Reason::kImageUnsupported));
  EXPECT_THAT(Parse(With(media_type::kOciLayerGzip, "application/x")),
              HasReason(Reason::kImageUnsupported));
  EXPECT_THAT(Parse(With(media_type::kOciLayerGzip,
                         "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
              HasReason(Reason::kImageUnsupported));
  EXPECT_THAT(Parse(With("\"size\":10", "\"size\":10,\"urls\":[\"http://x\"]")),
              HasReason(Reason::kImageUnsupported));
  EXPECT_OK(Parse(With("\"size\":10", "\"size\":10,\"urls\":[]")));
}

TEST(ManifestTest, MalformedDocumentsAreRefused) {
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{"), std::string("\xff"),
        std::string(100'000, '['), With("\"size\":10", "\"size\":-1"),
        With("\"size\":10", "\"size\":1e3"), With("\"size\":10", "\"size\":\"10\""),
        With("\"size\":10", "\"size\":99999999999999999999"), With("sha256:", "sha257:"),
        With(kDigest, "sha256:ab"), With("e3b0", "E3B0"),
        absl::StrReplaceAll(GoodManifest(), {{"\"layers\":[", "\"layers\":[7,"}})}) {
    EXPECT_THAT(Parse(text), HasReason(Reason::kImageInvalid)) << text.substr(0, 300);
  }
  EXPECT_THAT(Parse(With("sha256:", "sha512:")), HasReason(Reason::kImageUnsupported));
}

TEST(ManifestTest, LimitsHold) {
  EXPECT_THAT(Parse(GoodManifest(), "", {.max_manifest_bytes = 10}),
              HasReason(Reason::kImageTooLarge));
  EXPECT_THAT(Parse(GoodManifest(), "", {.max_layers = 1}), HasReason(Reason::kImageTooLarge));
  EXPECT_THAT(Parse(GoodManifest(), "", {.max_blob_bytes = 19}), HasReason(Reason::kImageTooLarge));
  EXPECT_THAT(Parse(GoodManifest(), "", {.max_image_bytes = 29}),
              HasReason(Reason::kImageTooLarge));
  EXPECT_THAT(Parse(With("\"size\":20", "\"size\":18446744073709551615"), "",
                    {.max_blob_bytes = UINT64_MAX}),
              HasReason(Reason::kImageTooLarge));
}

Index IndexOf(const std::vector<Platform>& platforms) {
  Index index{.media_type = media_type::kOciIndex};
  uint64_t number = 0;
  for (const Platform& platform : platforms) {
    index.entries.push_back(
        {{media_type::kOciManifest, *Digest::Parse(kDigest), number++}, platform, {}});
  }
  return index;
}

uint64_t Choice(const std::vector<Platform>& platforms, const Platform& wanted) {
  const auto chosen = ChoosePlatform(IndexOf(platforms), wanted);
  EXPECT_OK(chosen);
  return chosen.ok() ? chosen->descriptor.size : 999;
}

TEST(PlatformTest, TheBestEntryIsChosen) {
  EXPECT_EQ(Choice({{"linux", "arm64", "v8"}, {"linux", "amd64", ""}}, {"linux", "amd64", ""}), 1u);
  EXPECT_EQ(Choice({{"windows", "amd64", ""}, {"linux", "amd64", ""}}, {"linux", "amd64", ""}), 1u);
  EXPECT_EQ(Choice({{"linux", "amd64", "v3"}, {"linux", "amd64", ""}}, {"linux", "amd64", ""}), 1u);
  EXPECT_EQ(Choice({{"linux", "amd64", "v3"}, {"linux", "amd64", "v2"}}, {"linux", "amd64", ""}),
            1u);
  EXPECT_EQ(Choice({{"linux", "arm64", ""}}, {"linux", "arm64", "v8"}), 0u);
  EXPECT_EQ(Choice({{"linux", "arm", "v7"}, {"linux", "arm", "v6"}}, {"linux", "arm", "v6"}), 1u);
  EXPECT_EQ(Choice({{"", "", ""}}, {"linux", "amd64", ""}), 0u);
}

TEST(PlatformTest, WhatThereIsStandsInTheError) {
  const auto chosen = ChoosePlatform(
      IndexOf({{"linux", "arm64", "v8"}, {"unknown", "unknown", ""}, {"linux", "s390x", ""}}),
      {"linux", "amd64", ""});
  EXPECT_THAT(chosen, HasReason(Reason::kImageUnsupported));
  EXPECT_EQ(chosen.status().message(),
            "the image is for linux/arm64/v8, linux/s390x, not for linux/amd64");
  EXPECT_THAT(ChoosePlatform(IndexOf({}), {"linux", "amd64", ""}),
              HasReason(Reason::kImageUnsupported));
}

TEST(ConfigTest, IsHeldAgainstTheManifest) {
  ASSERT_OK_AND_ASSIGN(const auto parsed, ParseManifest(GoodManifest(), "", {}));
  const auto& manifest = std::get<Manifest>(parsed);
  const Platform amd64{"linux", "amd64", ""};
  const std::string good =
      R"({"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["a","b"]}})";
  EXPECT_OK(CheckConfig(good, manifest, amd64));
  EXPECT_THAT(CheckConfig(good, manifest, {"linux", "arm64", ""}),
              HasReason(Reason::kImageUnsupported));
  for (const char* text :
       {"", "{}", R"({"os":"linux","architecture":"amd64"})",
        R"({"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["a"]}})"}) {
    EXPECT_FALSE(CheckConfig(text, manifest, amd64).ok()) << text;
  }
}

TEST(WriterTest, ALayoutNamesAnImageAsDockerAndContainerdDo) {
  const NamedImage image{.descriptor = {media_type::kOciManifest, *Digest::Parse(kDigest), 5},
                         .manifest = std::get<Manifest>(*ParseManifest(GoodManifest(), "", {})),
                         .names = {"docker.io/library/debian:12", "localhost:5000/x"}};
  const std::string index = WriteLayoutIndex({image});
  ASSERT_OK_AND_ASSIGN(const auto parsed, ParseManifest(index, media_type::kOciIndex, {}));
  const auto& entries = std::get<Index>(parsed).entries;
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_THAT(entries[0].names, ElementsAre("docker.io/library/debian:12"));
  EXPECT_THAT(entries[1].names, ElementsAre("localhost:5000/x"));
  EXPECT_THAT(index, HasSubstr(R"("org.opencontainers.image.ref.name":"12")"));
  EXPECT_THAT(index, testing::Not(HasSubstr(R"("5000/x")")));
  EXPECT_THAT(WriteDockerManifest({image}),
              HasSubstr(R"("RepoTags":["docker.io/library/debian:12")"));
}

}  // namespace
}  // namespace msb::image
