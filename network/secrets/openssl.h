// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Owners of what OpenSSL allocates, and its errors as Status.

#ifndef MSB_NETWORK_SECRETS_OPENSSL_H_
#define MSB_NETWORK_SECRETS_OPENSSL_H_

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace msb::net {

struct FreeOpenssl {
  void operator()(BIO* object) const { ::BIO_free_all(object); }
  void operator()(EVP_PKEY* object) const { ::EVP_PKEY_free(object); }
  void operator()(SSL* object) const { ::SSL_free(object); }
  void operator()(SSL_CTX* object) const { ::SSL_CTX_free(object); }
  void operator()(X509* object) const { ::X509_free(object); }
  void operator()(X509_EXTENSION* object) const { ::X509_EXTENSION_free(object); }
};
using BioPtr = std::unique_ptr<BIO, FreeOpenssl>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeOpenssl>;
using SslPtr = std::unique_ptr<SSL, FreeOpenssl>;
using SslContextPtr = std::unique_ptr<SSL_CTX, FreeOpenssl>;
using CertificatePtr = std::unique_ptr<X509, FreeOpenssl>;

// `what` with the first error in the thread's queue, which is empty afterwards.
absl::Status OpensslError(absl::string_view what);

}  // namespace msb::net

#endif  // MSB_NETWORK_SECRETS_OPENSSL_H_
