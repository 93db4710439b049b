// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the services share: who calls, and the two ways of a call that has one answer.

#ifndef MSB_SUPERVISOR_API_SERVICE_BASE_H_
#define MSB_SUPERVISOR_API_SERVICE_BASE_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "supervisor/api/authenticator.h"
#include "supervisor/api/outcome.h"
#include "supervisor/sandbox/registry.h"

namespace msb {

struct ApiContext {
  Authenticator& authenticator;
  Registry& registry;
};

// Answers `context` with what `done` is given.
using UnaryDone = std::function<void(absl::Status)>;
using SandboxPtr = std::shared_ptr<Sandbox>;

// A call of one answer. `body` gets the caller and answers once, from any thread, having filled the
// response before.
inline grpc::ServerUnaryReactor* Unary(const ApiContext& api, grpc::CallbackServerContext* context,
                                       const std::function<void(Caller, UnaryDone)>& body) {
  auto* reactor = context->DefaultReactor();
  const absl::StatusOr<Caller> caller = api.authenticator.CallerOf(*context);
  if (!caller.ok()) {
    reactor->Finish(Outcome(*context, caller.status()));
    return reactor;
  }
  body(*caller, [context, reactor](const absl::Status& status) {
    reactor->Finish(Outcome(*context, status));
  });
  return reactor;
}

// The same on one sandbox: `body` runs on the loop that owns it.
inline grpc::ServerUnaryReactor* UnaryOn(const ApiContext& api,
                                         grpc::CallbackServerContext* context,
                                         const std::string& sandbox,
                                         std::function<void(const SandboxPtr&, UnaryDone)> body) {
  return Unary(api, context, [&](Caller caller, UnaryDone done) {
    api.registry.With(caller, sandbox,
                      [body = std::move(body), done = std::move(done)](Registry::Found found) {
                        if (!found.ok()) return done(found.status());
                        body(*found, done);
                      });
  });
}

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_SERVICE_BASE_H_
