// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb-secrets --spec-fd N: the secrets of one sandbox, by a msb.net.v1.SecretsSpec. Ends when its
// machine does.

#include <openssl/crypto.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/event_loop.h"
#include "base/frames.h"
#include "base/log.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unix_socket.h"
#include "base/version.h"
#include "jailer/policy/filter.h"
#include "msb/net/v1/secrets.pb.h"
#include "network/program.h"
#include "network/secrets/certificate_authority.h"
#include "network/secrets/limits.h"
#include "network/secrets/secrets_server.h"
#include "network/secrets/tls_stream.h"

namespace msb::net {
namespace {

constexpr size_t kMaxCaStoreBytes = 8 << 20;
constexpr absl::Duration kRefusalTimeout = absl::Seconds(10);

// Before anything is in memory: no core, no debugger, no /proc/PID/mem for others of this user.
absl::Status HideMemory() {
  const rlimit none{0, 0};
  MSB_RETURN_IF_ERROR(Syscall("no core files", [&] { return ::setrlimit(RLIMIT_CORE, &none); }));
  return Syscall("PR_SET_DUMPABLE", [] { return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }).status();
}

absl::StatusOr<std::string> ReadAll(const UniqueFd& file) {
  std::string text;
  char chunk[65536];
  while (text.size() <= kMaxCaStoreBytes) {
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("read the CA store", [&] {
                           return ::read(file.get(), chunk, sizeof(chunk));
                         }));
    if (got == 0) return text;
    text.append(chunk, static_cast<size_t>(got));
  }
  return MakeError(Reason::kCaStoreInvalid, "[network] ca_store has more than 8 MiB");
}

// Of a process that cannot serve: tells the daemon why, in answer to its first request.
absl::Status Refuse(const UniqueFd& control, const UniqueFd& lifetime, const absl::Status& why) {
  pollfd ready[] = {{.fd = control.get(), .events = POLLIN, .revents = 0},
                    {.fd = lifetime.get(), .events = POLLIN | POLLRDHUP, .revents = 0}};
  MSB_RETURN_IF_ERROR(Syscall("poll", [&] { return ::poll(ready, std::size(ready), -1); }));
  MSB_ASSIGN_OR_RETURN(const UniqueFd daemon, AcceptUnix(control.get(), Blocking::kYes));
  const absl::Time deadline = absl::Now() + kRefusalTimeout;
  MSB_ASSIGN_OR_RETURN(std::optional<std::string> request, ReadFrame(daemon.get(), deadline));
  if (request.has_value()) Wipe(*request);
  MSB_RETURN_IF_ERROR(WriteFrame(daemon.get(), Refusal(why).SerializeAsString(), deadline));
  return why;
}

absl::StatusOr<SslContextPtr> ClientContextOf(const UniqueFd& ca_store) {
  MSB_ASSIGN_OR_RETURN(const std::string trusted, ReadAll(ca_store));
  return MakeClientContext(trusted);
}

// 0: the default.
SecretsLimits LimitsOf(const msb::net::v1::SecretsLimits& given) {
  SecretsLimits limits;
  if (given.max_connections() != 0) limits.max_connections = given.max_connections();
  if (given.handshake_ms() != 0) {
    limits.handshake_timeout = absl::Milliseconds(given.handshake_ms());
  }
  if (given.max_head_bytes() != 0) limits.request.max_head_bytes = given.max_head_bytes();
  if (given.has_max_body_bytes()) limits.request.max_body_bytes = given.max_body_bytes();
  if (given.max_value_bytes() != 0) limits.request.max_value_bytes = given.max_value_bytes();
  return limits;
}

absl::Status Run(UniqueFd spec_fd) {
  MSB_RETURN_IF_ERROR(HideMemory());
  // Nothing of the host configures what happens here.
  if (::OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) != 1) {
    return OpensslError("begin OpenSSL");
  }
  MSB_ASSIGN_OR_RETURN(const auto spec, ReadSpec<msb::net::v1::SecretsSpec>(std::move(spec_fd)));
  UniqueFd control(spec.control_fd());
  const UniqueFd lifetime(spec.lifetime_fd());
  const UniqueFd ca_store(spec.ca_store_fd());
  MSB_RETURN_IF_ERROR(SetNonBlocking(control));
  const absl::StatusOr<SslContextPtr> client = ClientContextOf(ca_store);
  if (!client.ok()) return Refuse(control, lifetime, client.status());
  MSB_ASSIGN_OR_RETURN(const SslContextPtr server, MakeServerContext());
  MSB_ASSIGN_OR_RETURN(CertificateAuthority authority, CertificateAuthority::Create(spec.id()));
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop, EventLoop::Create());
  // Nothing comes there but its end.
  MSB_RETURN_IF_ERROR(
      loop->Watch(lifetime.get(), EPOLLIN | EPOLLRDHUP, [&](uint32_t) { loop->Stop(); }));
  SecretsServer served(*loop, {server.get(), client->get(), authority}, LimitsOf(spec.limits()),
                       std::move(control));
  MSB_RETURN_IF_ERROR(served.Start());
  MSB_LOG(kInfo) << "msb-secrets " << Version() << " serves sandbox " << EscapeForLog(spec.id());
  MSB_RETURN_IF_ERROR(ConfineThread(SeccompPolicy::kSecrets));
  return loop->Run();
}

}  // namespace
}  // namespace msb::net

int main(int argc, char** argv) {
  return msb::net::RunProgram({.name = "msb-secrets", .run = msb::net::Run}, argc, argv);
}
