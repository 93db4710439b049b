// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A sandbox's secrets: from what a client asked for to what msb-secrets is told (docs/secrets.md).
// Values are apart from everything else, so that nothing that is journalled, shown or logged can
// have them: they live in memory of their own for as long as this daemon does.

#ifndef MSB_SUPERVISOR_SANDBOX_SECRETS_H_
#define MSB_SUPERVISOR_SANDBOX_SECRETS_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/secret_bytes.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "msb/net/v1/net.pb.h"
#include "msb/v1/network.pb.h"
#include "msb/v1/sandbox.pb.h"
#include "supervisor/config/config.h"
#include "supervisor/launch/launcher.h"

namespace msb {

inline constexpr char kSecretsCompanion[] = "secret";
inline constexpr uint32_t kSecretsUser = 1;  // CompanionSpec.own_user
inline constexpr int kMaxSecrets = 64;
inline constexpr int kMaxSecretHosts = 64;
inline constexpr size_t kMaxSecretBytes = 16384;
// Of all secrets of a sandbox: their process is told of them in one frame (base/frames.h).
inline constexpr size_t kMaxSecretBytesTogether = 512 << 10;
inline constexpr size_t kMaxSecretHostBytesTogether = 256 << 10;

// By the name of the secret.
using SecretValues = std::map<std::string, std::shared_ptr<const SecretBytes>>;
using SecretList = google::protobuf::RepeatedPtrField<msb::v1::Secret>;

// The values in `secrets`, each in memory of its own. kSecretInvalid, kLimitExceeded.
absl::StatusOr<SecretValues> CopySecretValues(const SecretList& secrets);
void WipeSecretValues(SecretList& secrets);
// Both: whatever is wrong with one of them, all are wiped.
absl::StatusOr<SecretValues> TakeSecretValues(SecretList& secrets);
// Checks names and hosts, gives each a placeholder that has none. kSecretInvalid, kLimitExceeded.
absl::Status CompleteSecrets(msb::v1::SandboxSpec& spec);
// kLimitExceeded when they are too large together.
absl::Status CheckValueBytes(const SecretValues& values);
// The same, and kSecretValueMissing with the names of those that `values` lacks.
absl::Status CheckAllValues(const msb::v1::SandboxSpec& spec, const SecretValues& values);

// Whether there is something to do: secrets, and a network that they could leave by.
bool UsesSecrets(const msb::v1::SandboxSpec& spec);
msb::net::v1::SecretHosts HostsOf(const SecretList& secrets);
CompanionSpec SecretsCompanionOf(const Config& config, const std::string& id);

// Each asks msb-secrets or msb-net, at the sockets of `plan`, and blocks for at most `timeout`.
//
// A secret that `values` lacks keeps the value that msb-secrets has.
absl::Status TellSecrets(const LaunchPlan& plan, const SecretList& secrets,
                         const SecretValues& values, absl::Duration timeout);
// A socket from msb-net to msb-secrets, in place of an earlier one.
absl::Status ConnectSecrets(const LaunchPlan& plan, absl::Duration timeout);
// Of the authority that the guest is to believe, PEM.
absl::StatusOr<std::string> AuthorityOf(const LaunchPlan& plan, absl::Duration timeout);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_SECRETS_H_
