// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/image_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr char kImage[] =
    R"({"name": "x", "env": {"PATH": "/bin", "HOME": "/root"}, "entrypoint": [],
        "cmd": ["/bin/bash"], "user": "app", "workdir": "/srv"})";

TEST(ParseImageConfigTest, ReadsWhatStartingNeeds) {
  ASSERT_OK_AND_ASSIGN(const ImageConfig image, ParseImageConfig(kImage));
  EXPECT_THAT(image.env, ElementsAre(Pair("HOME", "/root"), Pair("PATH", "/bin")));
  EXPECT_THAT(image.cmd, ElementsAre("/bin/bash"));
  EXPECT_EQ(image.user, "app");
  EXPECT_EQ(image.workdir, "/srv");
}

TEST(ParseImageConfigTest, TakesTheEnvironmentAsAListToo) {
  ASSERT_OK_AND_ASSIGN(const ImageConfig image, ParseImageConfig(R"({"env": ["A=b=c", "D="]})"));
  EXPECT_THAT(image.env, ElementsAre(Pair("A", "b=c"), Pair("D", "")));
}

TEST(ParseImageConfigTest, RefusesWhatIsNoConfiguration) {
  for (const std::string& json :
       {std::string(""), std::string("{"), std::string("[]"), std::string(R"({"env": 3})"),
        std::string(R"({"env": {"A": 1}})"), std::string(R"({"env": ["A"]})"),
        std::string(R"({"env": {"": "x"}})"), std::string(R"({"cmd": "x"})"),
        std::string(R"({"user": []})"), std::string(100'000, '[')}) {
    EXPECT_THAT(ParseImageConfig(json), HasReason(Reason::kImageInvalid)) << json.substr(0, 40);
  }
}

TEST(ParseStopSignalTest, TakesNamesAndNumbersAsDockerDoes) {
  EXPECT_EQ(*ParseStopSignal(""), 0);
  for (const char* text : {"SIGUSR1", "USR1", "sigusr1", "10"}) {
    EXPECT_EQ(*ParseStopSignal(text), 10) << text;
  }
  EXPECT_EQ(*ParseStopSignal("SIGWINCH"), 28);
  EXPECT_EQ(*ParseStopSignal("SIGIO"), 29);
  EXPECT_EQ(*ParseStopSignal("SIGRTMIN"), 34);
  EXPECT_EQ(*ParseStopSignal("SIGRTMIN+3"), 37);
  EXPECT_EQ(*ParseStopSignal("SIGRTMAX-1"), 63);
  EXPECT_EQ(*ParseStopSignal("64"), 64);
}

TEST(ParseStopSignalTest, RefusesWhatIsNoSignal) {
  for (const char* text :
       {"0", "65", "-1", "SIG", "SIGNOTHING", "SIGUSR1 ", "SIGRTMIN+31", "SIGRTMIN-1",
        "SIGRTMIN+2147483647", "SIGRTMAX+1", "SIGRTMAX-31", "99999999999999999999"}) {
    EXPECT_THAT(ParseStopSignal(text), HasReason(Reason::kImageInvalid)) << text;
  }
}

TEST(LoadImageTest, TellsAMissingImageFromADamagedOne) {
  const TempDir assets;
  std::filesystem::create_directories(assets.path() + "/images/good");
  std::filesystem::create_directories(assets.path() + "/images/bare");
  assets.Write("images/good/rootfs.erofs", "12345");
  assets.Write("images/good/image.json", kImage);
  ASSERT_OK_AND_ASSIGN(const ImageConfig image, LoadImage(assets.path(), "good"));
  EXPECT_EQ(image.name, "good");
  EXPECT_THAT(image.layers, ElementsAre(assets.path() + "/images/good/rootfs.erofs"));
  EXPECT_EQ(image.size_bytes, 5u);
  EXPECT_THAT(LoadImage(assets.path(), "other"), HasReason(Reason::kImageNotFound));
  EXPECT_THAT(LoadImage(assets.path(), "bare"), HasReason(Reason::kImageInvalid));
  EXPECT_THAT(LoadImage(assets.path(), "../images"), HasReason(Reason::kInvalidArgument));
  assets.Write("images/bare/rootfs.erofs", "");
  EXPECT_THAT(LoadImage(assets.path(), "bare"), HasReason(Reason::kImageInvalid));
}

TEST(LoadImageTest, TakesTheLayersThatTheImageNames) {
  const TempDir assets;
  std::filesystem::create_directories(assets.path() + "/images/two");
  assets.Write("images/two/base", "123");
  assets.Write("images/two/top", "4567");
  assets.Write("images/two/image.json", R"({"layers": ["base", "top"]})");
  ASSERT_OK_AND_ASSIGN(const ImageConfig image, LoadImage(assets.path(), "two"));
  EXPECT_THAT(image.layers,
              ElementsAre(assets.path() + "/images/two/base", assets.path() + "/images/two/top"));
  EXPECT_EQ(image.size_bytes, 7u);
  assets.Write("images/two/image.json", R"({"layers": ["base", "../two/top"]})");
  EXPECT_THAT(LoadImage(assets.path(), "two"), HasReason(Reason::kImageInvalid));
}

TEST(ListImagesTest, LeavesOutWhatCannotBeRead) {
  const TempDir assets;
  EXPECT_THAT(*ListImages(assets.path()), testing::IsEmpty());
  for (const char* name : {"b", "a", "broken"}) {
    std::filesystem::create_directories(assets.path() + "/images/" + name);
    assets.Write(std::string("images/") + name + "/rootfs.erofs", "x");
  }
  assets.Write("images/a/image.json", kImage);
  assets.Write("images/b/image.json", kImage);
  ASSERT_OK_AND_ASSIGN(const auto images, ListImages(assets.path()));
  ASSERT_EQ(images.size(), 2u);
  EXPECT_EQ(images[0].name, "a");
  EXPECT_EQ(images[1].name, "b");
}

}  // namespace
}  // namespace msb
