// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/file_service.h"

#include <utility>

#include "supervisor/api/file_calls.h"
#include "supervisor/api/file_convert.h"

namespace msb {
namespace {

namespace api = msb::v1;
namespace wire = msb::agent::v1;

// An operation that answers with nothing but its success.
grpc::ServerUnaryReactor* ForEffect(const ApiContext& house, grpc::CallbackServerContext* context,
                                    const std::string& sandbox, wire::Open open) {
  return UnaryOn(house, context, sandbox,
                 [open = std::move(open)](const SandboxPtr& found, const UnaryDone& done) {
                   OneAnswer::Ask(found, open, nullptr, done);
                 });
}

}  // namespace

grpc::ServerWriteReactor<api::FileChunk>* FileServiceImpl::ReadFile(
    grpc::CallbackServerContext* context, const api::ReadFileRequest* request) {
  return GuestReadCall<api::FileChunk>::Begin(
      api_, *context, request->sandbox(), OpenOf(*request),
      [](const wire::AgentFrame& frame) -> std::optional<api::FileChunk> {
        if (frame.data().empty()) return std::nullopt;
        api::FileChunk chunk;
        chunk.set_data(frame.data());
        return chunk;
      });
}

grpc::ServerReadReactor<api::WriteFileRequest>* FileServiceImpl::WriteFile(
    grpc::CallbackServerContext* context, api::WriteFileResponse* response) {
  return GuestWriteCall<api::WriteFileRequest>::Begin(
      api_, *context,
      {.open_of = [](const api::WriteFileRequest& request) -> std::optional<wire::Open> {
         if (!request.has_open()) return std::nullopt;
         return OpenOf(request.open());
       },
       .frame_of = [](api::WriteFileRequest& request) -> std::optional<wire::HostFrame> {
         if (request.has_open()) return std::nullopt;
         wire::HostFrame frame;
         frame.set_data(std::move(*request.mutable_data()));
         return frame;
       },
       .on_done = [response](const wire::Done& done) { response->set_bytes(done.bytes()); }});
}

grpc::ServerUnaryReactor* FileServiceImpl::Stat(grpc::CallbackServerContext* context,
                                                const api::StatRequest* request,
                                                api::FileInfo* response) {
  wire::Open open;
  open.mutable_stat()->set_path(request->path());
  open.mutable_stat()->set_user(request->user());
  open.mutable_stat()->set_follow_symlinks(request->follow_symlinks());
  return UnaryOn(api_, context, request->sandbox(),
                 [open, response](const SandboxPtr& sandbox, const UnaryDone& done) {
                   OneAnswer::Ask(
                       sandbox, open,
                       [response](const wire::AgentFrame& frame) {
                         if (frame.has_file_info()) *response = FileInfoToProto(frame.file_info());
                       },
                       done);
                 });
}

grpc::ServerWriteReactor<api::FileInfo>* FileServiceImpl::ListDirectory(
    grpc::CallbackServerContext* context, const api::ListDirectoryRequest* request) {
  wire::Open open;
  open.mutable_list_directory()->set_path(request->path());
  open.mutable_list_directory()->set_user(request->user());
  open.mutable_list_directory()->set_depth(request->depth());
  return GuestReadCall<api::FileInfo>::Begin(
      api_, *context, request->sandbox(), std::move(open),
      [](const wire::AgentFrame& frame) -> std::optional<api::FileInfo> {
        if (!frame.has_file_info()) return std::nullopt;
        return FileInfoToProto(frame.file_info());
      });
}

grpc::ServerUnaryReactor* FileServiceImpl::MakeDirectory(grpc::CallbackServerContext* context,
                                                         const api::MakeDirectoryRequest* request,
                                                         api::MakeDirectoryResponse*) {
  wire::Open open;
  open.mutable_make_directory()->set_path(request->path());
  open.mutable_make_directory()->set_user(request->user());
  open.mutable_make_directory()->set_mode(request->mode());
  open.mutable_make_directory()->set_parents(request->parents());
  return ForEffect(api_, context, request->sandbox(), std::move(open));
}

grpc::ServerUnaryReactor* FileServiceImpl::Remove(grpc::CallbackServerContext* context,
                                                  const api::RemoveFileRequest* request,
                                                  api::RemoveFileResponse*) {
  wire::Open open;
  open.mutable_remove()->set_path(request->path());
  open.mutable_remove()->set_user(request->user());
  open.mutable_remove()->set_recursive(request->recursive());
  return ForEffect(api_, context, request->sandbox(), std::move(open));
}

grpc::ServerUnaryReactor* FileServiceImpl::Rename(grpc::CallbackServerContext* context,
                                                  const api::RenameRequest* request,
                                                  api::RenameResponse*) {
  wire::Open open;
  open.mutable_rename()->set_from(request->from());
  open.mutable_rename()->set_to(request->to());
  open.mutable_rename()->set_user(request->user());
  open.mutable_rename()->set_no_replace(request->no_replace());
  return ForEffect(api_, context, request->sandbox(), std::move(open));
}

grpc::ServerWriteReactor<api::WatchEvent>* FileServiceImpl::WatchDirectory(
    grpc::CallbackServerContext* context, const api::WatchDirectoryRequest* request) {
  wire::Open open;
  open.mutable_watch()->set_path(request->path());
  open.mutable_watch()->set_user(request->user());
  open.mutable_watch()->set_recursive(request->recursive());
  return GuestReadCall<api::WatchEvent>::Begin(
      api_, *context, request->sandbox(), std::move(open),
      [](const wire::AgentFrame& frame) -> std::optional<api::WatchEvent> {
        if (frame.has_opened()) return api::WatchEvent();  // the watch stands
        if (!frame.has_watch_event()) return std::nullopt;
        return WatchEventToProto(frame.watch_event());
      });
}

grpc::ServerWriteReactor<api::TreeChunk>* FileServiceImpl::ReadTree(
    grpc::CallbackServerContext* context, const api::ReadTreeRequest* request) {
  return GuestReadCall<api::TreeChunk>::Begin(
      api_, *context, request->sandbox(), OpenOf(*request),
      [](const wire::AgentFrame& frame) -> std::optional<api::TreeChunk> {
        api::TreeChunk chunk;
        if (frame.has_tree_entry()) {
          *chunk.mutable_entry() = TreeEntryToProto(frame.tree_entry());
        } else if (!frame.data().empty()) {
          chunk.set_data(frame.data());
        } else {
          return std::nullopt;
        }
        return chunk;
      });
}

grpc::ServerReadReactor<api::WriteTreeRequest>* FileServiceImpl::WriteTree(
    grpc::CallbackServerContext* context, api::WriteTreeResponse* response) {
  return GuestWriteCall<api::WriteTreeRequest>::Begin(
      api_, *context,
      {.open_of = [](const api::WriteTreeRequest& request) -> std::optional<wire::Open> {
         if (!request.has_open()) return std::nullopt;
         return OpenOf(request.open());
       },
       .frame_of = [](api::WriteTreeRequest& request) -> std::optional<wire::HostFrame> {
         wire::HostFrame frame;
         if (request.has_entry()) {
           *frame.mutable_tree_entry() = TreeEntryToAgent(request.entry());
         } else if (request.has_data()) {
           frame.set_data(std::move(*request.mutable_data()));
         } else {
           return std::nullopt;
         }
         return frame;
       },
       .on_done =
           [response](const wire::Done& done) {
             response->set_bytes(done.bytes());
             response->set_entries(done.entries());
           }});
}

}  // namespace msb
