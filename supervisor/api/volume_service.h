// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb.v1.VolumeService.

#ifndef MSB_SUPERVISOR_API_VOLUME_SERVICE_H_
#define MSB_SUPERVISOR_API_VOLUME_SERVICE_H_

#include "msb/v1/volume.grpc.pb.h"
#include "supervisor/api/service_base.h"

namespace msb {

class VolumeServiceImpl final : public msb::v1::VolumeService::CallbackService {
 public:
  explicit VolumeServiceImpl(ApiContext api) : api_(api) {}

  grpc::ServerUnaryReactor* Create(grpc::CallbackServerContext* context,
                                   const msb::v1::CreateVolumeRequest* request,
                                   msb::v1::Volume* response) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context,
                                const msb::v1::GetVolumeRequest* request,
                                msb::v1::Volume* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const msb::v1::ListVolumesRequest* request,
                                 msb::v1::ListVolumesResponse* response) override;
  grpc::ServerUnaryReactor* Remove(grpc::CallbackServerContext* context,
                                   const msb::v1::RemoveVolumeRequest* request,
                                   msb::v1::RemoveVolumeResponse* response) override;

 private:
  const ApiContext api_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_VOLUME_SERVICE_H_
