// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/trust_stores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

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

// Mounts of the same file system, so that only their numbers tell them apart.
class MountedTrustStoresTest : public TrustStoresTest {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      GTEST_SKIP() << "no right to mount";
    }
  }
  ~MountedTrustStoresTest() override {
    for (const std::string& place : mounted_) ::umount2(place.c_str(), MNT_DETACH);
  }
  // What is written to `source` is the host's, and shown as `path`.
  void Mount(const std::string& source, const std::string& path, unsigned long flags = 0) {
    const std::string place = root() + path;
    ASSERT_EQ(::mount((root() + source).c_str(), place.c_str(), nullptr, MS_BIND, nullptr), 0);
    mounted_.push_back(place);
    if (flags == 0) return;
    ASSERT_EQ(::mount(nullptr, place.c_str(), nullptr, MS_BIND | MS_REMOUNT | flags, nullptr), 0);
  }

 private:
  std::vector<std::string> mounted_;
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

TEST_F(MountedTrustStoresTest, LeavesFoldersThatAUserHasMounted) {
  Write("/host/certs/ca-certificates.crt", Pem("host"));
  Write("/host/anchors/theirs.crt", Pem("theirs"));
  Write("/host/own/file", "x");
  Write(kBundle, Pem("image"));
  for (const char* folder : {"/usr/local/share/ca-certificates", "/etc/microsandbox"}) {
    std::filesystem::create_directories(root() + folder);
  }
  Mount("/host/certs", "/etc/ssl/certs");
  Mount("/host/anchors", "/usr/local/share/ca-certificates");
  Mount("/host/own", "/etc/microsandbox", MS_RDONLY);

  ASSERT_OK_AND_ASSIGN(const auto variables, AddToTrustStores(root(), Pem("ours")));

  EXPECT_EQ(Read("/host/certs/ca-certificates.crt"), Pem("host"));
  for (const char* folder : {"/host/certs", "/host/anchors", "/host/own"}) {
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root() + folder), {}), 1) << folder;
  }
  // It may have been completed by the user, who has no other name for it.
  EXPECT_THAT(variables, Contains(std::string("SSL_CERT_FILE=") + kBundle));
}

TEST_F(MountedTrustStoresTest, ChangesTheRestBesideAFileThatAUserHasMounted) {
  Write("/host/bundle", Pem("host"));
  Write("/host/crt", Pem("theirs"));
  Write(kBundle, Pem("image"));
  Write("/etc/ssl/ca-bundle.pem", Pem("image"));
  Write("/usr/local/share/ca-certificates/microsandbox.crt", Pem("first"));
  Mount("/host/bundle", kBundle);
  Mount("/host/crt", "/usr/local/share/ca-certificates/microsandbox.crt");

  ASSERT_OK(AddToTrustStores(root(), Pem("ours")).status());

  EXPECT_EQ(Read("/host/bundle"), Pem("host"));
  EXPECT_EQ(Read("/host/crt"), Pem("theirs"));
  EXPECT_THAT(Read("/etc/ssl/ca-bundle.pem"), testing::HasSubstr(Pem("ours")));
  EXPECT_EQ(Read("/etc/microsandbox/ca.pem"), Pem("ours"));
}

TEST_F(TrustStoresTest, RefusesWhatIsNoCertificate) {
  for (const char* text : {"", "x", "-----BEGIN CERTIFICATE-----\n"}) {
    EXPECT_EQ(ReasonOf(AddToTrustStores(root(), text).status()), Reason::kInvalidArgument);
  }
}

}  // namespace
}  // namespace msb
