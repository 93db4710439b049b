// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/secret_argument.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(SecretArgumentTest, TakesAValueFromTheEnvironment) {
  ::setenv("MSB_TEST_TOKEN", "of the environment", 1);

  ASSERT_OK_AND_ASSIGN(const auto bare, ParseSecret("MSB_TEST_TOKEN@a.com,*.b.com:8443"));
  ASSERT_OK_AND_ASSIGN(const auto renamed, ParseSecret("TOKEN=env:MSB_TEST_TOKEN@a.com"));

  EXPECT_EQ(bare.name(), "MSB_TEST_TOKEN");
  EXPECT_EQ(bare.value(), "of the environment");
  EXPECT_THAT(bare.hosts(), ElementsAre("a.com", "*.b.com:8443"));
  EXPECT_EQ(renamed.name(), "TOKEN");
  EXPECT_EQ(renamed.value(), "of the environment");
}

TEST(SecretArgumentTest, TakesAValueFromAFileWithoutItsLastLineEnd) {
  const TempDir directory;
  directory.Write("a@b", "of the file\n");

  ASSERT_OK_AND_ASSIGN(const auto secret,
                       ParseSecret("TOKEN=file:" + directory.path() + "/a@b@a.com"));

  EXPECT_EQ(secret.value(), "of the file");
}

TEST(SecretArgumentTest, RefusesAValueInTheArgumentWithoutRepeatingIt) {
  for (const char* word : {"TOKEN=hunter2@a.com", "TOKEN=hunter2", "TOKEN=hunter2@"}) {
    const absl::Status status = ParseSecret(word).status();
    EXPECT_EQ(ReasonOf(status), Reason::kSecretInvalid);
    EXPECT_THAT(std::string(status.message()), HasSubstr("TOKEN"));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2")));
  }
}

TEST(SecretArgumentTest, SaysWhatIsMissing) {
  EXPECT_THAT(std::string(ParseSecret("MSB_TEST_NO_SUCH@a.com").status().message()),
              HasSubstr("there is no variable MSB_TEST_NO_SUCH"));
  EXPECT_THAT(std::string(ParseSecret("T=file:/no/such@a.com").status().message()),
              HasSubstr("/no/such"));
}

}  // namespace
}  // namespace msb
