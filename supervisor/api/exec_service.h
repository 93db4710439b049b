// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb.v1.ExecService.

#ifndef MSB_SUPERVISOR_API_EXEC_SERVICE_H_
#define MSB_SUPERVISOR_API_EXEC_SERVICE_H_

#include "msb/v1/exec.grpc.pb.h"
#include "supervisor/api/service_base.h"

namespace msb {

class ExecServiceImpl final : public msb::v1::ExecService::CallbackService {
 public:
  explicit ExecServiceImpl(ApiContext api) : api_(api) {}

  grpc::ServerBidiReactor<msb::v1::ExecRequest, msb::v1::ExecResponse>* Exec(
      grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<msb::v1::ExecRequest, msb::v1::ExecResponse>* Attach(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Run(grpc::CallbackServerContext* context,
                                const msb::v1::RunRequest* request,
                                msb::v1::RunResponse* response) override;
  grpc::ServerUnaryReactor* ListExecs(grpc::CallbackServerContext* context,
                                      const msb::v1::ListExecsRequest* request,
                                      msb::v1::ListExecsResponse* response) override;
  grpc::ServerUnaryReactor* SignalExec(grpc::CallbackServerContext* context,
                                       const msb::v1::SignalExecRequest* request,
                                       msb::v1::SignalExecResponse* response) override;
  grpc::ServerUnaryReactor* ResizeExec(grpc::CallbackServerContext* context,
                                       const msb::v1::ResizeExecRequest* request,
                                       msb::v1::ResizeExecResponse* response) override;

 private:
  const ApiContext api_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_EXEC_SERVICE_H_
