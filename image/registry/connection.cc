// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/connection.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "image/registry/retry.h"

namespace msb::image {
namespace {

constexpr int kMaxAddresses = 4;

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

absl::Status Failure(absl::string_view what) { return MakeError(Reason::kImagePullFailed, what); }

absl::StatusOr<AddressList> LookUp(const Url& url) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(url.host.c_str(), absl::StrCat(url.port).c_str(), &wanted, &found);
  if (error == 0) return AddressList(found, &::freeaddrinfo);
  if (error == EAI_AGAIN) {
    return Transient(Failure(absl::StrCat("the name ", url.host,
                                          " cannot be looked up: no name server answers; check "
                                          "this host's /etc/resolv.conf and network")));
  }
  return Failure(absl::StrCat("the name ", url.host, " is not known to this host's DNS (",
                              ::gai_strerror(error), "): check the name of the registry"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const Url& url, Reach allowed,
                                                             absl::Duration timeout,
                                                             const TlsContext& tls,
                                                             const Cancellation& cancellation) {
  MSB_ASSIGN_OR_RETURN(const AddressList addresses, LookUp(url));
  absl::Status last = Failure(absl::StrCat("the name ", url.host, " has no address"));
  int tried = 0;
  for (const addrinfo* address = addresses.get(); address != nullptr && tried < kMaxAddresses;
       address = address->ai_next) {
    const Reach reach = ReachOf(*address->ai_addr);
    if (!MayConnect(allowed, reach)) {
      last = Failure(absl::StrCat(
          url.host, " is at ", NumericName(*address->ai_addr),
          reach == Reach::kForbidden
              ? ", a link-local or special address, which is never connected to"
              : ", which is nearer to this host than the registry that named it: refused"));
      continue;
    }
    ++tried;
    std::unique_ptr<Connection> connection(new Connection(url, cancellation));
    connection->reach_ = reach;
    const absl::Time deadline = absl::Now() + timeout;
    last = connection->ConnectTo(*address, deadline);
    if (last.ok() && url.tls) last = connection->StartTls(tls, deadline);
    if (last.ok()) return connection;
    if (absl::IsCancelled(last)) return last;
  }
  return last;
}

Connection::~Connection() {
  if (ssl_ != nullptr) SSL_free(ssl_);
}

absl::Status Connection::Broken(absl::string_view what) const {
  return Transient(Failure(absl::StrCat(url_.Authority(), ": ", what)));
}

absl::Status Connection::WaitFor(short events, absl::Time deadline) {
  while (true) {
    const int64_t left =
        absl::ToInt64Milliseconds(absl::Ceil(deadline - absl::Now(), absl::Milliseconds(1)));
    pollfd watched[] = {{.fd = socket_.get(), .events = events, .revents = 0},
                        {.fd = cancellation_.fd(), .events = POLLIN, .revents = 0}};
    const int ready = ::poll(watched, 2, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30)));
    if (ready > 0 && watched[1].revents != 0) return absl::CancelledError("cancelled");
    if (ready > 0) return absl::OkStatus();
    if (ready == 0 && absl::Now() >= deadline) {
      return Broken("no answer in time; is the network slow, or a firewall in between?");
    }
  }
}

absl::Status Connection::ConnectTo(const addrinfo& address, absl::Time deadline) {
  socket_ = UniqueFd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket_.get() < 0) return Broken(absl::StrCat("socket: ", std::strerror(errno)));
  const int on = 1;
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  int error = 0;
  if (::connect(socket_.get(), address.ai_addr, address.ai_addrlen) != 0) {
    error = errno;
    if (error == EINPROGRESS) {
      MSB_RETURN_IF_ERROR(WaitFor(POLLOUT, deadline));
      socklen_t length = sizeof error;
      ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    }
  }
  if (error == 0) return absl::OkStatus();
  return Broken(absl::StrCat("cannot connect to ", NumericName(*address.ai_addr), " port ",
                             url_.port, ": ", std::strerror(error)));
}

absl::Status Connection::StartTls(const TlsContext& tls, absl::Time deadline) {
  ssl_ = SSL_new(tls.get());
  MSB_CHECK(ssl_ != nullptr);
  SSL_set_fd(ssl_, socket_.get());
  in6_addr numeric{};
  if (::inet_pton(AF_INET, url_.host.c_str(), &numeric) == 1 ||
      ::inet_pton(AF_INET6, url_.host.c_str(), &numeric) == 1) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), url_.host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl_, url_.host.c_str());
    SSL_set1_host(ssl_, url_.host.c_str());
  }
  while (true) {
    ERR_clear_error();
    const int result = SSL_connect(ssl_);
    if (result == 1) return absl::OkStatus();
    const int error = SSL_get_error(ssl_, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      return TlsFailure(tls, error);
    }
    MSB_RETURN_IF_ERROR(WaitFor(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline));
  }
}

absl::Status Connection::TlsFailure(const TlsContext& tls, int error) {
  const long verdict = SSL_get_verify_result(ssl_);  // NOLINT: OpenSSL's type
  if (tls.verifies() && verdict != X509_V_OK) {
    ERR_clear_error();
    return Failure(absl::StrCat(
        "TLS: the certificate of ", url_.Authority(),
        " is not trusted: ", X509_verify_cert_error_string(verdict),
        tls.has_host_roots() ? "; name its CA in the registry's settings if it is right"
                             : "; this host has no CA certificates: install ca-certificates"));
  }
  if (error == SSL_ERROR_SYSCALL || error == SSL_ERROR_ZERO_RETURN) {
    ERR_clear_error();
    return Broken("the connection broke while TLS was agreed upon");
  }
  const bool plain = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_WRONG_VERSION_NUMBER ||
                     ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_HTTP_REQUEST;
  return Failure(absl::StrCat(
      "TLS: ", url_.Authority(), ": ", TakeTlsError(),
      plain ? "; a registry that speaks plain HTTP must be allowed to by its settings" : ""));
}

absl::Status Connection::AfterTls(int result, absl::Time deadline) {
  const int error = SSL_get_error(ssl_, result);
  if (error == SSL_ERROR_WANT_READ) return WaitFor(POLLIN, deadline);
  if (error == SSL_ERROR_WANT_WRITE) return WaitFor(POLLOUT, deadline);
  return Broken(absl::StrCat("the connection broke: ",
                             error == SSL_ERROR_SYSCALL ? std::strerror(errno) : TakeTlsError()));
}

absl::StatusOr<size_t> Connection::Read(absl::Span<char> buffer, absl::Time deadline) {
  while (true) {
    if (ssl_ != nullptr) {
      ERR_clear_error();
      size_t count = 0;
      const int result = SSL_read_ex(ssl_, buffer.data(), buffer.size(), &count);
      if (result == 1) return count;
      if (SSL_get_error(ssl_, result) == SSL_ERROR_ZERO_RETURN) return 0;
      MSB_RETURN_IF_ERROR(AfterTls(result, deadline));
      continue;
    }
    const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (count >= 0) return static_cast<size_t>(count);
    if (errno == EINTR) continue;
    if (errno != EAGAIN)
      return Broken(absl::StrCat("the connection broke: ", std::strerror(errno)));
    MSB_RETURN_IF_ERROR(WaitFor(POLLIN, deadline));
  }
}

absl::Status Connection::Write(absl::string_view bytes, absl::Time deadline) {
  while (!bytes.empty()) {
    if (ssl_ != nullptr) {
      ERR_clear_error();
      size_t count = 0;
      const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &count);
      if (result == 1) {
        bytes.remove_prefix(count);
      } else {
        MSB_RETURN_IF_ERROR(AfterTls(result, deadline));
      }
      continue;
    }
    const ssize_t count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count >= 0) {
      bytes.remove_prefix(static_cast<size_t>(count));
    } else if (errno == EAGAIN) {
      MSB_RETURN_IF_ERROR(WaitFor(POLLOUT, deadline));
    } else if (errno != EINTR) {
      return Broken(absl::StrCat("the connection broke: ", std::strerror(errno)));
    }
  }
  return absl::OkStatus();
}

}  // namespace msb::image
