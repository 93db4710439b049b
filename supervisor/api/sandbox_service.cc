// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/sandbox_service.h"

#include <utility>
#include <vector>

#include "base/error.h"
#include "supervisor/api/cancellable_call.h"
#include "supervisor/api/log_call.h"
#include "supervisor/api/metrics_call.h"
#include "supervisor/sandbox/mounts.h"
#include "supervisor/sandbox/secrets.h"
#include "supervisor/sandbox/state_wait.h"
#include "supervisor/sandbox/validate.h"

namespace msb {
namespace {

namespace api = msb::v1;

// A call on one sandbox whose answer is that sandbox as it is afterwards, as the caller may see it.
grpc::ServerUnaryReactor* UnaryView(const ApiContext& house, grpc::CallbackServerContext* context,
                                    const std::string& name, api::Sandbox* response,
                                    std::function<void(const SandboxPtr&, UnaryDone)> body) {
  return Unary(house, context, [&](Caller caller, UnaryDone done) {
    house.registry.With(
        caller, name,
        [caller, response, body = std::move(body), done = std::move(done)](Registry::Found found) {
          if (!found.ok()) return done(found.status());
          body(*found, [caller, response, sandbox = *found, done](const absl::Status& status) {
            if (!status.ok()) return done(status);
            *response = sandbox->View();
            HideHostPaths(caller, *response);
            done(status);
          });
        });
  });
}

// Lets a Wait go when its client does: a wait may last for days.
class WaitCall final : public CancellableCall {
 public:
  using CancellableCall::CancellableCall;

  void Begin(const ApiContext& house, const api::WaitRequest& request, api::Sandbox* response,
             std::shared_ptr<WaitCall> self) {
    self_ = std::move(self);
    const absl::StatusOr<Caller> caller = house.authenticator.CallerOf(context());
    if (!caller.ok()) return Answer(caller.status());
    std::vector<api::SandboxState> states;
    for (const int state : request.states())
      states.push_back(static_cast<api::SandboxState>(state));
    house.registry.With(*caller, request.sandbox(),
                        [self = self_, caller = *caller, states, response](Registry::Found found) {
                          if (!found.ok()) return self->Answer(found.status());
                          self->WaitOn(*found, caller, states, response, self);
                        });
  }

 private:
  void WaitOn(const SandboxPtr& sandbox, const Caller& caller,
              const std::vector<api::SandboxState>& states, api::Sandbox* response,
              const std::shared_ptr<WaitCall>& self) {
    const auto wait = StateWait::Begin(
        sandbox, states, [self, caller, response](const absl::StatusOr<api::Sandbox>& result) {
          self->Answer(result.status(), [&] {
            if (!result.ok()) return;
            *response = *result;
            HideHostPaths(caller, *response);
          });
        });
    absl::MutexLock lock(&mutex_);
    wait_ = wait;
    if (left_) wait_->Cancel();
  }
  void OnCancel() override {
    Answer(absl::CancelledError("the client went away"));
    absl::MutexLock lock(&mutex_);
    left_ = true;
    if (wait_ != nullptr) wait_->Cancel();
  }
  void OnDone() override { self_.reset(); }

  std::shared_ptr<WaitCall> self_;
  absl::Mutex mutex_;
  bool left_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<StateWait> wait_ ABSL_GUARDED_BY(mutex_);
};

// Pulls the image first, if that is asked for; a client that leaves ends the pull.
class CreateCall final : public CancellableCall {
 public:
  CreateCall(const ApiContext& house, grpc::CallbackServerContext& context,
             const api::CreateRequest& request, api::Sandbox* response)
      : CancellableCall(context), house_(house), request_(request), response_(response) {}

  void Begin(std::shared_ptr<CreateCall> self, absl::StatusOr<SecretValues> secrets) {
    self_ = std::move(self);
    const absl::StatusOr<Caller> caller = house_.authenticator.CallerOf(context());
    if (!caller.ok()) return Answer(caller.status());
    if (!secrets.ok()) return Answer(secrets.status());
    caller_ = *caller;
    secrets_ = *std::move(secrets);
    absl::StatusOr<PullTicket> ticket = house_.registry.context().images.Provide(
        caller_, request_, [call = self_](const absl::Status& provided) {
          if (!call->EndPull()) return;
          if (!provided.ok()) return call->Answer(provided);
          call->Make();
        });
    if (!ticket.ok() && EndPull()) return Answer(ticket.status());
    absl::MutexLock lock(&mutex_);
    if (ticket.ok() && pulling_) ticket_ = *std::move(ticket);
  }

 private:
  // False when it was over already.
  bool EndPull() {
    PullTicket leaving;  // outside the lock
    absl::MutexLock lock(&mutex_);
    std::swap(leaving, ticket_);
    return std::exchange(pulling_, false);
  }
  void Make() {
    const bool start = !request_.has_start() || request_.start();
    house_.registry.Create(
        caller_, request_.spec(), start,
        [call = self_](const absl::StatusOr<api::Sandbox>& made) { call->OnMade(made); },
        std::move(secrets_));
  }
  void OnMade(const absl::StatusOr<api::Sandbox>& made) {
    if (!made.ok()) return Answer(made.status());
    // Nobody waits for it any more, and it was to go when its user does.
    if (context().IsCancelled() && made->spec().remove_on_exit()) {
      house_.registry.With(caller_, made->id(), [](Registry::Found found) {
        if (found.ok()) Registry::Remove(*found, /*force=*/true, [](const absl::Status&) {});
      });
    }
    Answer(absl::OkStatus(), [&] { *response_ = *made; });
  }
  // A creation that has begun goes on.
  void OnCancel() override {
    if (EndPull()) Answer(absl::CancelledError("the client went away"));
  }
  void OnDone() override { self_.reset(); }

  const ApiContext house_;
  const api::CreateRequest& request_;
  api::Sandbox* const response_;
  std::shared_ptr<CreateCall> self_;
  Caller caller_;
  SecretValues secrets_;
  absl::Mutex mutex_;
  bool pulling_ ABSL_GUARDED_BY(mutex_) = true;
  PullTicket ticket_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

SandboxServiceImpl::SandboxServiceImpl(ApiContext api) : api_(api) {
  SetMessageAllocatorFor_Create(&create_messages_);
  SetMessageAllocatorFor_Start(&start_messages_);
}

grpc::ServerUnaryReactor* SandboxServiceImpl::Create(grpc::CallbackServerContext* context,
                                                     const api::CreateRequest* request,
                                                     api::Sandbox* response) {
  const auto call = std::make_shared<CreateCall>(api_, *context, *request, response);
  call->Begin(call, TakeSecretValues(*context, request->spec().secrets()));
  return call.get();
}

grpc::ServerUnaryReactor* SandboxServiceImpl::Get(grpc::CallbackServerContext* context,
                                                  const api::GetRequest* request,
                                                  api::Sandbox* response) {
  return UnaryView(api_, context, request->sandbox(), response,
                   [](const SandboxPtr&, const UnaryDone& done) { done(absl::OkStatus()); });
}

grpc::ServerUnaryReactor* SandboxServiceImpl::List(grpc::CallbackServerContext* context,
                                                   const api::ListRequest* request,
                                                   api::ListResponse* response) {
  return Unary(api_, context, [&](Caller caller, UnaryDone done) {
    api_.registry.List(caller, *request, [response, done](api::ListResponse list) {
      *response = std::move(list);
      done(absl::OkStatus());
    });
  });
}

grpc::ServerUnaryReactor* SandboxServiceImpl::Start(grpc::CallbackServerContext* context,
                                                    const api::StartRequest* request,
                                                    api::Sandbox* response) {
  const absl::StatusOr<SecretValues> values = TakeSecretValues(*context, request->secrets());
  const absl::StatusOr<Caller> caller = api_.authenticator.CallerOf(*context);
  return UnaryView(api_, context, request->sandbox(), response,
                   [this, values, caller](const SandboxPtr& sandbox, UnaryDone done) {
                     if (!values.ok()) return done(values.status());
                     api_.registry.Start(*caller, sandbox, std::move(done), *values);
                   });
}

grpc::ServerUnaryReactor* SandboxServiceImpl::Stop(grpc::CallbackServerContext* context,
                                                   const api::StopRequest* request,
                                                   api::Sandbox* response) {
  return UnaryView(api_, context, request->sandbox(), response,
                   [request](const SandboxPtr& sandbox, UnaryDone done) {
                     Sandbox::StopOptions options{.force = request->force()};
                     if (request->has_grace()) {
                       const auto grace = DurationFromProto(request->grace(), "grace");
                       if (!grace.ok()) return done(grace.status());
                       options.grace = *grace;
                     }
                     sandbox->Stop(std::move(options), std::move(done));
                   });
}

grpc::ServerUnaryReactor* SandboxServiceImpl::Pause(grpc::CallbackServerContext* context,
                                                    const api::PauseRequest* request,
                                                    api::Sandbox* response) {
  return UnaryView(
      api_, context, request->sandbox(), response,
      [](const SandboxPtr& sandbox, UnaryDone done) { sandbox->Pause(std::move(done)); });
}

grpc::ServerUnaryReactor* SandboxServiceImpl::Resume(grpc::CallbackServerContext* context,
                                                     const api::ResumeRequest* request,
                                                     api::Sandbox* response) {
  return UnaryView(
      api_, context, request->sandbox(), response,
      [](const SandboxPtr& sandbox, UnaryDone done) { sandbox->Resume(std::move(done)); });
}

grpc::ServerUnaryReactor* SandboxServiceImpl::Remove(grpc::CallbackServerContext* context,
                                                     const api::RemoveRequest* request,
                                                     api::RemoveResponse*) {
  return UnaryOn(api_, context, request->sandbox(),
                 [force = request->force()](const SandboxPtr& sandbox, UnaryDone done) {
                   Registry::Remove(sandbox, force, std::move(done));
                 });
}

grpc::ServerUnaryReactor* SandboxServiceImpl::Wait(grpc::CallbackServerContext* context,
                                                   const api::WaitRequest* request,
                                                   api::Sandbox* response) {
  const auto call = std::make_shared<WaitCall>(*context);
  call->Begin(api_, *request, response, call);
  return call.get();
}

grpc::ServerUnaryReactor* SandboxServiceImpl::Update(grpc::CallbackServerContext* context,
                                                     const api::UpdateRequest* request,
                                                     api::Sandbox* response) {
  return UnaryView(api_, context, request->sandbox(), response,
                   [request](const SandboxPtr& sandbox, const UnaryDone& done) {
                     done(sandbox->Update(*request));
                   });
}

grpc::ServerWriteReactor<api::LogsChunk>* SandboxServiceImpl::Logs(
    grpc::CallbackServerContext* context, const api::LogsRequest* request) {
  return LogCall::Begin(api_, *context, *request);
}

grpc::ServerWriteReactor<api::Metrics>* SandboxServiceImpl::GetMetrics(
    grpc::CallbackServerContext* context, const api::GetMetricsRequest* request) {
  return MetricsCall::Begin(api_, *context, *request);
}

}  // namespace msb
