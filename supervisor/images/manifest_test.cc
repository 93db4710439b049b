// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "supervisor/images/digest.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr ManifestLimits kLimits{.max_bytes = 64 * 1024, .max_layers = 3, .max_blob_bytes = 1000};

std::string Blob(const std::string& digest, int64_t size, const std::string& more = "") {
  return absl::StrCat(R"({"digest":")", digest, R"(","size":)", size, more, "}");
}

std::string Manifest(const std::string& config, const std::string& layers) {
  return absl::StrCat(R"({"schemaVersion":2,"config":)", config, R"(,"layers":[)", layers, "]}");
}

const std::string kOne = Sha256("one");
const std::string kTwo = Sha256("two");

Reason ReasonOfManifest(const std::string& json) {
  return ReasonOf(ParseManifest(json, kLimits).status());
}

TEST(ManifestTest, ReadsConfigAndLayers) {
  ASSERT_OK_AND_ASSIGN(const ImageManifest manifest,
                       ParseManifest(Manifest(Blob(kOne, 10), Blob(kTwo, 20)), kLimits));
  EXPECT_EQ(manifest.config.digest, kOne);
  ASSERT_EQ(manifest.layers.size(), 1u);
  EXPECT_EQ(manifest.layers[0].digest, kTwo);
  EXPECT_EQ(manifest.layers[0].size, 20u);
}

TEST(ManifestTest, RefusesWhatIsDamaged) {
  for (const std::string& json :
       {std::string(""), std::string("{"), std::string("[]"), std::string(R"({"schemaVersion":2})"),
        Manifest("1", Blob(kOne, 1)), Manifest(Blob(kOne, -1), Blob(kOne, 1)),
        Manifest(Blob(kOne, 1), "7"),
        std::string(R"({"schemaVersion":2,"config":)") + Blob(kOne, 1) + R"(,"layers":{}})",
        std::string(10000, '[')}) {
    EXPECT_EQ(ReasonOfManifest(json), Reason::kImageInvalid) << json.substr(0, 80);
  }
}

TEST(ManifestTest, SaysWhatItDoesNotSupport) {
  EXPECT_EQ(ReasonOfManifest(R"({"schemaVersion":1})"), Reason::kImageUnsupported);
  EXPECT_EQ(ReasonOfManifest(Manifest(Blob(kOne, 1), "")), Reason::kImageUnsupported);
  EXPECT_EQ(ReasonOfManifest(Manifest(Blob("sha512:00", 1), Blob(kOne, 1))),
            Reason::kImageUnsupported);
  EXPECT_EQ(
      ReasonOfManifest(Manifest(
          Blob(kOne, 1),
          Blob(kTwo, 1,
               R"(,"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")"))),
      Reason::kImageUnsupported);
}

TEST(ManifestTest, HoldsTheLimits) {
  EXPECT_EQ(ReasonOfManifest(Manifest(Blob(kOne, 1), Blob(kTwo, 1001))), Reason::kImageTooLarge);
  const std::string four =
      absl::StrCat(Blob(kTwo, 1), ",", Blob(kTwo, 1), ",", Blob(kTwo, 1), ",", Blob(kTwo, 1));
  EXPECT_EQ(ReasonOfManifest(Manifest(Blob(kOne, 1), four)), Reason::kImageTooLarge);
  EXPECT_EQ(ReasonOfManifest(std::string(65 * 1024, ' ')), Reason::kImageTooLarge);
}

TEST(IndexTest, KnowsItsManifests) {
  const std::string index = absl::StrCat(R"({"manifests":[7,{"digest":")", kOne, R"("}]})");
  EXPECT_TRUE(*IndexHas(index, kOne, kLimits));
  EXPECT_FALSE(*IndexHas(index, kTwo, kLimits));
  EXPECT_FALSE(IndexHas("{}", kOne, kLimits).ok());
}

TEST(OciConfigTest, ReadsWhatCommandsNeed) {
  ASSERT_OK_AND_ASSIGN(
      const OciConfig config,
      ParseOciConfig(
          absl::StrCat(R"({"architecture":"amd64","os":"linux","created":"2024-05-01T10:00:00Z",
            "config":{"Env":["PATH=/bin","A=b=c"],"Entrypoint":["/e"],"Cmd":["x","y"],"User":"app",
            "WorkingDir":"/w","StopSignal":"SIGQUIT","Labels":{"k":"v"}},
            "rootfs":{"diff_ids":[")",
                       kOne, R"("]}})"),
          kLimits));
  EXPECT_THAT(config.env, ElementsAre(Pair("A", "b=c"), Pair("PATH", "/bin")));
  EXPECT_THAT(config.entrypoint, ElementsAre("/e"));
  EXPECT_THAT(config.cmd, ElementsAre("x", "y"));
  EXPECT_THAT(config.labels, ElementsAre(Pair("k", "v")));
  EXPECT_THAT(config.diff_ids, ElementsAre(kOne));
  EXPECT_EQ(config.user, "app");
  EXPECT_EQ(config.stop_signal, "SIGQUIT");
  EXPECT_EQ(config.created, absl::FromUnixSeconds(1714557600));
}

TEST(OciConfigTest, TakesGosNullsForNothing) {
  EXPECT_OK(ParseOciConfig(
      R"({"config":{"Env":null,"Cmd":null,"Labels":null},"rootfs":{"diff_ids":null}})", kLimits));
}

TEST(OciConfigTest, RefusesWhatIsDamaged) {
  for (const char* json :
       {"", "{}", R"({"rootfs":{"diff_ids":["sha256:1"]}})", R"({"rootfs":{"diff_ids":[1]}})",
        R"({"rootfs":{},"config":{"Env":["=x"]}})", R"({"rootfs":{},"config":{"Env":["x"]}})",
        R"({"rootfs":{},"config":{"Env":["A=\u0000"]}})", R"({"rootfs":{},"config":7})",
        R"({"rootfs":{},"config":{"Cmd":"sh"}})", R"({"rootfs":{},"config":{"Labels":{"a":1}}})",
        R"({"rootfs":{},"config":{"User":{}}})"}) {
    EXPECT_EQ(ReasonOf(ParseOciConfig(json, kLimits).status()), Reason::kImageInvalid) << json;
  }
}

}  // namespace
}  // namespace msb
