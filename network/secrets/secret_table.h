// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The secrets of a sandbox: values, placeholders, and where each may go. Never changed: a new table
// takes the place of an old one, which lives as long as a connection uses it.

#ifndef MSB_NETWORK_SECRETS_SECRET_TABLE_H_
#define MSB_NETWORK_SECRETS_SECRET_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/secret_bytes.h"
#include "msb/net/v1/secrets.pb.h"
#include "network/policy/secret_host.h"
#include "network/secrets/substitution.h"

namespace msb::net {

class SecretTable {
 public:
  // Wipes the values in `message`; takes those that it lacks from `before`. kSecretInvalid names
  // the secret, never the value.
  static absl::StatusOr<std::shared_ptr<const SecretTable>> Take(msb::net::v1::SecretTable& message,
                                                                 const SecretTable& before);

  bool empty() const { return secrets_.empty(); }
  // Whether any secret may go to it: then its connections are ours.
  bool Serves(absl::string_view host, uint16_t port) const;
  // Valid for as long as the table.
  std::vector<Substitute> For(absl::string_view host, uint16_t port) const;

 private:
  struct Secret {
    std::string name;
    std::string placeholder;
    std::shared_ptr<const SecretBytes> value;
    std::vector<SecretHost> hosts;

    bool MayGoTo(absl::string_view host, uint16_t port) const;
  };

  std::vector<Secret> secrets_;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_SECRETS_SECRET_TABLE_H_
