// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/secrets/tls_stream.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sslerr.h>
#include <openssl/x509v3.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb::net {
namespace {

constexpr unsigned char kHttp11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

// Only what we can rewrite; a client that offers none of it is told so.
int ChooseProtocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                   const unsigned char* offered, unsigned int offered_size, void*) {
  unsigned char* out = nullptr;
  if (::SSL_select_next_proto(&out, chosen_size, kHttp11, sizeof(kHttp11), offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *chosen = out;
  return SSL_TLSEXT_ERR_OK;
}

// The name was read once already, by another reader: both have to have read the same.
int CheckServerName(SSL* ssl, int* alert, void*) {
  const char* const said = ::SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  const auto* const host = static_cast<const std::string*>(SSL_get_app_data(ssl));
  absl::string_view name = said == nullptr ? "" : said;
  absl::ConsumeSuffix(&name, ".");
  if (host != nullptr && absl::EqualsIgnoreCase(name, *host)) return SSL_TLSEXT_ERR_OK;
  *alert = SSL_AD_UNRECOGNIZED_NAME;
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

absl::StatusOr<SslContextPtr> MakeContext(const SSL_METHOD* method) {
  SslContextPtr context(::SSL_CTX_new(method));
  if (context == nullptr || SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1) {
    return OpensslError("make a TLS context");
  }
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  // Decrypted bytes do not stay in the library's memory. Nothing is resumed: a ticket would be one
  // more secret.
  ::SSL_CTX_set_options(context.get(), SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_TICKET |
                                           SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  return context;
}

absl::StatusOr<SslPtr> Make(SSL_CTX* context, int fd) {
  SslPtr ssl(::SSL_new(context));
  if (ssl == nullptr || ::SSL_set_fd(ssl.get(), fd) != 1) return OpensslError("begin TLS");
  return ssl;
}

}  // namespace

absl::StatusOr<SslContextPtr> MakeServerContext() {
  MSB_ASSIGN_OR_RETURN(SslContextPtr context, MakeContext(::TLS_server_method()));
  ::SSL_CTX_set_num_tickets(context.get(), 0);
  ::SSL_CTX_set_alpn_select_cb(context.get(), ChooseProtocol, nullptr);
  SSL_CTX_set_tlsext_servername_callback(context.get(), CheckServerName);
  return context;
}

absl::StatusOr<SslContextPtr> MakeClientContext(absl::string_view ca_store) {
  MSB_ASSIGN_OR_RETURN(SslContextPtr context, MakeContext(::TLS_client_method()));
  const BioPtr memory(::BIO_new_mem_buf(ca_store.data(), static_cast<int>(ca_store.size())));
  X509_STORE* const store = ::SSL_CTX_get_cert_store(context.get());
  int found = 0;
  while (memory != nullptr) {
    const CertificatePtr certificate(::PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
    if (::X509_STORE_add_cert(store, certificate.get()) != 1) return OpensslError("a certificate");
    ++found;
  }
  ::ERR_clear_error();  // that there is no further one
  if (found == 0) {
    return MakeError(Reason::kCaStoreInvalid, "[network] ca_store has no certificate in PEM form");
  }
  ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  return context;
}

absl::StatusOr<SslPtr> MakeServer(SSL_CTX* context, const std::string& host, int fd) {
  MSB_ASSIGN_OR_RETURN(SslPtr ssl, Make(context, fd));
  SSL_set_app_data(ssl.get(), const_cast<std::string*>(&host));
  ::SSL_set_accept_state(ssl.get());
  return ssl;
}

absl::StatusOr<SslPtr> MakeClient(SSL_CTX* context, const std::string& host, int fd) {
  MSB_ASSIGN_OR_RETURN(SslPtr ssl, Make(context, fd));
  // RFC 9525, 2: a name is what subjectAltName says it is, and nothing else. OpenSSL would take the
  // common name, for which no authority has to vouch, where a certificate has no other.
  ::SSL_set_hostflags(ssl.get(),
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (::SSL_set1_host(ssl.get(), host.c_str()) != 1 ||
      SSL_set_tlsext_host_name(ssl.get(), host.c_str()) != 1 ||
      ::SSL_set_alpn_protos(ssl.get(), kHttp11, sizeof(kHttp11)) != 0) {
    return OpensslError("begin TLS");
  }
  ::SSL_set_connect_state(ssl.get());
  return ssl;
}

TlsStream::TlsStream(SslPtr ssl, UniqueFd socket)
    : socket_(std::move(socket)), ssl_(std::move(ssl)) {}

TlsStream::Result TlsStream::Judge(int returned, uint32_t& wants) {
  wants = 0;
  const int saved_errno = errno;
  switch (::SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_NONE:
      return Result::kDone;
    case SSL_ERROR_WANT_READ:
      wants = EPOLLIN;
      return Result::kBlocked;
    case SSL_ERROR_WANT_WRITE:
      wants = EPOLLOUT;
      return Result::kBlocked;
    case SSL_ERROR_ZERO_RETURN:
      return Result::kEnded;
    case SSL_ERROR_SYSCALL:
      finished_ = true;  // nothing can be said any more
      error_ = saved_errno == 0 ? "the connection was cut" : std::strerror(saved_errno);
      return Result::kFailed;
    default:
      break;
  }
  finished_ = true;
  const bool no_protocol = ERR_GET_REASON(::ERR_peek_error()) == SSL_R_NO_APPLICATION_PROTOCOL;
  const long verified = ::SSL_get_verify_result(ssl_.get());
  const absl::Status status = OpensslError("TLS");
  error_ = std::string(status.message());
  if (verified != X509_V_OK) {
    error_ = absl::StrCat("its certificate: ", ::X509_verify_cert_error_string(verified));
  }
  if (no_protocol) error_ = "no HTTP/1.1 is offered (ALPN), and secrets go into nothing else";
  return Result::kFailed;
}

TlsStream::Result TlsStream::Handshake() {
  ::ERR_clear_error();
  errno = 0;
  return Judge(::SSL_do_handshake(ssl_.get()), read_wants_);
}

TlsStream::Result TlsStream::Read(size_t max, std::string& out) {
  const size_t before = out.size();
  out.resize(before + max);
  ::ERR_clear_error();
  errno = 0;
  size_t got = 0;
  const int returned = ::SSL_read_ex(ssl_.get(), out.data() + before, max, &got);
  out.resize(before + got);
  return Judge(returned, read_wants_);
}

TlsStream::Result TlsStream::Write(absl::string_view& bytes) {
  while (!bytes.empty()) {
    ::ERR_clear_error();
    errno = 0;
    size_t written = 0;
    const int returned = ::SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written);
    const Result result = Judge(returned, write_wants_);
    if (result != Result::kDone) return result;
    bytes.remove_prefix(written);
  }
  write_wants_ = 0;
  return Result::kDone;
}

void TlsStream::Finish() {
  if (std::exchange(finished_, true)) return;
  ::ERR_clear_error();
  ::SSL_shutdown(ssl_.get());
  ::ERR_clear_error();
}

}  // namespace msb::net
