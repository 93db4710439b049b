// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/secrets/certificate_authority.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace msb::net {
namespace {

constexpr long kDay = 24 * 60 * 60;
// A guest's clock may be behind, and a saved guest may sleep for long.
constexpr long kNotBefore = -kDay;
constexpr long kAuthorityLifetime = 3650 * kDay;
// What clients accept at most (CA/Browser Forum: 398 days).
constexpr long kHostLifetime = 390 * kDay;
constexpr int kSerialBytes = 16;

absl::StatusOr<KeyPtr> MakeKey() {
  KeyPtr key(::EVP_EC_gen("P-256"));
  if (key == nullptr) return OpensslError("make a key");
  return key;
}

bool SetName(X509_NAME* name, const char* field, const std::string& text) {
  return ::X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(text.data()),
                                      static_cast<int>(text.size()), -1, 0) == 1;
}

bool SetSerial(X509* certificate) {
  unsigned char bytes[kSerialBytes];
  if (::RAND_bytes(bytes, sizeof(bytes)) != 1) return false;
  bytes[0] &= 0x7f;  // positive
  BIGNUM* const number = ::BN_bin2bn(bytes, sizeof(bytes), nullptr);
  const bool set = number != nullptr &&
                   ::BN_to_ASN1_INTEGER(number, ::X509_get_serialNumber(certificate)) != nullptr;
  ::BN_free(number);
  return set;
}

bool AddExtension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, FreeOpenssl> extension(
      ::X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str()));
  return extension != nullptr && ::X509_add_ext(certificate, extension.get(), -1) == 1;
}

// All but names and extensions.
absl::StatusOr<CertificatePtr> Begin(EVP_PKEY* key, long lifetime) {
  CertificatePtr certificate(::X509_new());
  if (certificate == nullptr || ::X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      !SetSerial(certificate.get()) ||
      ::X509_gmtime_adj(::X509_getm_notBefore(certificate.get()), kNotBefore) == nullptr ||
      ::X509_gmtime_adj(::X509_getm_notAfter(certificate.get()), lifetime) == nullptr ||
      ::X509_set_pubkey(certificate.get(), key) != 1) {
    return OpensslError("make a certificate");
  }
  return certificate;
}

absl::StatusOr<std::string> ToPem(X509* certificate) {
  const BioPtr memory(::BIO_new(::BIO_s_mem()));
  char* text = nullptr;
  if (memory == nullptr || ::PEM_write_bio_X509(memory.get(), certificate) != 1) {
    return OpensslError("write a certificate");
  }
  const long size = BIO_get_mem_data(memory.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

}  // namespace

absl::StatusOr<CertificateAuthority> CertificateAuthority::Create(const std::string& owner) {
  CertificateAuthority authority;
  MSB_ASSIGN_OR_RETURN(authority.key_, MakeKey());
  MSB_ASSIGN_OR_RETURN(authority.host_key_, MakeKey());
  MSB_ASSIGN_OR_RETURN(authority.certificate_, Begin(authority.key_.get(), kAuthorityLifetime));
  X509* const certificate = authority.certificate_.get();
  X509_NAME* const name = ::X509_get_subject_name(certificate);
  // Its own subject: several in one trust store are told apart.
  if (!SetName(name, "O", "microsandbox") || !SetName(name, "CN", "secrets of " + owner) ||
      ::X509_set_issuer_name(certificate, name) != 1 ||
      !AddExtension(certificate, certificate, NID_basic_constraints,
                    "critical,CA:TRUE,pathlen:0") ||
      !AddExtension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !AddExtension(certificate, certificate, NID_subject_key_identifier, "hash") ||
      ::X509_sign(certificate, authority.key_.get(), ::EVP_sha256()) == 0) {
    return OpensslError("make the authority");
  }
  MSB_ASSIGN_OR_RETURN(authority.pem_, ToPem(certificate));
  return authority;
}

absl::StatusOr<CertificatePtr> CertificateAuthority::Issue(const std::string& host) const {
  MSB_ASSIGN_OR_RETURN(CertificatePtr certificate, Begin(host_key_.get(), kHostLifetime));
  // A common name has at most 64 characters; nobody reads it any more.
  X509_NAME* const name = ::X509_get_subject_name(certificate.get());
  if (!SetName(name, "CN", host.substr(0, 64)) ||
      ::X509_set_issuer_name(certificate.get(), ::X509_get_subject_name(certificate_.get())) != 1 ||
      !AddExtension(certificate.get(), certificate_.get(), NID_basic_constraints,
                    "critical,CA:FALSE") ||
      !AddExtension(certificate.get(), certificate_.get(), NID_key_usage,
                    "critical,digitalSignature") ||
      !AddExtension(certificate.get(), certificate_.get(), NID_ext_key_usage, "serverAuth") ||
      !AddExtension(certificate.get(), certificate_.get(), NID_authority_key_identifier, "keyid") ||
      // A host name is letters, digits, dots, hyphens and underscores: no syntax of OpenSSL's.
      !AddExtension(certificate.get(), certificate_.get(), NID_subject_alt_name,
                    absl::StrCat("DNS:", host)) ||
      ::X509_sign(certificate.get(), key_.get(), ::EVP_sha256()) == 0) {
    return OpensslError("issue a certificate");
  }
  return certificate;
}

absl::Status CertificateAuthority::Present(const std::string& host, SSL* ssl) {
  auto found = issued_.find(host);
  if (found == issued_.end()) {
    MSB_ASSIGN_OR_RETURN(CertificatePtr certificate, Issue(host));
    if (issued_.size() >= kMaxKept) issued_.clear();
    found = issued_.emplace(host, std::move(certificate)).first;
  }
  if (::SSL_use_certificate(ssl, found->second.get()) != 1 ||
      ::SSL_use_PrivateKey(ssl, host_key_.get()) != 1) {
    return OpensslError("present a certificate");
  }
  return absl::OkStatus();
}

}  // namespace msb::net
