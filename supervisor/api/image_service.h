// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb.v1.ImageService.

#ifndef MSB_SUPERVISOR_API_IMAGE_SERVICE_H_
#define MSB_SUPERVISOR_API_IMAGE_SERVICE_H_

#include "msb/v1/image.grpc.pb.h"
#include "supervisor/api/service_base.h"

namespace msb {

class ImageServiceImpl final : public msb::v1::ImageService::CallbackService {
 public:
  explicit ImageServiceImpl(ApiContext api) : api_(api) {}

  grpc::ServerWriteReactor<msb::v1::PullImageResponse>* Pull(
      grpc::CallbackServerContext* context, const msb::v1::PullImageRequest* request) override;
  grpc::ServerReadReactor<msb::v1::LoadImageRequest>* Load(
      grpc::CallbackServerContext* context, msb::v1::LoadImageResponse* response) override;
  grpc::ServerWriteReactor<msb::v1::SaveImageResponse>* Save(
      grpc::CallbackServerContext* context, const msb::v1::SaveImageRequest* request) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const msb::v1::ListImagesRequest* request,
                                 msb::v1::ListImagesResponse* response) override;
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context,
                                const msb::v1::GetImageRequest* request,
                                msb::v1::Image* response) override;
  grpc::ServerUnaryReactor* Remove(grpc::CallbackServerContext* context,
                                   const msb::v1::RemoveImageRequest* request,
                                   msb::v1::RemoveImageResponse* response) override;
  grpc::ServerUnaryReactor* Tag(grpc::CallbackServerContext* context,
                                const msb::v1::TagImageRequest* request,
                                msb::v1::Image* response) override;
  grpc::ServerUnaryReactor* Prune(grpc::CallbackServerContext* context,
                                  const msb::v1::PruneImagesRequest* request,
                                  msb::v1::PruneImagesResponse* response) override;

 private:
  const ApiContext api_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_IMAGE_SERVICE_H_
