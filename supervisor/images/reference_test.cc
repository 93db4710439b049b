// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

const std::string kDigest = absl::StrCat("sha256:", std::string(64, 'a'));

std::string NameOf(const std::string& text) {
  const auto reference = ParseReference(text);
  return reference.ok() ? reference->Name() : std::string(reference.status().message());
}

TEST(ReferenceTest, CompletesNamesAsDockerDoes) {
  EXPECT_EQ(NameOf("debian"), "docker.io/library/debian:latest");
  EXPECT_EQ(NameOf("debian:12"), "docker.io/library/debian:12");
  EXPECT_EQ(NameOf("team/tool"), "docker.io/team/tool:latest");
  EXPECT_EQ(NameOf("docker.io/debian"), "docker.io/library/debian:latest");
  EXPECT_EQ(NameOf("index.docker.io/library/debian:12"), "docker.io/library/debian:12");
  EXPECT_EQ(NameOf("ghcr.io/a/b:1"), "ghcr.io/a/b:1");
  EXPECT_EQ(NameOf("localhost/a"), "localhost/a:latest");
  EXPECT_EQ(NameOf("localhost:5000/a:1"), "localhost:5000/a:1");
  EXPECT_EQ(NameOf("[::1]:5000/a/b-c__d.e:v1"), "[::1]:5000/a/b-c__d.e:v1");
  EXPECT_EQ(NameOf("Registry/a"), "registry/a:latest");
}

TEST(ReferenceTest, ADigestSaysMoreThanATag) {
  ASSERT_OK_AND_ASSIGN(const ImageReference reference, ParseReference("ghcr.io/a/b:1@" + kDigest));
  EXPECT_EQ(reference.tag, "1");
  EXPECT_EQ(reference.Wanted(), kDigest);
  EXPECT_EQ(reference.Name(), "ghcr.io/a/b@" + kDigest);
  EXPECT_EQ(NameOf("a@" + kDigest), "docker.io/library/a@" + kDigest);
}

TEST(ReferenceTest, WritesANameAsShortAsItCanBeRead) {
  for (const char* text : {"debian:12", "team/tool:1", "ghcr.io/a/b:1", "localhost:5000/a:x"}) {
    EXPECT_EQ(ParseReference(text)->ShortName(), text);
    EXPECT_EQ(NameOf(ParseReference(text)->ShortName()), NameOf(text));
  }
}

TEST(ReferenceTest, RefusesWhatIsNoName) {
  const std::string long_name(256, 'a');
  const std::string bare_digest(64, 'a');
  for (const std::string& text : {std::string(),
                                  std::string("/a"),
                                  std::string("a/"),
                                  std::string("a//b"),
                                  std::string("A"),
                                  std::string("a b"),
                                  std::string("a:"),
                                  std::string("a:-x"),
                                  std::string("a@sha256:12"),
                                  std::string("a@md5:x"),
                                  std::string("-a"),
                                  std::string("a_.b"),
                                  std::string("a___b"),
                                  std::string("a..b"),
                                  std::string("../a"),
                                  std::string("a/../b"),
                                  std::string("host:/a"),
                                  std::string("host:99999/a"),
                                  std::string("host:0/a"),
                                  std::string("ho st.x/a"),
                                  std::string("[::1/a"),
                                  std::string("[x]/a"),
                                  std::string("h..x/a"),
                                  std::string("a\0b", 3),
                                  std::string("a:") + std::string(129, 't'),
                                  std::string("https://ghcr.io/a"),
                                  long_name,
                                  bare_digest,
                                  kDigest}) {
    const auto reference = ParseReference(text);
    EXPECT_EQ(ReasonOf(reference.status()), Reason::kInvalidArgument) << text;
  }
}

TEST(ReferenceTest, TellsPlainWordsAndDigestsApart) {
  EXPECT_TRUE(IsPlainWord("default"));
  EXPECT_FALSE(IsPlainWord("default:latest"));
  EXPECT_FALSE(IsPlainWord("a/b"));
  EXPECT_FALSE(IsPlainWord(""));
  EXPECT_FALSE(IsPlainWord(".."));
  EXPECT_TRUE(IsDigestPrefix("sha256:0123456789ab"));
  EXPECT_TRUE(IsDigestPrefix(kDigest));
  EXPECT_FALSE(IsDigestPrefix("sha256:0123"));
  EXPECT_FALSE(IsDigestPrefix("sha256:0123456789AB"));
  EXPECT_FALSE(IsDigestPrefix(kDigest + "0"));
}

}  // namespace
}  // namespace msb
