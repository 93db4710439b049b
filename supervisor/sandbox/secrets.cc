// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/secrets.h"

#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "msb/net/v1/secrets.pb.h"
#include "network/policy/secret_host.h"
#include "supervisor/sandbox/ask_companion.h"
#include "supervisor/sandbox/network.h"

namespace msb {
namespace {

using msb::net::v1::SecretsRequest;
using msb::net::v1::SecretsResponse;

constexpr size_t kMaxNameBytes = 64;
constexpr int kCaStoreFd = kFirstCompanionOwnFd;
constexpr uint32_t kPidsMax = 4;
constexpr uint32_t kDescriptorsOfConnection = 2;
// Control, and connections that are about to be refused.
constexpr uint32_t kOtherDescriptors = 128;

absl::Status Invalid(absl::string_view name, absl::string_view what) {
  return MakeError(
      Reason::kSecretInvalid,
      absl::StrCat("secret ", EscapeForLog(name.substr(0, kMaxNameBytes)), ": ", what));
}

bool IsVariableName(absl::string_view name) {
  const auto allowed = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  return !name.empty() && name.size() <= kMaxNameBytes &&
         !absl::ascii_isdigit(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), allowed);
}

// What would end a header line, or hide the rest of a value.
bool HasControlCharacter(absl::string_view value) {
  return std::any_of(value.begin(), value.end(),
                     [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

absl::StatusOr<std::string> MakePlaceholder() {
  unsigned char bytes[net::kPlaceholderDigits / 2];
  MSB_RETURN_IF_ERROR(Syscall("getrandom", [&] { return ::getrandom(bytes, sizeof(bytes), 0); }));
  return absl::StrCat(
      net::kPlaceholderPrefix,
      absl::BytesToHexString({reinterpret_cast<const char*>(bytes), sizeof(bytes)}));
}

absl::Status CompleteHosts(msb::v1::Secret& secret) {
  if (secret.hosts().empty() || secret.hosts_size() > kMaxSecretHosts) {
    return Invalid(secret.name(), absl::StrCat("goes to 1 to ", kMaxSecretHosts, " hosts"));
  }
  for (std::string& text : *secret.mutable_hosts()) {
    const absl::StatusOr<net::SecretHost> host = net::ParseSecretHost(text);
    if (!host.ok()) return Invalid(secret.name(), host.status().message());
    text = host->ToString();
  }
  return absl::OkStatus();
}

absl::Status CheckHostBytes(const SecretList& secrets) {
  size_t bytes = 0;
  for (const msb::v1::Secret& secret : secrets) {
    for (const std::string& host : secret.hosts()) bytes += host.size();
  }
  if (bytes <= kMaxSecretHostBytesTogether) return absl::OkStatus();
  return MakeError(Reason::kLimitExceeded,
                   absl::StrCat("the hosts of a sandbox's secrets have ", bytes,
                                " bytes together, at most ", kMaxSecretHostBytesTogether));
}

absl::StatusOr<SecretsResponse> Ask(const LaunchPlan& plan, const std::string& frame, int fd,
                                    absl::Duration timeout) {
  MSB_ASSIGN_OR_RETURN(const std::string answer,
                       AskCompanion({.asked = "msb-secrets",
                                     .socket = PathsOf(plan, kSecretsCompanion).control_socket,
                                     .frame = frame,
                                     .descriptor = fd},
                                    timeout));
  SecretsResponse response;
  if (!response.ParseFromString(answer)) {
    return MakeError(Reason::kHostError, "msb-secrets gave an answer that is none");
  }
  if (response.has_error()) return StatusOf(response.error());
  return response;
}

absl::StatusOr<SecretsResponse> Ask(const LaunchPlan& plan, const SecretsRequest& request, int fd,
                                    absl::Duration timeout) {
  std::string frame;
  AppendFrame(request.SerializeAsString(), frame);
  return Ask(plan, frame, fd, timeout);
}

}  // namespace

absl::StatusOr<SecretValues> CopySecretValues(const SecretList& secrets) {
  SecretValues values;
  for (const msb::v1::Secret& secret : secrets) {
    if (secret.value().empty()) continue;
    if (secret.value().size() > kMaxSecretBytes) {
      return Invalid(secret.name(), absl::StrCat("at most ", kMaxSecretBytes, " bytes"));
    }
    if (HasControlCharacter(secret.value())) {
      return Invalid(secret.name(), "its value has a control character (a line's end?)");
    }
    auto value = std::make_shared<const SecretBytes>(secret.value());
    if (value->empty()) {
      return MakeError(Reason::kHostOutOfMemory, "no memory for the value of a secret");
    }
    values.insert_or_assign(secret.name(), std::move(value));
  }
  MSB_RETURN_IF_ERROR(CheckValueBytes(values));
  return values;
}

void WipeSecretValues(SecretList& secrets) {
  for (msb::v1::Secret& secret : secrets) {
    if (!secret.has_value()) continue;
    Wipe(*secret.mutable_value());
    secret.clear_value();
  }
}

absl::StatusOr<SecretValues> TakeSecretValues(SecretList& secrets) {
  absl::StatusOr<SecretValues> values = CopySecretValues(secrets);
  WipeSecretValues(secrets);
  return values;
}

absl::Status CompleteSecrets(msb::v1::SandboxSpec& spec) {
  if (spec.secrets_size() > kMaxSecrets) {
    return MakeError(Reason::kLimitExceeded, absl::StrCat("at most ", kMaxSecrets, " secrets"));
  }
  std::set<std::string> names;
  for (msb::v1::Secret& secret : *spec.mutable_secrets()) {
    if (!IsVariableName(secret.name())) {
      return Invalid(secret.name(),
                     "a name is that of a variable: letters, digits and _, at most 64");
    }
    if (!names.insert(secret.name()).second) return Invalid(secret.name(), "is there twice");
    if (spec.env().contains(secret.name())) {
      return Invalid(secret.name(), "is a variable of the sandbox's environment too");
    }
    MSB_RETURN_IF_ERROR(CompleteHosts(secret));
    if (net::IsPlaceholder(secret.placeholder())) continue;
    MSB_ASSIGN_OR_RETURN(*secret.mutable_placeholder(), MakePlaceholder());
  }
  return CheckHostBytes(spec.secrets());
}

absl::Status CheckValueBytes(const SecretValues& values) {
  size_t bytes = 0;
  for (const auto& [name, value] : values) bytes += value->view().size();
  if (bytes <= kMaxSecretBytesTogether) return absl::OkStatus();
  return MakeError(Reason::kLimitExceeded,
                   absl::StrCat("the values of a sandbox's secrets have ", bytes,
                                " bytes together, at most ", kMaxSecretBytesTogether));
}

absl::Status CheckAllValues(const msb::v1::SandboxSpec& spec, const SecretValues& values) {
  MSB_RETURN_IF_ERROR(CheckValueBytes(values));
  std::vector<std::string> missing;
  for (const msb::v1::Secret& secret : spec.secrets()) {
    if (!values.contains(secret.name())) missing.push_back(secret.name());
  }
  if (missing.empty()) return absl::OkStatus();
  return MakeError(Reason::kSecretValueMissing,
                   absl::StrCat("the daemon has no value of ", absl::StrJoin(missing, ", "),
                                " (values are never written down): msbctl start ", spec.name(),
                                " --secret ", missing[0], "=env:VARIABLE"));
}

bool UsesSecrets(const msb::v1::SandboxSpec& spec) {
  return spec.secrets_size() > 0 && HasCard(spec.network());
}

msb::net::v1::SecretHosts HostsOf(const SecretList& secrets) {
  msb::net::v1::SecretHosts hosts;
  for (const msb::v1::Secret& secret : secrets) {
    for (const std::string& host : secret.hosts()) hosts.add_hosts(host);
    auto& placeholder = *hosts.add_placeholders();
    placeholder.set_name(secret.name());
    placeholder.set_placeholder(secret.placeholder());
  }
  return hosts;
}

CompanionSpec SecretsCompanionOf(const Config& config, const std::string& id) {
  msb::net::v1::SecretsSpec spec;
  spec.set_id(id);
  spec.set_control_fd(kCompanionControlFd);
  spec.set_lifetime_fd(kCompanionVmmFd);
  spec.set_ca_store_fd(kCaStoreFd);
  msb::net::v1::SecretsLimits& limits = *spec.mutable_limits();
  limits.set_max_connections(config.secrets.max_connections);
  limits.set_handshake_ms(
      static_cast<uint32_t>(absl::ToInt64Milliseconds(config.secrets.handshake_timeout)));
  limits.set_max_head_bytes(config.secrets.max_head_kib << 10);
  limits.set_max_body_bytes(config.secrets.max_body_kib << 10);
  limits.set_max_value_bytes(config.secrets.max_values_kib << 10);

  CompanionSpec companion;
  companion.name = kSecretsCompanion;
  companion.executable = config.daemon.secrets;
  companion.arguments = {"--spec-fd", absl::StrCat(kCompanionInputFd)};
  companion.own_user = kSecretsUser;
  // The operator's file, which no user has a say in: not every user has to be able to read it.
  companion.sources = {{.fd = kCaStoreFd,
                        .path = config.network.ca_store,
                        .kind = SourceKind::kFile,
                        .access = SourceAccess::kReadOnly,
                        .rights = SourceRights::kDaemon,
                        .reason = Reason::kCaStoreInvalid,
                        .label = "the certificates of [network] ca_store"}};
  companion.input = spec.SerializeAsString();
  companion.vmm_link = VmmLink::kLifetime;
  companion.memory_mib = config.secrets.memory_mib;
  companion.cpu_milli = config.secrets.cpu_milli;
  companion.pids_max = kPidsMax;
  companion.max_open_files =
      config.secrets.max_connections * kDescriptorsOfConnection + kOtherDescriptors;
  return companion;
}

absl::Status TellSecrets(const LaunchPlan& plan, const SecretList& secrets,
                         const SecretValues& values, absl::Duration timeout) {
  SecretsRequest request;
  for (const msb::v1::Secret& secret : secrets) {
    auto& entry = *request.mutable_set()->add_secrets();
    entry.set_name(secret.name());
    entry.set_placeholder(secret.placeholder());
    *entry.mutable_hosts() = secret.hosts();
    const auto value = values.find(secret.name());
    if (value == values.end()) continue;
    const absl::string_view bytes = value->second->view();
    entry.set_value(bytes.data(), bytes.size());
  }
  request.mutable_set();
  std::string message = request.SerializeAsString();
  std::string frame;
  frame.reserve(message.size() + kFrameHeaderBytes);  // or growing would leave copies behind
  AppendFrame(message, frame);
  Wipe(message);
  for (auto& entry : *request.mutable_set()->mutable_secrets()) Wipe(*entry.mutable_value());
  const auto response = Ask(plan, frame, /*fd=*/-1, timeout);
  Wipe(frame);
  return response.status();
}

absl::Status ConnectSecrets(const LaunchPlan& plan, absl::Duration timeout) {
  int ends[2];
  MSB_RETURN_IF_ERROR(Syscall(
      "socketpair", [&] { return ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends); }));
  const UniqueFd first(ends[0]);
  const UniqueFd second(ends[1]);
  SecretsRequest request;
  request.mutable_connect();
  MSB_RETURN_IF_ERROR(Ask(plan, request, first.get(), timeout).status());
  msb::net::v1::ControlRequest connect;
  connect.mutable_connect_secrets();
  return AskNetwork(PathsOf(plan, kNetworkCompanion).control_socket, std::move(connect),
                    second.get(), timeout)
      .status();
}

absl::StatusOr<std::string> AuthorityOf(const LaunchPlan& plan, absl::Duration timeout) {
  SecretsRequest request;
  request.mutable_certificate();
  MSB_ASSIGN_OR_RETURN(const SecretsResponse response, Ask(plan, request, /*fd=*/-1, timeout));
  return response.certificate();
}

}  // namespace msb
