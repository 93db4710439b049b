// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/exec_service.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "supervisor/api/collected_run.h"
#include "supervisor/api/exec_call.h"
#include "supervisor/api/exec_convert.h"

namespace msb {
namespace {

namespace api = msb::v1;
namespace wire = msb::agent::v1;

// A short request to the agent whose answer says nothing but that it was done.
void AskForEffect(const SandboxPtr& sandbox, wire::ControlRequest request, UnaryDone done) {
  AskAgent(sandbox, std::move(request),
           [done = std::move(done)](const absl::StatusOr<wire::ControlResponse>& response) {
             done(response.status());
           });
}

}  // namespace

grpc::ServerBidiReactor<api::ExecRequest, api::ExecResponse>* ExecServiceImpl::Exec(
    grpc::CallbackServerContext* context) {
  return ExecCall::Begin(api_, *context, ExecCallKind::kExec);
}

grpc::ServerBidiReactor<api::ExecRequest, api::ExecResponse>* ExecServiceImpl::Attach(
    grpc::CallbackServerContext* context) {
  return ExecCall::Begin(api_, *context, ExecCallKind::kAttach);
}

grpc::ServerUnaryReactor* ExecServiceImpl::Run(grpc::CallbackServerContext* context,
                                               const api::RunRequest* request,
                                               api::RunResponse* response) {
  return UnaryOn(
      api_, context, request->start().sandbox(),
      [request, response](const SandboxPtr& sandbox, UnaryDone done) {
        const uint64_t limit =
            request->max_output_bytes() == 0 ? kDefaultRunOutputBytes : request->max_output_bytes();
        if (limit > kMaxRunOutputBytes) {
          return done(MakeError(Reason::kInvalidArgument,
                                absl::StrCat("max_output_bytes is at most ", kMaxRunOutputBytes,
                                             "; Exec streams without a bound")));
        }
        if (request->start().detach() || request->start().has_pty()) {
          return done(
              MakeError(Reason::kInvalidArgument, "Run takes no detach and no pty; Exec does"));
        }
        auto spec = ExecSpecFromProto(request->start());
        if (!spec.ok()) return done(spec.status());
        std::make_shared<CollectedRun>(limit, response, std::move(done))
            ->Begin(sandbox, *std::move(spec), request->stdin());
      });
}

grpc::ServerUnaryReactor* ExecServiceImpl::ListExecs(grpc::CallbackServerContext* context,
                                                     const api::ListExecsRequest* request,
                                                     api::ListExecsResponse* response) {
  return UnaryOn(
      api_, context, request->sandbox(), [response](const SandboxPtr& sandbox, UnaryDone done) {
        wire::ControlRequest ask;
        ask.mutable_list_execs();
        const auto& started = sandbox->View().started_at();
        const int64_t boot = started.seconds() * 1'000'000'000 + started.nanos();
        AskAgent(sandbox, ask,
                 [response, boot, done](const absl::StatusOr<wire::ControlResponse>& answer) {
                   if (!answer.ok()) return done(answer.status());
                   for (const auto& exec : answer->execs().execs()) {
                     *response->add_execs() = ExecInfoToProto(exec, boot);
                   }
                   done(absl::OkStatus());
                 });
      });
}

grpc::ServerUnaryReactor* ExecServiceImpl::SignalExec(grpc::CallbackServerContext* context,
                                                      const api::SignalExecRequest* request,
                                                      api::SignalExecResponse*) {
  return UnaryOn(api_, context, request->sandbox(),
                 [request](const SandboxPtr& sandbox, UnaryDone done) {
                   absl::Status valid = ValidateExecId(request->exec_id());
                   if (valid.ok()) valid = ValidateSignal(request->signal());
                   if (!valid.ok()) return done(valid);
                   wire::ControlRequest ask;
                   ask.mutable_signal_exec()->set_exec_id(request->exec_id());
                   ask.mutable_signal_exec()->set_signal(request->signal());
                   AskForEffect(sandbox, std::move(ask), std::move(done));
                 });
}

grpc::ServerUnaryReactor* ExecServiceImpl::ResizeExec(grpc::CallbackServerContext* context,
                                                      const api::ResizeExecRequest* request,
                                                      api::ResizeExecResponse*) {
  return UnaryOn(api_, context, request->sandbox(),
                 [request](const SandboxPtr& sandbox, UnaryDone done) {
                   const TerminalSize size{request->size().rows(), request->size().columns()};
                   absl::Status valid = ValidateExecId(request->exec_id());
                   if (valid.ok()) valid = ValidateTerminalSize(size);
                   if (!valid.ok()) return done(valid);
                   wire::ControlRequest ask;
                   ask.mutable_resize_exec()->set_exec_id(request->exec_id());
                   ask.mutable_resize_exec()->mutable_size()->set_rows(size.rows);
                   ask.mutable_resize_exec()->mutable_size()->set_columns(size.columns);
                   AskForEffect(sandbox, std::move(ask), std::move(done));
                 });
}

}  // namespace msb
