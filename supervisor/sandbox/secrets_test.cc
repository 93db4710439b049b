// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "msb/net/v1/secrets.pb.h"
#include "network/policy/secret_host.h"
#include "supervisor/config/settings.h"
#include "supervisor/sandbox/exec_request.h"
#include "supervisor/sandbox/network.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/fake_control.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::HasSubstr;
using testing::Not;

msb::v1::Secret MakeSecret(const std::string& name, const std::string& value,
                           const std::vector<std::string>& hosts) {
  msb::v1::Secret secret;
  secret.set_name(name);
  secret.set_value(value);
  for (const std::string& host : hosts) secret.add_hosts(host);
  return secret;
}

msb::v1::SandboxSpec SpecWith(const msb::v1::Secret& secret) {
  msb::v1::SandboxSpec spec;
  spec.set_name("box");
  *spec.add_secrets() = secret;
  return spec;
}

TEST(SecretsTest, ValuesLeaveTheSpecification) {
  msb::v1::SandboxSpec spec = SpecWith(MakeSecret("TOKEN", "hunter2-hunter2", {"a.example.com"}));

  ASSERT_OK_AND_ASSIGN(const SecretValues values, TakeSecretValues(*spec.mutable_secrets()));

  EXPECT_EQ(values.at("TOKEN")->view(), "hunter2-hunter2");
  EXPECT_FALSE(spec.secrets(0).has_value()) << "not even an empty one";
  EXPECT_THAT(spec.SerializeAsString(), Not(HasSubstr("hunter2")));
}

TEST(SecretsTest, TheirProcessIsAnotherUserThanTheNetworks) {
  Config config = DefaultConfig();
  config.daemon.net = "/net";
  config.daemon.secrets = "/secrets";
  msb::v1::SandboxSpec sandbox = SpecWith(MakeSecret("TOKEN", "", {"a.example.com"}));
  sandbox.mutable_network()->set_preset("public");
  LaunchSpec spec;

  AddNetwork(config, sandbox, spec);

  ASSERT_EQ(spec.companions.size(), 2u);
  EXPECT_OK(CheckCompanions(spec.companions));
  EXPECT_EQ(spec.companions[1].sources.at(0).reason, Reason::kCaStoreInvalid);
}

TEST(SecretsTest, TheirProcessIsToldTheLimitsOfTheConfiguration) {
  Config config = DefaultConfig();
  config.secrets = {.max_connections = 5000,
                    .max_head_kib = 2,
                    .max_body_kib = 0,
                    .max_values_kib = 3,
                    .handshake_timeout = absl::Milliseconds(1500),
                    .memory_mib = 77,
                    .cpu_milli = 88};

  const CompanionSpec process = SecretsCompanionOf(config, "box");

  msb::net::v1::SecretsSpec spec;
  ASSERT_TRUE(spec.ParseFromString(process.input));
  EXPECT_EQ(spec.limits().max_connections(), 5000u);
  EXPECT_EQ(spec.limits().max_head_bytes(), 2048u);
  EXPECT_TRUE(spec.limits().has_max_body_bytes()) << "0: none is held";
  EXPECT_EQ(spec.limits().max_body_bytes(), 0u);
  EXPECT_EQ(spec.limits().max_value_bytes(), 3072u);
  EXPECT_EQ(spec.limits().handshake_ms(), 1500u);
  EXPECT_EQ(process.memory_mib, 77u);
  EXPECT_EQ(process.cpu_milli, 88u);
  EXPECT_GT(process.max_open_files, 10'000u) << "two descriptors a connection";
}

TEST(SecretsTest, AWrongValueIsNamedAndNotShown) {
  for (const std::string& value : {std::string("line\nhunter2"), std::string("hunter2\r"),
                                   std::string("hunter2") + std::string(kMaxSecretBytes, 'x')}) {
    msb::v1::SandboxSpec spec = SpecWith(MakeSecret("TOKEN", value, {"a.example.com"}));
    const absl::Status status = TakeSecretValues(*spec.mutable_secrets()).status();
    EXPECT_EQ(ReasonOf(status), Reason::kSecretInvalid);
    EXPECT_THAT(std::string(status.message()), HasSubstr("TOKEN"));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2")));
    EXPECT_THAT(spec.SerializeAsString(), Not(HasSubstr("hunter2")));
  }
}

TEST(SecretsTest, AllThatIsTakenCanBeTold) {
  const std::string value(kMaxSecretBytes, 'x');
  msb::v1::SandboxSpec spec;
  for (size_t i = 0; i < kMaxSecretBytesTogether / kMaxSecretBytes; ++i) {
    msb::v1::Secret secret = MakeSecret(absl::StrCat("SECRET_", i), value, {});
    // Their share, as they are written with a port.
    for (int host = 0; host < 64; ++host) {
      secret.add_hosts(absl::StrCat(std::string(60, 'a'), ".", std::string(50, 'b'), ".c", host));
    }
    *spec.add_secrets() = secret;
  }
  TempDir directory;
  const LaunchPlan plan{.runtime_directory = directory.path()};
  const FakeControl<msb::net::v1::SecretsRequest, msb::net::v1::SecretsResponse> process(
      PathsOf(plan, kSecretsCompanion).control_socket, [](const auto&) {});

  ASSERT_OK_AND_ASSIGN(const SecretValues values, TakeSecretValues(*spec.mutable_secrets()));
  ASSERT_OK(CompleteSecrets(spec));
  EXPECT_OK(TellSecrets(plan, spec.secrets(), values, absl::Seconds(20)));
}

TEST(SecretsTest, ValuesAreBoundedTogether) {
  SecretList secrets;
  for (size_t i = 0; i < kMaxSecretBytesTogether / kMaxSecretBytes; ++i) {
    *secrets.Add() =
        MakeSecret(absl::StrCat("SECRET_", i), std::string(kMaxSecretBytes, 'x'), {"a.com"});
  }
  ASSERT_OK_AND_ASSIGN(SecretValues values, CopySecretValues(secrets));
  EXPECT_OK(CheckValueBytes(values));
  *secrets.Add() = MakeSecret("MORE", "x", {"a.com"});
  EXPECT_THAT(CopySecretValues(secrets), HasReason(Reason::kLimitExceeded));
  values.emplace("MORE", std::make_shared<const SecretBytes>("x"));
  EXPECT_THAT(CheckAllValues({}, values), HasReason(Reason::kLimitExceeded));
}

TEST(SecretsTest, HostsAreBoundedTogether) {
  msb::v1::SandboxSpec spec;
  const std::string label(63, 'a');
  for (int i = 0; i < kMaxSecrets; ++i) {
    msb::v1::Secret secret = MakeSecret(absl::StrCat("SECRET_", i), "", {});
    for (int host = 0; host < kMaxSecretHosts; ++host) {
      secret.add_hosts(absl::StrCat(label, ".", label, ".", label, ".c", host));
    }
    *spec.add_secrets() = secret;
  }
  EXPECT_THAT(CompleteSecrets(spec), HasReason(Reason::kLimitExceeded));
}

TEST(SecretsTest, CompletesHostsAndMakesPlaceholders) {
  msb::v1::SandboxSpec spec = SpecWith(MakeSecret("A", "", {"API.example.com", "*.b.com:8443"}));
  *spec.add_secrets() = MakeSecret("B", "", {"b.com"});

  ASSERT_OK(CompleteSecrets(spec));

  EXPECT_EQ(spec.secrets(0).hosts(0), "api.example.com:443");
  EXPECT_EQ(spec.secrets(0).hosts(1), "*.b.com:8443");
  EXPECT_TRUE(net::IsPlaceholder(spec.secrets(0).placeholder()));
  EXPECT_NE(spec.secrets(0).placeholder(), spec.secrets(1).placeholder());
  const std::string before = spec.secrets(0).placeholder();
  ASSERT_OK(CompleteSecrets(spec));
  EXPECT_EQ(spec.secrets(0).placeholder(), before);
}

TEST(SecretsTest, RefusesWhatIsNoSecret) {
  const msb::v1::Secret wrong[] = {
      MakeSecret("", "", {"a.com"}),
      MakeSecret("1A", "", {"a.com"}),
      MakeSecret("A-B", "", {"a.com"}),
      MakeSecret("A=B", "", {"a.com"}),
      MakeSecret("A", "", {}),
      MakeSecret("A", "", {"10.0.0.1"}),
      MakeSecret("A", "", {"*.com"}),
      MakeSecret("A", "", {"a.com:0"}),
      MakeSecret("A", "", {"a.com:65536"}),
      MakeSecret("A", "", {"a.com/x"}),
      MakeSecret("A", "", {"[::1]:443"}),
      MakeSecret("A", "", {"*"}),
      MakeSecret(std::string(65, 'A'), "", {"a.com"}),
  };
  for (const msb::v1::Secret& secret : wrong) {
    msb::v1::SandboxSpec spec = SpecWith(secret);
    EXPECT_EQ(ReasonOf(CompleteSecrets(spec)), Reason::kSecretInvalid) << secret.DebugString();
  }
  msb::v1::SandboxSpec twice = SpecWith(MakeSecret("A", "", {"a.com"}));
  *twice.add_secrets() = twice.secrets(0);
  EXPECT_EQ(ReasonOf(CompleteSecrets(twice)), Reason::kSecretInvalid);
  msb::v1::SandboxSpec also = SpecWith(MakeSecret("A", "", {"a.com"}));
  (*also.mutable_env())["A"] = "x";
  EXPECT_EQ(ReasonOf(CompleteSecrets(also)), Reason::kSecretInvalid);
}

TEST(SecretsTest, MissingValuesAreNamedWithWhatToDo) {
  msb::v1::SandboxSpec spec = SpecWith(MakeSecret("A", "", {"a.com"}));

  const absl::Status status = CheckAllValues(spec, {});

  EXPECT_EQ(ReasonOf(status), Reason::kSecretValueMissing);
  EXPECT_THAT(std::string(status.message()), HasSubstr("msbctl start box --secret A=env:"));
}

TEST(SecretsTest, CommandsHaveThePlaceholderAndMayHaveTheirOwn) {
  msb::v1::SandboxSpec sandbox = SpecWith(MakeSecret("A", "", {"a.com"}));
  ASSERT_OK(CompleteSecrets(sandbox));
  ExecSpec exec;
  exec.argv = {"true"};
  ImageConfig image;
  image.env["A"] = "of the image";

  ASSERT_OK_AND_ASSIGN(const auto built, BuildExec(exec, "id", sandbox, image, LimitsConfig{}));
  ASSERT_EQ(built.env_size(), 1);
  EXPECT_EQ(built.env(0).value(), sandbox.secrets(0).placeholder());

  exec.env["A"] = "own";
  ASSERT_OK_AND_ASSIGN(const auto own, BuildExec(exec, "id", sandbox, image, LimitsConfig{}));
  EXPECT_EQ(own.env(0).value(), "own");
}

}  // namespace
}  // namespace msb
