// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb.v1.SandboxService.

#ifndef MSB_SUPERVISOR_API_SANDBOX_SERVICE_H_
#define MSB_SUPERVISOR_API_SANDBOX_SERVICE_H_

#include "msb/v1/sandbox.grpc.pb.h"
#include "supervisor/api/secret_messages.h"
#include "supervisor/api/service_base.h"

namespace msb {

class SandboxServiceImpl final : public msb::v1::SandboxService::CallbackService {
 public:
  explicit SandboxServiceImpl(ApiContext api);

  grpc::ServerUnaryReactor* Create(grpc::CallbackServerContext* context,
                                   const msb::v1::CreateRequest* request,
                                   msb::v1::Sandbox* response) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context,
                                const msb::v1::GetRequest* request,
                                msb::v1::Sandbox* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const msb::v1::ListRequest* request,
                                 msb::v1::ListResponse* response) override;
  grpc::ServerUnaryReactor* Start(grpc::CallbackServerContext* context,
                                  const msb::v1::StartRequest* request,
                                  msb::v1::Sandbox* response) override;
  grpc::ServerUnaryReactor* Stop(grpc::CallbackServerContext* context,
                                 const msb::v1::StopRequest* request,
                                 msb::v1::Sandbox* response) override;
  grpc::ServerUnaryReactor* Pause(grpc::CallbackServerContext* context,
                                  const msb::v1::PauseRequest* request,
                                  msb::v1::Sandbox* response) override;
  grpc::ServerUnaryReactor* Resume(grpc::CallbackServerContext* context,
                                   const msb::v1::ResumeRequest* request,
                                   msb::v1::Sandbox* response) override;
  grpc::ServerUnaryReactor* Remove(grpc::CallbackServerContext* context,
                                   const msb::v1::RemoveRequest* request,
                                   msb::v1::RemoveResponse* response) override;
  grpc::ServerUnaryReactor* Wait(grpc::CallbackServerContext* context,
                                 const msb::v1::WaitRequest* request,
                                 msb::v1::Sandbox* response) override;
  grpc::ServerUnaryReactor* Update(grpc::CallbackServerContext* context,
                                   const msb::v1::UpdateRequest* request,
                                   msb::v1::Sandbox* response) override;
  grpc::ServerWriteReactor<msb::v1::LogsChunk>* Logs(grpc::CallbackServerContext* context,
                                                     const msb::v1::LogsRequest* request) override;
  grpc::ServerWriteReactor<msb::v1::Metrics>* GetMetrics(
      grpc::CallbackServerContext* context, const msb::v1::GetMetricsRequest* request) override;

 private:
  const ApiContext api_;
  SecretMessages<msb::v1::CreateRequest, msb::v1::Sandbox> create_messages_;
  SecretMessages<msb::v1::StartRequest, msb::v1::Sandbox> start_messages_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_SANDBOX_SERVICE_H_
