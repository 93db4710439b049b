// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/config/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "supervisor/config/settings.h"
#include "supervisor/config/spelling.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::HasSubstr;

std::string MistakeIn(absl::string_view text) {
  Config config = DefaultConfig();
  const absl::Status status = ApplyToml(text, "c.toml", config);
  EXPECT_THAT(status, HasReason(Reason::kConfigInvalid));
  return std::string(status.message());
}

TEST(LoadConfigTest, WithoutFilesEveryDefaultStands) {
  ASSERT_OK_AND_ASSIGN(const Config config, LoadConfig({}, MissingFile::kSkip));
  EXPECT_EQ(config.daemon.socket, "/run/microsandbox/msbd.sock");
  EXPECT_EQ(config.daemon.vmm, "/usr/libexec/microsandbox/msb-vmm");
  EXPECT_EQ(config.sandbox.memory_mib, 512u);
  EXPECT_EQ(config.sandbox.start_timeout, absl::Seconds(60));
  EXPECT_EQ(config.sandbox.idle_timeout, absl::ZeroDuration());
}

TEST(LoadConfigTest, ALaterFileStandsOverAnEarlierOneKeyByKey) {
  const TempDir dir;
  dir.Write("system.toml", "[sandbox]\nvcpus = 2\nmemory_mib = 1024\n");
  dir.Write("user.toml", "[sandbox]\nmemory_mib = 256\n[daemon]\nruntime_directory = \"/r\"\n");
  ASSERT_OK_AND_ASSIGN(const Config config,
                       LoadConfig({dir.path() + "/system.toml", dir.path() + "/user.toml",
                                   dir.path() + "/missing.toml"},
                                  MissingFile::kSkip));
  EXPECT_EQ(config.sandbox.vcpus, 2u);
  EXPECT_EQ(config.sandbox.memory_mib, 256u);
  EXPECT_EQ(config.daemon.socket, "/r/msbd.sock");
}

TEST(LoadConfigTest, AFileThatWasAskedForMustExist) {
  EXPECT_THAT(LoadConfig({"/nonexistent/c.toml"}, MissingFile::kError),
              HasReason(Reason::kConfigInvalid));
}

TEST(LoadConfigTest, ADefaultAboveItsLimitIsRefused) {
  const TempDir dir;
  dir.Write("c.toml", "[limits]\nmax_memory_mib = 256\n");
  const auto config = LoadConfig({dir.path() + "/c.toml"}, MissingFile::kError);
  EXPECT_THAT(config, HasReason(Reason::kConfigInvalid));
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("sandbox.memory_mib = 512"));
}

TEST(ApplyTomlTest, AnUnknownKeyIsNamedWithFileLineAndANearMiss) {
  EXPECT_EQ(MistakeIn("[sandbox]\n\nmemory_mb = 3\n"),
            "c.toml:3: sandbox.memory_mb: unknown key; did you mean 'memory_mib'?");
  EXPECT_EQ(MistakeIn("[sandbx]\nvcpus = 1\n"),
            "c.toml:1: sandbx: unknown section; did you mean 'sandbox'?");
}

TEST(ApplyTomlTest, AKeyOfAnotherSectionIsPointedThere) {
  EXPECT_EQ(MistakeIn("[daemon]\nvcpus = 1\n"),
            "c.toml:2: daemon.vcpus: unknown key; did you mean 'sandbox.vcpus'?");
  EXPECT_THAT(MistakeIn("vcpus = 1\n"), HasSubstr("c.toml:1: vcpus: unknown section"));
}

TEST(ApplyTomlTest, ABadValueIsNamedWithItsRange) {
  EXPECT_EQ(MistakeIn("[sandbox]\nvcpus = 33\n"),
            "c.toml:2: sandbox.vcpus: must be a whole number, 1 to 32");
  EXPECT_THAT(MistakeIn("[sandbox]\nvcpus = \"2\"\n"), HasSubstr("a whole number"));
  EXPECT_THAT(MistakeIn("[sandbox]\nstop_grace = 5\n"), HasSubstr("a duration"));
  EXPECT_THAT(MistakeIn("[sandbox]\nstop_grace = \"-5s\"\n"), HasSubstr("a duration"));
  EXPECT_THAT(MistakeIn("[sandbox]\nengine = \"xen\"\n"), HasSubstr("\"auto\", \"kvm\", \"qemu\""));
  EXPECT_THAT(MistakeIn("[daemon]\nsocket = \"msbd.sock\"\n"), HasSubstr("an absolute path"));
  EXPECT_THAT(MistakeIn("[daemon]\ndata_directory = \"\"\n"), HasSubstr("an absolute path"));
  EXPECT_THAT(MistakeIn("[sandbox]\nimage = [\"a\"]\n"), HasSubstr("a string that is not empty"));
}

TEST(ApplyTomlTest, TheLimitsOfNetworkAndSecretsHaveRanges) {
  for (const auto& [line, mistake] : std::vector<std::pair<std::string, std::string>>{
           {"[network]\nmax_flows = 60001",
            "network.max_flows: must be a whole number, 16 to 60000"},
           {"[network]\nmax_connecting = 0", "max_connecting: must be a whole number, 1 to 60000"},
           {"[network]\nmax_lookups = 0", "max_lookups: must be a whole number, 1 to 16384"},
           {"[network]\nmax_names = 63", "max_names: must be a whole number, 64 to 262144"},
           {"[network]\nmax_names_of_address = 4097", "must be a whole number, 1 to 4096"},
           {"[network]\nmax_members = 0", "max_members: must be a whole number, 1 to 16384"},
           {"[network]\nmax_ports = 16385", "max_ports: must be a whole number, 0 to 16384"},
           {"[network]\ntcp_idle = \"0\"", "tcp_idle: must be a duration"},
           {"[secrets]\nmax_connections = 0", "must be a whole number, 1 to 16384"},
           {"[secrets]\nmax_head_kib = 0", "max_head_kib: must be a whole number, 1 to 1024"},
           {"[secrets]\nmax_body_kib = 262145", "must be a whole number, 0 to 262144"},
           {"[secrets]\nmax_values_kib = 0", "must be a whole number, 1 to 262144"},
           {"[secrets]\nhandshake_timeout = \"11m\"", "handshake_timeout: must be a duration"}}) {
    EXPECT_THAT(MistakeIn(line), HasSubstr(mistake)) << line;
  }
  Config config = DefaultConfig();
  EXPECT_OK(
      ApplyToml("[network]\nmax_flows = 60000\nmax_ports = 0\nudp_idle = \"1s\"\n"
                "[secrets]\nmax_body_kib = 0\n",
                "c.toml", config));
  EXPECT_EQ(config.network.max_flows, 60'000u);
  EXPECT_EQ(config.network.udp_idle, absl::Seconds(1));
  EXPECT_EQ(config.secrets.max_body_kib, 0u);
}

TEST(ApplyTomlTest, AllMistakesAreToldInTheOrderOfTheirLines) {
  EXPECT_EQ(MistakeIn("[sandbox]\nvcpus = 0\nmemory_mib = 1\n"),
            "c.toml:2: sandbox.vcpus: must be a whole number, 1 to 32\n"
            "c.toml:3: sandbox.memory_mib: must be a whole number, 64 to 1048576");
}

TEST(ApplyTomlTest, WhatIsNoTomlIsNamedWithItsLine) {
  EXPECT_THAT(MistakeIn("[sandbox]\nvcpus =\n"), HasSubstr("c.toml:2: "));
}

TEST(NearestWordTest, FindsASlipButNothingFarAway) {
  EXPECT_EQ(NearestWord("memroy_mib", {"memory_mib", "disk_mib"}), "memory_mib");
  EXPECT_EQ(NearestWord("colour", {"memory_mib", "disk_mib"}), std::nullopt);
  EXPECT_EQ(NearestWord(std::string(100000, 'a'), {"memory_mib"}), std::nullopt);
}

TEST(DescribeSettingsTest, TheDocumentationIsThatOfTheTable) {
  std::ifstream file(MSB_SOURCE_DIR "/docs/configuration.md");
  const std::string documented(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(documented, DescribeSettings()) << "msbd --describe-config > docs/configuration.md";
}

}  // namespace
}  // namespace msb
