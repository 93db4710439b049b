// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Where a secret may go: "api.example.com", "*.example.com" (every name below), each also with
// ":PORT"; 443 unless said otherwise. Pure.

#ifndef MSB_NETWORK_POLICY_SECRET_HOST_H_
#define MSB_NETWORK_POLICY_SECRET_HOST_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb::net {

// What stands for a secret in a guest: these letters, then hexadecimal digits. Nothing that a URL,
// a header or JSON would write in another way.
inline constexpr absl::string_view kPlaceholderPrefix = "msbsecret_";
inline constexpr size_t kPlaceholderDigits = 32;
inline constexpr size_t kPlaceholderBytes = kPlaceholderPrefix.size() + kPlaceholderDigits;
bool IsPlaceholder(absl::string_view text);

struct SecretHost {
  std::string name;  // lower case
  bool below = false;
  uint16_t port = 443;

  // Of a name in lower case, without a dot at its end.
  bool Matches(absl::string_view candidate, uint16_t candidate_port) const;
  std::string ToString() const;  // with its port; ParseSecretHost takes it back
};

// kSecretInvalid. An address is no host: only a name has a certificate that proves it.
absl::StatusOr<SecretHost> ParseSecretHost(absl::string_view text);

}  // namespace msb::net

#endif  // MSB_NETWORK_POLICY_SECRET_HOST_H_
