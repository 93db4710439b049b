// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/api/authenticator.h"
#include "supervisor/api/exec_service.h"
#include "supervisor/api/file_service.h"
#include "supervisor/api/image_service.h"
#include "supervisor/api/network_service.h"
#include "supervisor/api/sandbox_service.h"
#include "supervisor/api/service_base.h"
#include "supervisor/api/system_service.h"
#include "supervisor/api/unix_listener.h"
#include "supervisor/api/volume_service.h"

namespace msb {
namespace {

// A chunk of data is at most 1 MiB; a Run brings up to 16 MiB of input.
constexpr int kMaxMessageBytes = 20 << 20;
// Fewer, larger frames: the peer is on this host.
constexpr int kHttp2FrameBytes = 256 * 1024;
constexpr int kKeepaliveMilliseconds = 60'000;

// The connection is not encrypted: what other hosts could read is refused.
absl::Status CheckLoopback(const std::string& address) {
  const std::string host = address.substr(0, address.rfind(':'));
  if (host == "127.0.0.1" || host == "[::1]" || host == "localhost") return absl::OkStatus();
  return MakeError(Reason::kConfigInvalid,
                   absl::StrCat("daemon.tcp_address ", address,
                                " is not on loopback: 127.0.0.1:PORT, [::1]:PORT, or empty"));
}

class GrpcApiServer final : public ApiServer {
 public:
  GrpcApiServer(const Config& config, Registry& registry, std::string token)
      : config_(config),
        authenticator_(std::move(token), config.daemon.socket_group,
                       config.limits.max_connections_per_user),
        context_{authenticator_, registry},
        sandboxes_(context_),
        execs_(context_),
        files_(context_),
        images_(context_),
        networks_(context_),
        system_(context_, absl::Now()),
        volumes_(context_) {}
  ~GrpcApiServer() override { Shutdown(); }

  absl::Status Start() {
    grpc::ServerBuilder builder;
    for (grpc::Service* service : std::initializer_list<grpc::Service*>{
             &sandboxes_, &execs_, &files_, &images_, &networks_, &system_, &volumes_}) {
      builder.RegisterService(service);
    }
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    builder.SetMaxSendMessageSize(-1);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                               static_cast<int>(config_.limits.max_calls_per_connection));
    // What a client may send of one call's data before it is read.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                               static_cast<int>(config_.limits.stream_window_kib * 1024));
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kHttp2FrameBytes);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    int port = -1;
    const std::string& address = config_.daemon.tcp_address;
    if (!address.empty()) {
      MSB_RETURN_IF_ERROR(CheckLoopback(address));
      builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
    }
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      return MakeError(Reason::kHostError,
                       absl::StrCat("cannot listen on ", address,
                                    ": another program may have it (daemon.tcp_address)"));
    }
    MSB_ASSIGN_OR_RETURN(listener_,
                         UnixListener::Start(config_.daemon.socket, *server_, context_));
    MSB_LOG(kInfo) << "listening on " << config_.daemon.socket
                   << (address.empty() ? "" : " and " + address);
    return absl::OkStatus();
  }

  void Shutdown() override {
    listener_.reset();
    if (server_ == nullptr) return;
    // gRPC ends streams at the deadline; a call of one answer must be answered by who works on it.
    context_.registry.EndCalls(config_.daemon.shutdown_grace);
    server_->Shutdown(std::chrono::system_clock::now() +
                      absl::ToChronoNanoseconds(config_.daemon.shutdown_grace));
    server_->Wait();
    server_.reset();
  }

 private:
  const Config& config_;
  Authenticator authenticator_;
  const ApiContext context_;
  SandboxServiceImpl sandboxes_;
  ExecServiceImpl execs_;
  FileServiceImpl files_;
  ImageServiceImpl images_;
  NetworkServiceImpl networks_;
  SystemServiceImpl system_;
  VolumeServiceImpl volumes_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<UnixListener> listener_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(const Config& config,
                                                            Registry& registry) {
  std::string token;
  if (!config.daemon.tcp_address.empty()) {
    MSB_ASSIGN_OR_RETURN(token,
                         LoadOrMakeToken(config.daemon.token_file, config.daemon.socket_group));
  }
  auto server = std::make_unique<GrpcApiServer>(config, registry, std::move(token));
  MSB_RETURN_IF_ERROR(server->Start());
  return server;
}

}  // namespace msb
