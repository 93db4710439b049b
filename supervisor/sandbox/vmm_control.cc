// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/vmm_control.h"

#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"

namespace msb {
namespace {

using msb::vmm::v1::ControlRequest;
using msb::vmm::v1::ControlResponse;

// Requests count from 1 and never get here: an event is told by this id.
constexpr uint64_t kWatchId = uint64_t{1} << 63;

}  // namespace

absl::Status StatusFromVmm(int reason, absl::string_view message) {
  const Reason known = ReasonFromNumber(reason);
  return MakeError(known == Reason::kUnspecified ? Reason::kVmmDied : known, EscapeForLog(message));
}

absl::StatusOr<std::shared_ptr<VmmControl>> VmmControl::Connect(EventLoop& loop,
                                                                const std::string& socket_path,
                                                                absl::Duration request_timeout,
                                                                OnEvent on_event) {
  std::shared_ptr<VmmControl> control(new VmmControl(loop, request_timeout, std::move(on_event)));
  MSB_RETURN_IF_ERROR(control->Open(socket_path));
  return control;
}

absl::Status VmmControl::Open(const std::string& socket_path) {
  absl::StatusOr<UniqueFd> fd = ConnectUnix(socket_path, Blocking::kNo);
  if (!fd.ok()) {
    // Refused: nobody listens any more.
    const Reason reason = absl::IsUnavailable(fd.status()) ? Reason::kVmmDied : Reason::kHostError;
    return WithReason(reason, "the VMM's control socket", fd.status());
  }
  socket_ = FrameSocket::Serve(
      loop_, *std::move(fd),
      {.on_frame =
           [weak = weak_from_this()](absl::string_view payload) {
             if (const auto self = weak.lock()) self->OnPayload(payload);
           },
       .on_closed =
           [weak = weak_from_this()](const absl::Status&) {
             if (const auto self = weak.lock()) {
               self->Fail(MakeError(Reason::kVmmDied, "the VMM closed its control connection"));
             }
           },
       .on_drained = nullptr});
  ControlRequest watch;
  watch.set_id(kWatchId);
  watch.mutable_watch();
  return socket_->Send(watch);
}

void VmmControl::Status(OnResponse done) {
  ControlRequest request;
  request.mutable_status();
  Request(std::move(request), std::move(done));
}

void VmmControl::Pause(OnResponse done) {
  ControlRequest request;
  request.mutable_pause();
  Request(std::move(request), std::move(done));
}

void VmmControl::Resume(OnResponse done) {
  ControlRequest request;
  request.mutable_resume();
  Request(std::move(request), std::move(done));
}

void VmmControl::Stats(OnResponse done) {
  ControlRequest request;
  request.mutable_stats();
  Request(std::move(request), std::move(done));
}

void VmmControl::Request(ControlRequest request, OnResponse done) {
  if (!socket_) {
    loop_.Post([done = std::move(done)] {
      done(MakeError(Reason::kVmmDied, "the VMM's control connection is gone"));
    });
    return;
  }
  request.set_id(pending_.Add(request_timeout_,
                              MakeError(Reason::kVmmDied, "the VMM did not answer in time"),
                              std::move(done)));
  if (const absl::Status sent = socket_->Send(request); !sent.ok()) {
    pending_.Answer(request.id(), sent);
  }
}

void VmmControl::OnPayload(absl::string_view payload) {
  ControlResponse response;
  if (!response.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return Fail(MakeError(Reason::kVmmDied, "the VMM sent what is no message"));
  }
  if (response.id() == kWatchId) {
    const OnEvent on_event = on_event_;  // it may close us
    if (response.has_event() && on_event) on_event(response.event());
    return;
  }
  const uint64_t id = response.id();
  if (response.has_error()) {
    return pending_.Answer(id,
                           StatusFromVmm(response.error().reason(), response.error().message()));
  }
  pending_.Answer(id, std::move(response));
}

void VmmControl::Close() {
  on_event_ = nullptr;
  if (socket_) socket_->Close();
  socket_.reset();
  pending_.FailAll(MakeError(Reason::kSandboxStopped, "the sandbox has stopped"));
}

void VmmControl::Fail(const absl::Status& why) {
  MSB_LOG(kWarning) << "VMM control: " << why.message();
  if (socket_) socket_->Close();
  socket_.reset();
  pending_.FailAll(why);
}

}  // namespace msb
