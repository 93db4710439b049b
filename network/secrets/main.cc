// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb-secrets --spec-fd N: the secrets of one sandbox. N gives a frame (base/frames.h) of a
// msb.net.v1.SecretsSpec, which names every other descriptor. Ends when its machine does.

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/error.h"
#include "base/event_loop.h"
#include "base/frames.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/version.h"
#include "jailer/policy/filter.h"
#include "msb/net/v1/secrets.pb.h"
#include "network/secrets/certificate_authority.h"
#include "network/secrets/secrets_server.h"
#include "network/secrets/tls_stream.h"

namespace msb::net {
namespace {

constexpr size_t kMaxCaStoreBytes = 8 << 20;

// Before anything is in memory: no core, no debugger, no /proc/PID/mem for others of this user.
absl::Status HideMemory() {
  const rlimit none{0, 0};
  MSB_RETURN_IF_ERROR(Syscall("no core files", [&] { return ::setrlimit(RLIMIT_CORE, &none); }));
  return Syscall("PR_SET_DUMPABLE", [] { return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }).status();
}

absl::StatusOr<msb::net::v1::SecretsSpec> ReadSpec(int fd) {
  const UniqueFd owned(fd);
  MSB_ASSIGN_OR_RETURN(const auto frame, ReadFrame(fd, absl::InfiniteFuture()));
  msb::net::v1::SecretsSpec spec;
  if (!frame.has_value() || !spec.ParseFromString(*frame)) {
    return MakeError(Reason::kFrameMalformed, "no SecretsSpec at the descriptor");
  }
  return spec;
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
  return MakeError(Reason::kCaStoreInvalid, "the CA store has more than 8 MiB");
}

absl::Status Run(int spec_fd) {
  MSB_RETURN_IF_ERROR(HideMemory());
  // Nothing of the host configures what happens here.
  if (::OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) != 1) {
    return OpensslError("begin OpenSSL");
  }
  MSB_ASSIGN_OR_RETURN(const msb::net::v1::SecretsSpec spec, ReadSpec(spec_fd));
  UniqueFd control(spec.control_fd());
  const UniqueFd lifetime(spec.lifetime_fd());
  const UniqueFd ca_store(spec.ca_store_fd());
  MSB_RETURN_IF_ERROR(
      Syscall("fcntl", [&] { return ::fcntl(control.get(), F_SETFL, O_NONBLOCK); }));
  MSB_ASSIGN_OR_RETURN(const std::string trusted, ReadAll(ca_store));
  MSB_ASSIGN_OR_RETURN(const SslContextPtr client, MakeClientContext(trusted));
  MSB_ASSIGN_OR_RETURN(const SslContextPtr server, MakeServerContext());
  MSB_ASSIGN_OR_RETURN(CertificateAuthority authority, CertificateAuthority::Create(spec.id()));
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop, EventLoop::Create());
  // Nothing comes there but its end.
  MSB_RETURN_IF_ERROR(
      loop->Watch(lifetime.get(), EPOLLIN | EPOLLRDHUP, [&](uint32_t) { loop->Stop(); }));
  SecretsServer served(*loop, {server.get(), client.get(), authority}, std::move(control));
  MSB_RETURN_IF_ERROR(served.Start());
  MSB_LOG(kInfo) << "msb-secrets " << Version() << " serves sandbox " << EscapeForLog(spec.id());
  MSB_RETURN_IF_ERROR(ConfineThread(SeccompPolicy::kSecrets));
  return loop->Run();
}

std::optional<int> SpecDescriptor(int argc, char** argv) {
  int fd = -1;
  if (argc != 3 || std::string(argv[1]) != "--spec-fd" || !absl::SimpleAtoi(argv[2], &fd) ||
      fd < 3) {
    return std::nullopt;
  }
  return fd;
}

}  // namespace
}  // namespace msb::net

int main(int argc, char** argv) {
  msb::InitLog("msb-secrets", msb::LogLevel::kInfo);
  const std::optional<int> spec_fd = msb::net::SpecDescriptor(argc, argv);
  if (!spec_fd.has_value()) {
    MSB_LOG(kError) << "usage: msb-secrets --spec-fd N";
    return 64;
  }
  std::signal(SIGPIPE, SIG_IGN);
  const absl::Status ended = msb::net::Run(*spec_fd);
  if (ended.ok()) {
    MSB_LOG(kInfo) << "ended: the machine has hung up";
    return 0;
  }
  MSB_LOG(kError) << "ended: " << msb::EscapeForLog(ended.message());
  return 1;
}
