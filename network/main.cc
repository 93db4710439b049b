// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb-net --spec-fd N: the network of one sandbox, by a msb.net.v1.NetSpec. Ends when the machine
// hangs up.

#include <cstdint>
#include <memory>
#include <utility>

#include "base/descriptor_limit.h"
#include "base/event_loop.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "jailer/policy/filter.h"
#include "msb/net/v1/net.pb.h"
#include "network/control/control_server.h"
#include "network/control/spec.h"
#include "network/flow/stack.h"
#include "network/link/frame_stream.h"
#include "network/program.h"

namespace msb::net {
namespace {

absl::Status Run(UniqueFd spec_fd) {
  // One for each flow, and some.
  MSB_ASSIGN_OR_RETURN(const uint64_t descriptors, RaiseDescriptorLimit());
  MSB_ASSIGN_OR_RETURN(const auto spec, ReadSpec<msb::net::v1::NetSpec>(std::move(spec_fd)));
  UniqueFd link(spec.link_fd());
  UniqueFd control(spec.control_fd());
  MSB_RETURN_IF_ERROR(SetNonBlocking(link));
  MSB_RETURN_IF_ERROR(SetNonBlocking(control));
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop, EventLoop::Create());
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment,
                       MakeEnvironment(*loop, spec));
  FitFlows(descriptors, environment->limits);
  absl::Status ended;
  Stack* receiver = nullptr;
  environment->link = std::make_unique<FrameStream>(
      *loop, std::move(link),
      FrameStream::Handlers{.on_frame = [&](Bytes frame) { receiver->OnFrame(frame); },
                            .on_batch_end = [&] { receiver->OnBatchEnd(); },
                            .on_drained = [&] { receiver->OnDrained(); },
                            .on_end =
                                [&](absl::Status why) {
                                  ended = std::move(why);
                                  loop->Stop();
                                }});
  Stack stack(*environment);
  receiver = &stack;
  ControlServer server(*loop, std::move(control), stack, environment->audit);
  MSB_RETURN_IF_ERROR(server.Start());
  MSB_RETURN_IF_ERROR(environment->link->Start());
  MSB_LOG(kInfo) << "msb-net " << Version() << " serves sandbox " << EscapeForLog(spec.id());
  MSB_RETURN_IF_ERROR(ConfineThread(SeccompPolicy::kNet));
  MSB_RETURN_IF_ERROR(loop->Run());
  return absl::IsUnavailable(ended) ? absl::OkStatus() : ended;  // the wire's end
}

}  // namespace
}  // namespace msb::net

int main(int argc, char** argv) {
  return msb::net::RunProgram({.name = "msb-net", .run = msb::net::Run}, argc, argv);
}
