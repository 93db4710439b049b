// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb.v1.NetworkService.

#ifndef MSB_SUPERVISOR_API_NETWORK_SERVICE_H_
#define MSB_SUPERVISOR_API_NETWORK_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "msb/v1/network.grpc.pb.h"
#include "supervisor/api/secret_messages.h"
#include "supervisor/api/service_base.h"

namespace msb {

class NetworkServiceImpl final : public msb::v1::NetworkService::CallbackService {
 public:
  explicit NetworkServiceImpl(const ApiContext& api);

  grpc::ServerUnaryReactor* GetNetwork(grpc::CallbackServerContext* context,
                                       const msb::v1::GetNetworkRequest* request,
                                       msb::v1::NetworkStatus* response) override;
  grpc::ServerUnaryReactor* UpdateNetwork(grpc::CallbackServerContext* context,
                                          const msb::v1::UpdateNetworkRequest* request,
                                          msb::v1::NetworkStatus* response) override;
  grpc::ServerUnaryReactor* PublishPort(grpc::CallbackServerContext* context,
                                        const msb::v1::PublishPortRequest* request,
                                        msb::v1::PublishedPort* response) override;
  grpc::ServerUnaryReactor* UnpublishPort(grpc::CallbackServerContext* context,
                                          const msb::v1::UnpublishPortRequest* request,
                                          msb::v1::UnpublishPortResponse* response) override;
  grpc::ServerUnaryReactor* RestartNetwork(grpc::CallbackServerContext* context,
                                           const msb::v1::RestartNetworkRequest* request,
                                           msb::v1::RestartNetworkResponse* response) override;
  grpc::ServerUnaryReactor* UpdateSecrets(grpc::CallbackServerContext* context,
                                          const msb::v1::UpdateSecretsRequest* request,
                                          msb::v1::UpdateSecretsResponse* response) override;
  grpc::ServerUnaryReactor* CreatePrivateNetwork(
      grpc::CallbackServerContext* context, const msb::v1::CreatePrivateNetworkRequest* request,
      msb::v1::PrivateNetwork* response) override;
  grpc::ServerUnaryReactor* ListPrivateNetworks(
      grpc::CallbackServerContext* context, const msb::v1::ListPrivateNetworksRequest* request,
      msb::v1::ListPrivateNetworksResponse* response) override;
  grpc::ServerUnaryReactor* RemovePrivateNetwork(
      grpc::CallbackServerContext* context, const msb::v1::RemovePrivateNetworkRequest* request,
      msb::v1::RemovePrivateNetworkResponse* response) override;
  grpc::ServerWriteReactor<msb::v1::NetworkEvent>* WatchNetwork(
      grpc::CallbackServerContext* context, const msb::v1::WatchNetworkRequest* request) override;

 private:
  const ApiContext api_;
  SecretMessages<msb::v1::UpdateSecretsRequest, msb::v1::UpdateSecretsResponse> secret_messages_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_NETWORK_SERVICE_H_
