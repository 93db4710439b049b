// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The connection to the daemon, and what its answers become here.

#ifndef MSB_SDKS_MSBCTL_CLIENT_H_
#define MSB_SDKS_MSBCTL_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "msb/v1/exec.grpc.pb.h"
#include "msb/v1/files.grpc.pb.h"
#include "msb/v1/image.grpc.pb.h"
#include "msb/v1/network.grpc.pb.h"
#include "msb/v1/sandbox.grpc.pb.h"
#include "msb/v1/system.grpc.pb.h"
#include "msb/v1/volume.grpc.pb.h"

namespace msb {

inline constexpr char kDefaultSocket[] = "/run/microsandbox/msbd.sock";

// Where the daemon is: a Unix socket's path, or "host:port" with a bearer token.
struct Endpoint {
  std::string socket = kDefaultSocket;
  std::string address;     // when set, instead of the socket
  std::string token_file;  // for `address`
};

class Client {
 public:
  // kDaemonUnreachable or kPermissionDenied, with what to do, before any call is made.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const Endpoint& endpoint);

  const Endpoint& endpoint() const { return endpoint_; }
  msb::v1::SandboxService::Stub& sandboxes() { return *sandboxes_; }
  msb::v1::ExecService::Stub& execs() { return *execs_; }
  msb::v1::FileService::Stub& files() { return *files_; }
  msb::v1::ImageService::Stub& images() const { return *images_; }
  msb::v1::NetworkService::Stub& networks() { return *networks_; }
  msb::v1::SystemService::Stub& system() const { return *system_; }
  msb::v1::VolumeService::Stub& volumes() { return *volumes_; }

  // A context with the credentials of this connection.
  std::unique_ptr<grpc::ClientContext> NewContext() const;

  // The outcome of a finished call: status and the reason in its trailing metadata.
  static absl::Status Outcome(const grpc::Status& status, const grpc::ClientContext& context);

  // Calls one method of one answer: client.Call(&client.sandboxes(), &Stub::Get, request).
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) const {
    const std::unique_ptr<grpc::ClientContext> context = NewContext();
    Response response;
    const grpc::Status status = (stub.*method)(context.get(), request, &response);
    if (!status.ok()) return Outcome(status, *context);
    return response;
  }

 private:
  Client(Endpoint endpoint, const std::shared_ptr<grpc::Channel>& channel, std::string token);

  const Endpoint endpoint_;
  std::string token_;
  std::unique_ptr<msb::v1::SandboxService::Stub> sandboxes_;
  std::unique_ptr<msb::v1::ExecService::Stub> execs_;
  std::unique_ptr<msb::v1::FileService::Stub> files_;
  std::unique_ptr<msb::v1::ImageService::Stub> images_;
  std::unique_ptr<msb::v1::NetworkService::Stub> networks_;
  std::unique_ptr<msb::v1::SystemService::Stub> system_;
  std::unique_ptr<msb::v1::VolumeService::Stub> volumes_;
};

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_CLIENT_H_
