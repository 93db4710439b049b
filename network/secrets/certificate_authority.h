// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The authority that one guest believes, and nobody else: made when the process starts, gone with
// it. Its key leaves no trace outside of this process's memory.

#ifndef MSB_NETWORK_SECRETS_CERTIFICATE_AUTHORITY_H_
#define MSB_NETWORK_SECRETS_CERTIFICATE_AUTHORITY_H_

#include <cstddef>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "network/secrets/openssl.h"

namespace msb::net {

class CertificateAuthority {
 public:
  // Certificates kept; one more begins anew.
  static constexpr size_t kMaxKept = 256;

  // `owner`: for people who look at the certificate.
  static absl::StatusOr<CertificateAuthority> Create(const std::string& owner);

  const std::string& certificate_pem() const { return pem_; }
  // Makes `ssl` a server with a certificate for `host`.
  absl::Status Present(const std::string& host, SSL* ssl);

 private:
  CertificateAuthority() = default;
  absl::StatusOr<CertificatePtr> Issue(const std::string& host) const;

  KeyPtr key_;
  CertificatePtr certificate_;
  std::string pem_;
  KeyPtr host_key_;  // of all hosts
  absl::flat_hash_map<std::string, CertificatePtr> issued_;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_SECRETS_CERTIFICATE_AUTHORITY_H_
