// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/network_service.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/unix_socket.h"
#include "msb/net/v1/net.pb.h"
#include "supervisor/api/response_queue.h"
#include "supervisor/sandbox/network.h"
#include "supervisor/sandbox/secrets.h"
#include "supervisor/wire/frame_socket.h"

namespace msb {
namespace {

namespace api = msb::v1;

// What a client that reads slowly may have waiting; then msb-net keeps the rest, up to its own
// bound.
constexpr size_t kMaxQueuedEvents = 1024;

api::NetworkEvent EventOf(const msb::net::v1::Event& from) {
  api::NetworkEvent event;
  event.mutable_at()->set_seconds(static_cast<int64_t>(from.unix_ns() / 1'000'000'000));
  event.mutable_at()->set_nanos(static_cast<int32_t>(from.unix_ns() % 1'000'000'000));
  event.set_kind(static_cast<api::NetworkEvent::Kind>(from.kind()));
  event.set_inbound(from.inbound());
  event.set_protocol(from.protocol());
  event.set_source(from.source());
  event.set_destination(from.destination());
  event.set_name(from.name());
  event.set_rule(from.rule_text());
  event.set_bytes_up(from.bytes_up());
  event.set_bytes_down(from.bytes_down());
  event.set_detail(from.detail());
  event.set_secret(from.secret());
  return event;
}

// One WatchNetwork call: a connection of its own to msb-net, read as fast as the client reads.
class WatchNetworkCall final
    : public QueuedCall<grpc::ServerWriteReactor<api::NetworkEvent>, api::NetworkEvent> {
 public:
  WatchNetworkCall(grpc::CallbackServerContext& context, EventLoop& loop)
      : QueuedCall(context), loop_(loop) {}

  static grpc::ServerWriteReactor<api::NetworkEvent>* Begin(
      const ApiContext& house, grpc::CallbackServerContext& context,
      const api::WatchNetworkRequest& request) {
    const auto call =
        std::make_shared<WatchNetworkCall>(context, *house.registry.context().io_loops.front());
    call->Hold(call);
    const absl::StatusOr<Caller> caller = house.authenticator.CallerOf(context);
    if (!caller.ok()) {
      call->End(caller.status());
      return call.get();
    }
    house.registry.With(*caller, request.sandbox(), [call](Registry::Found found) {
      if (!found.ok()) return call->End(found.status());
      const absl::StatusOr<bool> runs = (*found)->NetworkRuns();
      if (!runs.ok()) return call->End(runs.status());
      if (!*runs) {
        return call->End(MakeError(Reason::kSandboxNotRunning, "the sandbox does not run"));
      }
      call->Connect(**found);
    });
    return call.get();
  }

 private:
  // On the loop that owns the sandboxes.
  void Connect(const Sandbox& sandbox) {
    const std::string path = sandbox.NetworkSocket();
    loop_.Post([weak = std::weak_ptr<QueuedCall>(held()), path] {
      if (const auto self = weak.lock()) static_cast<WatchNetworkCall&>(*self).Serve(path);
    });
  }
  // On the I/O loop, as all that follows.
  void Serve(const std::string& path) {
    absl::StatusOr<UniqueFd> socket = ConnectUnix(path, Blocking::kNo);
    if (!socket.ok()) return End(WithReason(Reason::kHostError, "msb-net", socket.status()));
    const std::weak_ptr<QueuedCall> weak = held();
    FrameSocket::Handler handler;
    handler.on_frame = [weak](absl::string_view frame) {
      if (const auto self = weak.lock()) static_cast<WatchNetworkCall&>(*self).OnFrame(frame);
    };
    handler.on_closed = [weak](const absl::Status& status) {
      if (const auto self = weak.lock()) static_cast<WatchNetworkCall&>(*self).End(status);
    };
    SendHeaders();
    socket_ = FrameSocket::Serve(loop_, *std::move(socket), std::move(handler));
    msb::net::v1::ControlRequest request;
    request.set_id(1);
    request.mutable_watch();
    if (const absl::Status sent = socket_->Send(request); !sent.ok()) End(sent);
  }
  void OnFrame(absl::string_view frame) {
    msb::net::v1::ControlResponse response;
    if (!response.ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
      return End(MakeError(Reason::kFrameMalformed, "msb-net sent no ControlResponse"));
    }
    if (!response.has_event()) return;
    if (++waiting_ >= kMaxQueuedEvents) socket_->SetReading(false);
    Push(EventOf(response.event()));
  }
  void OnWritten(size_t) override {
    loop_.Post([weak = std::weak_ptr<QueuedCall>(held())] {
      const auto self = weak.lock();
      if (!self) return;
      auto& call = static_cast<WatchNetworkCall&>(*self);
      if (--call.waiting_ == kMaxQueuedEvents / 2 && call.socket_) call.socket_->SetReading(true);
    });
  }
  void OnCancel() override { End(absl::CancelledError("the client went away")); }
  void OnDone() override {
    // The socket belongs to its loop.
    loop_.Post([self = held()] {
      auto& call = static_cast<WatchNetworkCall&>(*self);
      if (call.socket_) call.socket_->Close();
      call.socket_.reset();
    });
    QueuedCall::OnDone();
  }

  EventLoop& loop_;
  std::shared_ptr<FrameSocket> socket_;
  size_t waiting_ = 0;
};

}  // namespace

NetworkServiceImpl::NetworkServiceImpl(const ApiContext& api) : api_(api) {
  SetMessageAllocatorFor_UpdateSecrets(&secret_messages_);
}

grpc::ServerUnaryReactor* NetworkServiceImpl::GetNetwork(grpc::CallbackServerContext* context,
                                                         const api::GetNetworkRequest* request,
                                                         api::NetworkStatus* response) {
  return UnaryOn(
      api_, context, request->sandbox(), [response](const SandboxPtr& sandbox, UnaryDone done) {
        sandbox->NetworkStatusThen(
            [response, done = std::move(done)](absl::StatusOr<api::NetworkStatus> status) {
              if (status.ok()) *response = *std::move(status);
              done(status.status());
            });
      });
}

grpc::ServerUnaryReactor* NetworkServiceImpl::UpdateNetwork(
    grpc::CallbackServerContext* context, const api::UpdateNetworkRequest* request,
    api::NetworkStatus* response) {
  return UnaryOn(api_, context, request->sandbox(),
                 [request, response](const SandboxPtr& sandbox, UnaryDone done) {
                   api::Network network;
                   network.set_preset(request->preset());
                   *network.mutable_rules() = request->rules();
                   sandbox->UpdateNetwork(
                       std::move(network),
                       [sandbox, response, done = std::move(done)](const absl::Status& status) {
                         if (status.ok())
                           *response->mutable_network() = sandbox->record().spec.network();
                         done(status);
                       });
                 });
}

grpc::ServerUnaryReactor* NetworkServiceImpl::PublishPort(grpc::CallbackServerContext* context,
                                                          const api::PublishPortRequest* request,
                                                          api::PublishedPort* response) {
  return Unary(api_, context, [&](Caller caller, UnaryDone done) {
    if (absl::Status status = CheckPortRights(caller, request->port()); !status.ok()) {
      return done(std::move(status));
    }
    api_.registry.With(
        caller, request->sandbox(), [request, response, done](Registry::Found found) {
          if (!found.ok()) return done(found.status());
          (*found)->PublishPort(request->port(),
                                [response, done](absl::StatusOr<api::PublishedPort> port) {
                                  if (port.ok()) *response = *port;
                                  done(port.status());
                                });
        });
  });
}

grpc::ServerUnaryReactor* NetworkServiceImpl::UnpublishPort(
    grpc::CallbackServerContext* context, const api::UnpublishPortRequest* request,
    api::UnpublishPortResponse*) {
  return UnaryOn(api_, context, request->sandbox(),
                 [request](const SandboxPtr& sandbox, UnaryDone done) {
                   sandbox->UnpublishPort(request->port(), std::move(done));
                 });
}

grpc::ServerUnaryReactor* NetworkServiceImpl::RestartNetwork(
    grpc::CallbackServerContext* context, const api::RestartNetworkRequest* request,
    api::RestartNetworkResponse*) {
  return UnaryOn(api_, context, request->sandbox(), [](const SandboxPtr& sandbox, UnaryDone done) {
    sandbox->RestartNetwork(std::move(done));
  });
}

grpc::ServerUnaryReactor* NetworkServiceImpl::UpdateSecrets(
    grpc::CallbackServerContext* context, const api::UpdateSecretsRequest* request,
    api::UpdateSecretsResponse* response) {
  const absl::StatusOr<SecretValues> values = TakeSecretValues(*context, request->set());
  return UnaryOn(api_, context, request->sandbox(),
                 [request, values, response](const SandboxPtr& sandbox, UnaryDone done) {
                   if (!values.ok()) return done(values.status());
                   sandbox->UpdateSecrets(
                       request->set(), {request->remove().begin(), request->remove().end()},
                       *values,
                       [sandbox, response, done = std::move(done)](const absl::Status& status) {
                         if (status.ok()) {
                           *response->mutable_secrets() = sandbox->record().spec.secrets();
                         }
                         done(status);
                       });
                 });
}

grpc::ServerUnaryReactor* NetworkServiceImpl::CreatePrivateNetwork(
    grpc::CallbackServerContext* context, const api::CreatePrivateNetworkRequest* request,
    api::PrivateNetwork* response) {
  return Unary(api_, context, [&](Caller caller, UnaryDone done) {
    api_.registry.context().loop.Post([this, caller, request, response, done] {
      auto network = api_.registry.private_networks().Create(caller, request->name());
      if (network.ok()) *response = *std::move(network);
      done(network.status());
    });
  });
}

grpc::ServerUnaryReactor* NetworkServiceImpl::ListPrivateNetworks(
    grpc::CallbackServerContext* context, const api::ListPrivateNetworksRequest*,
    api::ListPrivateNetworksResponse* response) {
  return Unary(api_, context, [&](Caller caller, UnaryDone done) {
    api_.registry.context().loop.Post([this, caller, response, done] {
      *response = api_.registry.private_networks().List(caller);
      done(absl::OkStatus());
    });
  });
}

grpc::ServerUnaryReactor* NetworkServiceImpl::RemovePrivateNetwork(
    grpc::CallbackServerContext* context, const api::RemovePrivateNetworkRequest* request,
    api::RemovePrivateNetworkResponse*) {
  return Unary(api_, context, [&](Caller caller, UnaryDone done) {
    api_.registry.context().loop.Post([this, caller, request, done] {
      done(api_.registry.private_networks().Remove(caller, request->name()));
    });
  });
}

grpc::ServerWriteReactor<api::NetworkEvent>* NetworkServiceImpl::WatchNetwork(
    grpc::CallbackServerContext* context, const api::WatchNetworkRequest* request) {
  return WatchNetworkCall::Begin(api_, *context, *request);
}

}  // namespace msb
