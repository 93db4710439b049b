// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/volume_service.h"

#include <utility>

namespace msb {
namespace {

namespace api = msb::v1;

Volumes::OnVolume AnswerWithVolume(api::Volume* response, UnaryDone done) {
  return [response, done = std::move(done)](absl::StatusOr<api::Volume> volume) {
    if (volume.ok()) *response = *std::move(volume);
    done(volume.status());
  };
}

}  // namespace

grpc::ServerUnaryReactor* VolumeServiceImpl::Create(grpc::CallbackServerContext* context,
                                                    const api::CreateVolumeRequest* request,
                                                    api::Volume* response) {
  return Unary(api_, context, [&](Caller caller, UnaryDone done) {
    api_.registry.volumes().Create(std::move(caller), *request,
                                   AnswerWithVolume(response, std::move(done)));
  });
}

grpc::ServerUnaryReactor* VolumeServiceImpl::Get(grpc::CallbackServerContext* context,
                                                 const api::GetVolumeRequest* request,
                                                 api::Volume* response) {
  return Unary(api_, context, [&](Caller caller, UnaryDone done) {
    api_.registry.volumes().Get(std::move(caller), request->name(),
                                AnswerWithVolume(response, std::move(done)));
  });
}

grpc::ServerUnaryReactor* VolumeServiceImpl::List(grpc::CallbackServerContext* context,
                                                  const api::ListVolumesRequest*,
                                                  api::ListVolumesResponse* response) {
  return Unary(api_, context, [&](Caller caller, UnaryDone done) {
    api_.registry.volumes().List(std::move(caller),
                                 [response, done = std::move(done)](api::ListVolumesResponse list) {
                                   *response = std::move(list);
                                   done(absl::OkStatus());
                                 });
  });
}

grpc::ServerUnaryReactor* VolumeServiceImpl::Remove(grpc::CallbackServerContext* context,
                                                    const api::RemoveVolumeRequest* request,
                                                    api::RemoveVolumeResponse*) {
  return Unary(api_, context, [&](Caller caller, UnaryDone done) {
    api_.registry.volumes().Remove(std::move(caller), request->name(), std::move(done));
  });
}

}  // namespace msb
