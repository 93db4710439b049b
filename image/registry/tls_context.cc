// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb::image {
namespace {

// Where distributions keep their bundle: Debian, Fedora, Alpine, SUSE.
constexpr const char* kBundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                    "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
                                    "/etc/ssl/ca-bundle.pem"};
constexpr unsigned char kProtocols[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

bool AddHostRoots(SSL_CTX* context) {
  for (const char* bundle : kBundles) {
    if (SSL_CTX_load_verify_file(context, bundle) == 1) return true;
  }
  ERR_clear_error();
  return false;
}

absl::Status AddCertificates(SSL_CTX* context, absl::string_view pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> source(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free_all);
  MSB_CHECK(source != nullptr);
  int added = 0;
  while (true) {
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(
        PEM_read_bio_X509(source.get(), nullptr, nullptr, nullptr), &X509_free);
    if (certificate == nullptr) break;
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate.get()) != 1) {
      return MakeError(Reason::kInvalidArgument, "the extra CA certificates cannot be used");
    }
    ++added;
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (added == 0 || !at_end) {
    return MakeError(Reason::kInvalidArgument,
                     "the extra CA is no list of certificates in PEM form");
  }
  return absl::OkStatus();
}

}  // namespace

void TlsContext::Free::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }

absl::StatusOr<TlsContext> TlsContext::Create(const TlsTrust& trust) {
  TlsContext result;
  result.context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* context = result.context_.get();
  MSB_CHECK(context != nullptr);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // A cut answer shows by its length and its digest.
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_alpn_protos(context, kProtocols, sizeof kProtocols);
  result.verifies_ = trust.verify;
  SSL_CTX_set_verify(context, trust.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!trust.verify) return result;
  result.has_host_roots_ = AddHostRoots(context);
  if (!trust.extra_ca_pem.empty()) {
    MSB_RETURN_IF_ERROR(AddCertificates(context, trust.extra_ca_pem));
  }
  return result;
}

std::string TakeTlsError() {
  const unsigned long error = ERR_peek_last_error();  // NOLINT: OpenSSL's type
  const char* reason = error == 0 ? nullptr : ERR_reason_error_string(error);
  std::string text = reason == nullptr ? "no reason given" : reason;
  ERR_clear_error();
  return text;
}

}  // namespace msb::image
