// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/secrets/secret_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb::net {

bool SecretTable::Secret::MayGoTo(absl::string_view host, uint16_t port) const {
  return std::any_of(hosts.begin(), hosts.end(),
                     [&](const SecretHost& known) { return known.Matches(host, port); });
}

absl::StatusOr<std::shared_ptr<const SecretTable>> SecretTable::Take(
    msb::net::v1::SecretTable& message, const SecretTable& before) {
  auto table = std::make_shared<SecretTable>();
  for (msb::net::v1::SecretEntry& entry : *message.mutable_secrets()) {
    Secret secret{.name = entry.name(), .placeholder = entry.placeholder()};
    for (const Secret& earlier : before.secrets_) {
      if (earlier.name == secret.name) secret.value = earlier.value;
    }
    if (!entry.value().empty()) secret.value = std::make_shared<SecretBytes>(entry.value());
    Wipe(*entry.mutable_value());
    if (secret.value == nullptr || secret.value->empty() || !IsPlaceholder(secret.placeholder)) {
      return MakeError(Reason::kSecretInvalid,
                       absl::StrCat(secret.name, ": no value, or no placeholder"));
    }
    for (const std::string& text : entry.hosts()) {
      MSB_ASSIGN_OR_RETURN(SecretHost host, ParseSecretHost(text));
      secret.hosts.push_back(std::move(host));
    }
    table->secrets_.push_back(std::move(secret));
  }
  return std::shared_ptr<const SecretTable>(std::move(table));
}

bool SecretTable::Serves(absl::string_view host, uint16_t port) const {
  return std::any_of(secrets_.begin(), secrets_.end(),
                     [&](const Secret& secret) { return secret.MayGoTo(host, port); });
}

std::vector<Substitute> SecretTable::For(absl::string_view host, uint16_t port) const {
  std::vector<Substitute> substitutes;
  for (const Secret& secret : secrets_) {
    substitutes.push_back({.name = secret.name,
                           .placeholder = secret.placeholder,
                           .value = secret.value->view(),
                           .allowed = secret.MayGoTo(host, port)});
  }
  return substitutes;
}

}  // namespace msb::net
