// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb.v1.FileService.

#ifndef MSB_SUPERVISOR_API_FILE_SERVICE_H_
#define MSB_SUPERVISOR_API_FILE_SERVICE_H_

#include "msb/v1/files.grpc.pb.h"
#include "supervisor/api/service_base.h"

namespace msb {

class FileServiceImpl final : public msb::v1::FileService::CallbackService {
 public:
  explicit FileServiceImpl(ApiContext api) : api_(api) {}

  grpc::ServerWriteReactor<msb::v1::FileChunk>* ReadFile(
      grpc::CallbackServerContext* context, const msb::v1::ReadFileRequest* request) override;
  grpc::ServerReadReactor<msb::v1::WriteFileRequest>* WriteFile(
      grpc::CallbackServerContext* context, msb::v1::WriteFileResponse* response) override;
  grpc::ServerUnaryReactor* Stat(grpc::CallbackServerContext* context,
                                 const msb::v1::StatRequest* request,
                                 msb::v1::FileInfo* response) override;
  grpc::ServerWriteReactor<msb::v1::FileInfo>* ListDirectory(
      grpc::CallbackServerContext* context, const msb::v1::ListDirectoryRequest* request) override;
  grpc::ServerUnaryReactor* MakeDirectory(grpc::CallbackServerContext* context,
                                          const msb::v1::MakeDirectoryRequest* request,
                                          msb::v1::MakeDirectoryResponse* response) override;
  grpc::ServerUnaryReactor* Remove(grpc::CallbackServerContext* context,
                                   const msb::v1::RemoveFileRequest* request,
                                   msb::v1::RemoveFileResponse* response) override;
  grpc::ServerUnaryReactor* Rename(grpc::CallbackServerContext* context,
                                   const msb::v1::RenameRequest* request,
                                   msb::v1::RenameResponse* response) override;
  grpc::ServerWriteReactor<msb::v1::WatchEvent>* WatchDirectory(
      grpc::CallbackServerContext* context, const msb::v1::WatchDirectoryRequest* request) override;
  grpc::ServerWriteReactor<msb::v1::TreeChunk>* ReadTree(
      grpc::CallbackServerContext* context, const msb::v1::ReadTreeRequest* request) override;
  grpc::ServerReadReactor<msb::v1::WriteTreeRequest>* WriteTree(
      grpc::CallbackServerContext* context, msb::v1::WriteTreeResponse* response) override;

 private:
  const ApiContext api_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_FILE_SERVICE_H_
