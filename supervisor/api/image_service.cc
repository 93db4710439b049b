// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/image_service.h"

#include <utility>

#include "supervisor/api/archive_calls.h"
#include "supervisor/api/pull_call.h"

namespace msb {
namespace {

namespace api = msb::v1;

// A call of one answer that reads or deletes files: `body(images, caller)` runs on a worker.
template <typename Response, typename Body>
grpc::ServerUnaryReactor* Blocking(const ApiContext& house, grpc::CallbackServerContext* context,
                                   Response* response, Body body) {
  return Unary(house, context, [&](const Caller& caller, const UnaryDone& done) {
    const SandboxContext& sandboxes = house.registry.context();
    sandboxes.workers.Run([&sandboxes, caller, done, response, body = std::move(body)] {
      absl::StatusOr<Response> result = body(sandboxes.images, caller);
      if (result.ok()) *response = *std::move(result);
      done(result.status());
    });
  });
}

}  // namespace

grpc::ServerWriteReactor<api::PullImageResponse>* ImageServiceImpl::Pull(
    grpc::CallbackServerContext* context, const api::PullImageRequest* request) {
  return PullCall::Begin(api_, *context, *request);
}

grpc::ServerReadReactor<api::LoadImageRequest>* ImageServiceImpl::Load(
    grpc::CallbackServerContext* context, api::LoadImageResponse* response) {
  return LoadCall::Begin(api_, *context, response);
}

grpc::ServerWriteReactor<api::SaveImageResponse>* ImageServiceImpl::Save(
    grpc::CallbackServerContext* context, const api::SaveImageRequest* request) {
  return SaveCall::Begin(api_, *context, *request);
}

grpc::ServerUnaryReactor* ImageServiceImpl::List(grpc::CallbackServerContext* context,
                                                 const api::ListImagesRequest*,
                                                 api::ListImagesResponse* response) {
  return Blocking(
      api_, context, response,
      [](Images& images, const Caller& caller) -> absl::StatusOr<api::ListImagesResponse> {
        return images.catalog().List(caller);
      });
}

grpc::ServerUnaryReactor* ImageServiceImpl::Get(grpc::CallbackServerContext* context,
                                                const api::GetImageRequest* request,
                                                api::Image* response) {
  return Blocking(api_, context, response,
                  [image = request->image()](Images& images, const Caller& caller) {
                    return images.Inspect(caller, image);
                  });
}

grpc::ServerUnaryReactor* ImageServiceImpl::Remove(grpc::CallbackServerContext* context,
                                                   const api::RemoveImageRequest* request,
                                                   api::RemoveImageResponse* response) {
  return Blocking(api_, context, response,
                  [image = request->image()](Images& images, const Caller& caller) {
                    return images.catalog().Remove(caller, image);
                  });
}

grpc::ServerUnaryReactor* ImageServiceImpl::Tag(grpc::CallbackServerContext* context,
                                                const api::TagImageRequest* request,
                                                api::Image* response) {
  return Blocking(
      api_, context, response,
      [image = request->image(), name = request->name()](Images& images, const Caller& caller) {
        return images.catalog().Tag(caller, image, name);
      });
}

grpc::ServerUnaryReactor* ImageServiceImpl::Prune(grpc::CallbackServerContext* context,
                                                  const api::PruneImagesRequest* request,
                                                  api::PruneImagesResponse* response) {
  return Blocking(api_, context, response,
                  [all = request->all()](Images& images, const Caller& caller) {
                    return images.catalog().Prune(caller, all);
                  });
}

}  // namespace msb
