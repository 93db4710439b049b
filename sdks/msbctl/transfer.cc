// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/transfer.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "base/status_macros.h"
#include "sdks/msbctl/direct_transfer.h"

namespace msb {
namespace {

using msb::v1::OpenTransferRequest;

void SetEntry(msb::v1::WriteFileRequest&, const msb::v1::TreeEntry&) {}
void SetEntry(msb::v1::WriteTreeRequest& request, const msb::v1::TreeEntry& entry) {
  *request.mutable_entry() = entry;
}

// By a call of FileService.
template <typename Request, typename Response>
class CallUpload final : public Upload {
 public:
  template <typename Begin, typename Open>
  CallUpload(Client& client, const Begin& begin, const Open& open)
      : context_(client.NewContext()), writer_(begin(context_.get(), &response_)) {
    *request_.mutable_open() = open;
    writer_->Write(request_);
  }

  bool Entry(const msb::v1::TreeEntry& entry) override {
    SetEntry(request_, entry);
    return takes_more_ = writer_->Write(request_);
  }
  // The string goes into the message and comes back, so that no byte is copied.
  bool Data(std::string& data) override {
    content_.mutable_data()->swap(data);
    takes_more_ = writer_->Write(content_);
    content_.mutable_data()->swap(data);
    return takes_more_;
  }
  absl::Status Finish(const absl::Status& read) override {
    const bool failed_here = !read.ok() && takes_more_;
    if (failed_here) context_->TryCancel();
    writer_->WritesDone();
    const grpc::Status status = writer_->Finish();
    return failed_here ? read : Client::Outcome(status, *context_);
  }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  Response response_;
  const std::unique_ptr<grpc::ClientWriter<Request>> writer_;
  Request request_;
  Request content_;
  bool takes_more_ = true;
};

class CallDownload final : public Download {
 public:
  CallDownload(Client& client, const msb::v1::ReadTreeRequest& request)
      : context_(client.NewContext()), reader_(client.files().ReadTree(context_.get(), request)) {}
  ~CallDownload() override {
    if (!ended_) context_->TryCancel();
  }

  absl::StatusOr<Chunk> Next() override {
    while (reader_->Read(&chunk_)) {
      if (chunk_.has_entry()) return Chunk{.entry = &chunk_.entry()};
      if (!chunk_.data().empty()) return Chunk{.data = chunk_.data()};
    }
    ended_ = true;
    MSB_RETURN_IF_ERROR(Client::Outcome(reader_->Finish(), *context_));
    return Chunk();
  }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<grpc::ClientReader<msb::v1::TreeChunk>> reader_;
  msb::v1::TreeChunk chunk_;
  bool ended_ = false;
};

// Past the daemon; null where that cannot be.
absl::StatusOr<std::unique_ptr<Upload>> UploadDirectly(const Client& client,
                                                       OpenTransferRequest request) {
  MSB_ASSIGN_OR_RETURN(std::unique_ptr<DirectTransfer> direct,
                       DirectTransfer::Open(client.endpoint(), std::move(request)));
  if (direct == nullptr) return nullptr;
  return NewDirectUpload(std::move(direct));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Upload>> Upload::File(Client& client,
                                                     const msb::v1::WriteFileOpen& open) {
  OpenTransferRequest request;
  *request.mutable_write_file() = open;
  MSB_ASSIGN_OR_RETURN(std::unique_ptr<Upload> direct, UploadDirectly(client, std::move(request)));
  if (direct != nullptr) return direct;
  return std::make_unique<CallUpload<msb::v1::WriteFileRequest, msb::v1::WriteFileResponse>>(
      client,
      [&](auto* context, auto* response) { return client.files().WriteFile(context, response); },
      open);
}

absl::StatusOr<std::unique_ptr<Upload>> Upload::Tree(Client& client,
                                                     const msb::v1::WriteTreeOpen& open) {
  OpenTransferRequest request;
  *request.mutable_write_tree() = open;
  MSB_ASSIGN_OR_RETURN(std::unique_ptr<Upload> direct, UploadDirectly(client, std::move(request)));
  if (direct != nullptr) return direct;
  return std::make_unique<CallUpload<msb::v1::WriteTreeRequest, msb::v1::WriteTreeResponse>>(
      client,
      [&](auto* context, auto* response) { return client.files().WriteTree(context, response); },
      open);
}

absl::StatusOr<std::unique_ptr<Download>> Download::Tree(Client& client,
                                                         const msb::v1::ReadTreeRequest& read) {
  OpenTransferRequest request;
  *request.mutable_read_tree() = read;
  MSB_ASSIGN_OR_RETURN(std::unique_ptr<DirectTransfer> direct,
                       DirectTransfer::Open(client.endpoint(), std::move(request)));
  if (direct != nullptr) return NewDirectDownload(std::move(direct));
  return std::make_unique<CallDownload>(client, read);
}

}  // namespace msb
