// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/registry_login.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

constexpr char kFile[] = R"({"auths": {
  "https://index.docker.io/v1/": {"auth": "YW5uOnNlY3JldDp3aXRoOmNvbG9ucw=="},
  "ghcr.io": {"auth": "Ym9iOg==", "identitytoken": "refresh"},
  "empty.example": {}
}, "credHelpers": {"helped.example": "pass"}})";

TEST(RegistryLoginTest, KnowsTheRegistryOfAName) {
  EXPECT_EQ(RegistryOf("debian"), "docker.io");
  EXPECT_EQ(RegistryOf("team/tool:1"), "docker.io");
  EXPECT_EQ(RegistryOf("ghcr.io/a/b@sha256:0"), "ghcr.io");
  EXPECT_EQ(RegistryOf("localhost:5000/a"), "localhost:5000");
  EXPECT_EQ(RegistryOf("index.docker.io/library/debian"), "docker.io");
}

TEST(RegistryLoginTest, ReadsWhatDockerLoginWrites) {
  ASSERT_OK_AND_ASSIGN(const auto hub, LoginFrom(kFile, "docker.io", "f"));
  EXPECT_EQ(hub.username(), "ann");
  EXPECT_EQ(hub.password(), "secret:with:colons");
  ASSERT_OK_AND_ASSIGN(const auto token, LoginFrom(kFile, "ghcr.io", "f"));
  EXPECT_EQ(token.identity_token(), "refresh");
  EXPECT_EQ(token.password(), "");
}

TEST(RegistryLoginTest, HasNothingForAnotherRegistry) {
  ASSERT_OK_AND_ASSIGN(const auto none, LoginFrom(kFile, "other.example", "f"));
  EXPECT_EQ(none.username(), "");
  EXPECT_OK(LoginFrom(kFile, "empty.example", "f"));
}

TEST(RegistryLoginTest, SaysWhatItDoesNotDo) {
  const auto helped = LoginFrom(kFile, "helped.example", "f");
  EXPECT_EQ(ReasonOf(helped.status()), Reason::kInvalidArgument);
  EXPECT_THAT(std::string(helped.status().message()), testing::HasSubstr("credential helper"));
}

TEST(RegistryLoginTest, RefusesWhatIsNoSuchFile) {
  for (const char* text : {"", "[]", "{", R"({"auths":{"a.b":{"auth":"%%%"}}})",
                           R"({"auths":{"a.b":{"auth":"bm9jb2xvbg=="}}})"}) {
    EXPECT_FALSE(LoginFrom(text, "a.b", "f").ok()) << text;
  }
}

}  // namespace
}  // namespace msb
