// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/trust_stores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::Contains;
using testing::Each;
using testing::Not;
using testing::StartsWith;

constexpr char kBundle[] = "/etc/ssl/certs/ca-certificates.crt";

std::string Pem(const std::string& body) {
  return "-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----\n";
}

class TrustStoresTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root() + path).parent_path());
    std::ofstream(root() + path) << text;
  }
  std::string Read(const std::string& path) {
    std::ifstream file(root() + path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string root() const { return directory_.path(); }

  TempDir directory_;
};

TEST_F(TrustStoresTest, AddsToABundleAndReplacesItsOwnAddition) {
  Write(kBundle, Pem("image") + "no line's end");

  ASSERT_OK(AddToTrustStores(root(), Pem("first")).status());
  ASSERT_OK(AddToTrustStores(root(), Pem("second")).status());

  EXPECT_EQ(Read(kBundle), Pem("image") + "no line's end\n# microsandbox: begin\n" + Pem("second") +
                               "# microsandbox: end\n");
  EXPECT_EQ(Read("/etc/microsandbox/ca.pem"), Pem("second"));
}

TEST_F(TrustStoresTest, FollowsALinkAndKeepsTheMode) {
  Write("/usr/share/bundle", Pem("image"));
  std::filesystem::permissions(root() + "/usr/share/bundle", std::filesystem::perms(0640));
  std::filesystem::create_directories(root() + "/etc/ssl/certs");
  std::filesystem::create_symlink("../../../usr/share/bundle", root() + kBundle);

  ASSERT_OK(AddToTrustStores(root(), Pem("ours")).status());

  EXPECT_TRUE(std::filesystem::is_symlink(root() + kBundle));
  EXPECT_THAT(Read("/usr/share/bundle"), testing::HasSubstr(Pem("ours")));
  EXPECT_EQ(std::filesystem::status(root() + "/usr/share/bundle").permissions(),
            std::filesystem::perms(0640));
}

TEST_F(TrustStoresTest, AnImageWithoutABundleKeepsItsPrograms) {
  ASSERT_OK_AND_ASSIGN(const auto variables, AddToTrustStores(root(), Pem("ours")));

  EXPECT_THAT(variables, Contains("NODE_EXTRA_CA_CERTS=/etc/microsandbox/ca.pem"));
  EXPECT_THAT(variables, Each(Not(StartsWith("SSL_CERT_FILE"))));
  EXPECT_FALSE(std::filesystem::exists(root() + kBundle));
}

TEST_F(TrustStoresTest, NamesTheImagesBundleAndFeedsItsTool) {
  Write(kBundle, Pem("image"));
  std::filesystem::create_directories(root() + "/usr/local/share/ca-certificates");

  ASSERT_OK_AND_ASSIGN(const auto variables, AddToTrustStores(root(), Pem("ours")));

  EXPECT_THAT(variables, Contains(std::string("REQUESTS_CA_BUNDLE=") + kBundle));
  EXPECT_EQ(Read("/usr/local/share/ca-certificates/microsandbox.crt"), Pem("ours"));
}

TEST_F(TrustStoresTest, RefusesWhatIsNoCertificate) {
  for (const char* text : {"", "x", "-----BEGIN CERTIFICATE-----\n"}) {
    EXPECT_EQ(ReasonOf(AddToTrustStores(root(), text).status()), Reason::kInvalidArgument);
  }
}

}  // namespace
}  // namespace msb
