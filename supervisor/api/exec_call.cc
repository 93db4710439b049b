// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/exec_call.h"

#include <signal.h>

#include <utility>

#include "base/error.h"
#include "supervisor/api/exec_convert.h"

namespace msb {
namespace {

namespace api = msb::v1;

absl::Status WrongMessage(absl::string_view what) {
  return MakeError(Reason::kInvalidArgument, what);
}

}  // namespace

grpc::ServerBidiReactor<api::ExecRequest, api::ExecResponse>* ExecCall::Begin(
    const ApiContext& api, grpc::CallbackServerContext& context, ExecCallKind kind) {
  const auto call = std::make_shared<ExecCall>(api, context, kind);
  call->Hold(call);
  call->ReadNext();
  return call.get();
}

std::shared_ptr<ExecSession> ExecCall::session() {
  absl::MutexLock lock(&state_mutex_);
  return session_;
}

// --- the client's side
// ------------------------------------------------------------------------------

void ExecCall::OnReadDone(bool ok) {
  if (!ok) {
    // The client's half is closed, or the client is gone; OnCancel tells which, and comes too.
    if (first_) return End(WrongMessage("the stream ended before its first message"));
    if (const auto open = session(); open != nullptr && !context().IsCancelled())
      open->CloseStdin();
    return;
  }
  if (std::exchange(first_, false)) return OnFirst();
  OnInput();
}

void ExecCall::OnFirst() {
  const bool is_start = request_.has_start();
  if (is_start != (kind_ == ExecCallKind::kExec) || (!is_start && !request_.has_attach())) {
    return End(WrongMessage(kind_ == ExecCallKind::kExec ? "the first message must be `start`"
                                                         : "the first message must be `attach`"));
  }
  const absl::StatusOr<Caller> caller = api_.authenticator.CallerOf(context());
  if (!caller.ok()) return End(caller.status());
  detach_ = is_start && request_.start().detach();
  kill_on_disconnect_ = is_start && request_.start().kill_on_disconnect();
  const std::string& name = is_start ? request_.start().sandbox() : request_.attach().sandbox();
  api_.registry.With(*caller, name, [call = self()](Registry::Found found) {
    if (call == nullptr) return;
    if (!found.ok()) return call->End(found.status());
    call->Open(*found, call);
  });
}

// `self`: gRPC may be done with the call by now, and hold it no more.
void ExecCall::Open(const SandboxPtr& sandbox, const std::shared_ptr<ExecCall>& self) {
  const auto opened = [self, sandbox](absl::StatusOr<OpenedExec> result) {
    self->Opened(sandbox, std::move(result));
  };
  if (kind_ == ExecCallKind::kExec) {
    absl::StatusOr<ExecSpec> spec = ExecSpecFromProto(request_.start());
    if (!spec.ok()) return End(spec.status());
    return OpenExec(sandbox, *std::move(spec), self, opened);
  }
  const api::ExecAttach& attach = request_.attach();
  OpenAttach(sandbox,
             AttachSpec{.exec_id = attach.exec_id(),
                        .stdout_offset = attach.stdout_offset(),
                        .stderr_offset = attach.stderr_offset(),
                        .take_over = attach.take_over()},
             self, opened);
}

void ExecCall::Opened(const SandboxPtr& sandbox, absl::StatusOr<OpenedExec> opened) {
  if (!opened.ok()) return End(opened.status());
  bool gone = false;
  {
    absl::MutexLock lock(&state_mutex_);
    sandbox_ = sandbox;
    exec_id_ = opened->exec_id;
    session_ = opened->session;
    opened_ = true;
    gone = gone_;
    for (auto& [response, cost] : early_) {
      if (response.has_started()) response.mutable_started()->set_exec_id(exec_id_);
      Push(std::move(response), cost);
    }
    early_.clear();
    if (early_end_) End(*early_end_);
  }
  if (gone) return OnCancel();
  if (!detach_) ReadNext();
}

void ExecCall::OnInput() {
  const auto open = session();
  if (open == nullptr) return;  // the client is gone
  switch (request_.message_case()) {
    case api::ExecRequest::kStdin:
      return open->WriteStdin(std::move(*request_.mutable_stdin()), [call = self()] {
        if (call != nullptr) call->ReadNext();
      });
    case api::ExecRequest::kCloseStdin:
      open->CloseStdin();
      break;
    case api::ExecRequest::kResize:
      if (const absl::Status status =
              ValidateTerminalSize({request_.resize().rows(), request_.resize().columns()});
          !status.ok()) {
        return End(status);
      }
      open->Resize(request_.resize().rows(), request_.resize().columns());
      break;
    case api::ExecRequest::kSignal:
      if (const absl::Status status = ValidateSignal(request_.signal()); !status.ok()) {
        return End(status);
      }
      open->Signal(request_.signal());
      break;
    default:
      open->Leave();
      return End(WrongMessage("`start` and `attach` are first messages"));
  }
  ReadNext();
}

void ExecCall::OnCancel() {
  SandboxPtr sandbox;
  std::shared_ptr<ExecSession> open;
  std::string exec_id;
  {
    absl::MutexLock lock(&state_mutex_);
    gone_ = true;
    sandbox = std::move(sandbox_);
    open = std::move(session_);
    exec_id = exec_id_;
  }
  End(absl::CancelledError("the client went away"));
  if (open == nullptr) return;  // not yet, or it has ended
  open->Leave();
  if (!kill_on_disconnect_) return;
  msb::agent::v1::ControlRequest kill;
  kill.mutable_signal_exec()->set_exec_id(exec_id);
  kill.mutable_signal_exec()->set_signal(SIGKILL);
  EventLoop& loop = sandbox->context().loop;
  loop.Post([sandbox, kill] { AskAgent(sandbox, kill, [](const auto&) {}); });
}

void ExecCall::OnWritten(size_t cost) {
  if (cost == 0) return;
  if (const auto open = session(); open != nullptr) open->Acknowledge(cost);
}

// --- the command's side
// -----------------------------------------------------------------------------

void ExecCall::Emit(api::ExecResponse response, size_t cost) {
  absl::MutexLock lock(&state_mutex_);
  if (!opened_) {
    early_.emplace_back(std::move(response), cost);
    return;
  }
  if (response.has_started()) response.mutable_started()->set_exec_id(exec_id_);
  Push(std::move(response), cost);
}

void ExecCall::OnStarted(const ExecStartedInfo& info) {
  api::ExecResponse response;
  response.mutable_started()->set_pid(info.pid);
  response.mutable_started()->set_stdout_offset(info.stdout_offset);
  response.mutable_started()->set_stderr_offset(info.stderr_offset);
  Emit(std::move(response));
  if (detach_) OnFailed(absl::OkStatus());
}

void ExecCall::OnOutput(ExecOutput stream, uint64_t offset, std::string data) {
  api::ExecResponse response;
  api::ExecOutput* output =
      stream == ExecOutput::kStdout ? response.mutable_stdout() : response.mutable_stderr();
  const size_t cost = data.size();
  output->set_offset(offset);
  output->set_data(std::move(data));
  Emit(std::move(response), cost);
}

void ExecCall::OnExited(const ExecExitedInfo& info) {
  api::ExecResponse response;
  *response.mutable_exited() = ExitedToProto(info);
  Emit(std::move(response));
  OnFailed(absl::OkStatus());
}

void ExecCall::OnFailed(absl::Status status) {
  absl::MutexLock lock(&state_mutex_);
  if (!opened_) {
    early_end_ = std::move(status);
    return;
  }
  End(status);
}

}  // namespace msb
