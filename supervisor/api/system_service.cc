// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/system_service.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <utility>

#include "base/version.h"
#include "supervisor/api/diagnosis.h"
#include "supervisor/api/event_call.h"

namespace msb {
namespace {

namespace api = msb::v1;

api::Engine EngineToProto(msb::vmm::v1::Engine engine) {
  return engine == msb::vmm::v1::ENGINE_KVM ? api::ENGINE_KVM : api::ENGINE_QEMU;
}

api::Engine EngineToProto(const std::string& preference) {
  if (preference == "kvm") return api::ENGINE_KVM;
  if (preference == "qemu") return api::ENGINE_QEMU;
  return api::ENGINE_AUTO;
}

// Its few checks are pushed as they come, and bounded by their number.
class DiagnoseCall final : public QueuedCall<grpc::ServerWriteReactor<api::Check>, api::Check> {
 public:
  explicit DiagnoseCall(grpc::CallbackServerContext& context) : QueuedCall(context) {}

  static grpc::ServerWriteReactor<api::Check>* Begin(const ApiContext& house,
                                                     grpc::CallbackServerContext& context) {
    const auto call = std::make_shared<DiagnoseCall>(context);
    call->Hold(call);
    const absl::StatusOr<Caller> caller = house.authenticator.CallerOf(context);
    if (!caller.ok()) {
      call->End(caller.status());
      return call.get();
    }
    const SandboxContext& sandboxes = house.registry.context();
    sandboxes.workers.Run([call, &sandboxes] {
      Diagnose(sandboxes.config, sandboxes.engines, sandboxes.images, sandboxes.snapshots,
               [&](api::Check check) { call->Push(std::move(check)); });
      call->End(absl::OkStatus());
    });
    return call.get();
  }

 private:
  void OnWritten(size_t) override {}
};

}  // namespace

grpc::ServerUnaryReactor* SystemServiceImpl::GetInfo(grpc::CallbackServerContext* context,
                                                     const api::GetInfoRequest*,
                                                     api::Info* response) {
  return Unary(api_, context, [&](Caller, UnaryDone done) {
    const SandboxContext& house = api_.registry.context();
    response->set_version(std::string(Version()));
    const int64_t started = absl::ToUnixNanos(started_at_);
    response->mutable_started_at()->set_seconds(started / 1'000'000'000);
    response->mutable_started_at()->set_nanos(static_cast<int32_t>(started % 1'000'000'000));
    response->set_data_directory(house.config.daemon.data_directory);
    response->set_default_image(house.config.sandbox.image);
    response->set_default_engine(EngineToProto(house.config.sandbox.engine));
    const auto choice = ChooseEngine(house.engines, EnginePreference::kAuto);
    if (choice.ok()) response->set_chosen_engine(EngineToProto(choice->engine));
    response->set_engine_choice(choice.ok() ? choice->explanation
                                            : std::string(choice.status().message()));
    utsname host{};
    ::uname(&host);
    response->set_host_kernel(host.release);
    response->set_host_cpus(std::thread::hardware_concurrency());
    response->set_host_memory_bytes(static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                                    static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)));
    response->set_privileged(::geteuid() == 0);
    response->set_pull_policy(PolicyOf(house.config.images));
    api_.registry.Count([response, done](Registry::Counts counts) {
      response->set_sandboxes(counts.sandboxes);
      response->set_running(counts.running);
      done(absl::OkStatus());
    });
  });
}

grpc::ServerWriteReactor<api::Check>* SystemServiceImpl::Diagnose(
    grpc::CallbackServerContext* context, const api::DiagnoseRequest*) {
  return DiagnoseCall::Begin(api_, *context);
}

grpc::ServerWriteReactor<api::Event>* SystemServiceImpl::WatchEvents(
    grpc::CallbackServerContext* context, const api::WatchEventsRequest* request) {
  return EventCall::Begin(api_, *context, *request);
}

}  // namespace msb
