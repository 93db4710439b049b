// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb.v1.SystemService.

#ifndef MSB_SUPERVISOR_API_SYSTEM_SERVICE_H_
#define MSB_SUPERVISOR_API_SYSTEM_SERVICE_H_

#include "absl/time/time.h"
#include "msb/v1/system.grpc.pb.h"
#include "supervisor/api/service_base.h"

namespace msb {

class SystemServiceImpl final : public msb::v1::SystemService::CallbackService {
 public:
  SystemServiceImpl(ApiContext api, absl::Time started_at) : api_(api), started_at_(started_at) {}

  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context,
                                    const msb::v1::GetInfoRequest* request,
                                    msb::v1::Info* response) override;
  grpc::ServerWriteReactor<msb::v1::Check>* Diagnose(
      grpc::CallbackServerContext* context, const msb::v1::DiagnoseRequest* request) override;
  grpc::ServerWriteReactor<msb::v1::Event>* WatchEvents(
      grpc::CallbackServerContext* context, const msb::v1::WatchEventsRequest* request) override;

 private:
  const ApiContext api_;
  const absl::Time started_at_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_SYSTEM_SERVICE_H_
