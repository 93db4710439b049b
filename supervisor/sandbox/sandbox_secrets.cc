// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Sandbox: its secrets.

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "supervisor/sandbox/lifecycle.h"
#include "supervisor/sandbox/network.h"
#include "supervisor/sandbox/sandbox.h"
#include "supervisor/sandbox/secrets.h"

namespace msb {
namespace {

using AgentResponse = absl::StatusOr<msb::agent::v1::ControlResponse>;

msb::v1::Secret* FindSecret(msb::v1::SandboxSpec& spec, const std::string& name) {
  for (msb::v1::Secret& secret : *spec.mutable_secrets()) {
    if (secret.name() == name) return &secret;
  }
  return nullptr;
}

}  // namespace

void Sandbox::AddSecretValues(SecretValues values) {
  for (auto& [name, value] : values) secret_values_.insert_or_assign(name, std::move(value));
}

absl::Status Sandbox::CheckSecretValues(const SecretValues& added) const {
  SecretValues all = secret_values_;
  for (const auto& [name, value] : added) {
    const auto& secrets = record_.spec.secrets();
    if (std::none_of(secrets.begin(), secrets.end(),
                     [&](const auto& secret) { return secret.name() == name; })) {
      return MakeError(Reason::kSecretInvalid,
                       absl::StrCat("the sandbox has no secret ", name, " to give a value"));
    }
    all.insert_or_assign(name, value);
  }
  return CheckAllValues(record_.spec, all);
}

absl::Status Sandbox::TakeMissingValues(SecretValues values) {
  if (values.empty()) return absl::OkStatus();
  if (CompanionRuns(kSecretsCompanion)) {
    return MakeError(
        Reason::kSandboxWrongState,
        "the sandbox runs with the values that it has: msbctl secret set changes them");
  }
  MSB_RETURN_IF_ERROR(CheckSecretValues(values));
  AddSecretValues(std::move(values));
  return absl::OkStatus();
}

bool Sandbox::CompanionRuns(absl::string_view name) const {
  return run_.has_value() && run_->companions.contains(std::string(name));
}

void Sandbox::TrustSecretsThen(Done done) {
  RunBlocking(
      [plan = plan_, timeout = context_.config.agent.request_timeout] {
        return AuthorityOf(plan, timeout);
      },
      [done = std::move(done)](Sandbox& self, absl::StatusOr<std::string> authority) {
        if (!authority.ok()) return done(authority.status());
        if (!self.run_ || !self.run_->agent) return done(self.NotNow("use the secrets of"));
        msb::agent::v1::ControlRequest request;
        request.set_trust_ca(*authority);
        self.run_->agent->Request(
            std::move(request),
            self.OnLoop<AgentResponse>(
                [done](Sandbox&, const AgentResponse& response) { done(response.status()); }));
      });
}

void Sandbox::UpdateSecrets(SecretList set, std::vector<std::string> remove, SecretValues values,
                            Done done) {
  InTurn(std::move(done),
         [this, set = std::move(set), remove = std::move(remove), values = std::move(values)](
             Done turned) { UpdateSecretsNow(set, remove, values, std::move(turned)); });
}

void Sandbox::UpdateSecretsNow(const SecretList& set, const std::vector<std::string>& remove,
                               const SecretValues& values, Done done) {
  msb::v1::SandboxSpec spec = record_.spec;
  SecretList& known_secrets = *spec.mutable_secrets();
  for (const std::string& name : remove) {
    const auto known =
        std::find_if(known_secrets.begin(), known_secrets.end(),
                     [&](const msb::v1::Secret& secret) { return secret.name() == name; });
    if (known == known_secrets.end()) {
      return done(MakeError(Reason::kSecretInvalid, absl::StrCat("there is no secret ", name)));
    }
    known_secrets.erase(known);
  }
  for (const msb::v1::Secret& wanted : set) {
    msb::v1::Secret* known = FindSecret(spec, wanted.name());
    if (known == nullptr) {
      if (!values.contains(wanted.name())) {
        return done(MakeError(Reason::kSecretInvalid,
                              absl::StrCat("the new secret ", wanted.name(), " has no value")));
      }
      known = spec.add_secrets();
      known->set_name(wanted.name());
    }
    if (!wanted.hosts().empty()) *known->mutable_hosts() = wanted.hosts();
  }
  if (absl::Status status = CompleteSecrets(spec); !status.ok()) return done(std::move(status));
  SecretValues all = secret_values_;
  for (const std::string& name : remove) all.erase(name);
  for (const auto& [name, value] : values) all.insert_or_assign(name, value);
  if (absl::Status status = CheckValueBytes(all); !status.ok()) return done(std::move(status));
  const absl::StatusOr<bool> runs = NetworkRuns();
  if (!runs.ok()) return done(runs.status());
  if (*runs && !CompanionRuns(kSecretsCompanion)) {
    return done(
        MakeError(Reason::kSandboxWrongState,
                  UsesSecrets(record_.spec)
                      ? "the process with the sandbox's secrets has ended: msbctl net restart"
                      : "the sandbox was started without secrets: stop it, change them, start it"));
  }
  const auto keep = [secrets = spec.secrets(), values, remove](Sandbox& self) {
    *self.record_.spec.mutable_secrets() = secrets;
    for (const std::string& name : remove) self.secret_values_.erase(name);
    self.AddSecretValues(values);
    return self.Journal();
  };
  if (!*runs) return done(keep(*this));
  RunBlocking(
      [plan = plan_, all = std::move(all), secrets = spec.secrets(),
       timeout = context_.config.agent.request_timeout]() -> absl::Status {
        MSB_RETURN_IF_ERROR(TellSecrets(plan, secrets, all, timeout));
        msb::net::v1::ControlRequest request;
        *request.mutable_set_secrets() = HostsOf(secrets);
        return AskNetwork(PathsOf(plan, kNetworkCompanion).control_socket, std::move(request),
                          /*fd=*/-1, timeout)
            .status();
      },
      [keep, done = std::move(done)](Sandbox& self, absl::Status told) {
        done(told.ok() ? keep(self) : std::move(told));
      });
}

}  // namespace msb
