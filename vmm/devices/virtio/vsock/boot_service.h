// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The host service that tells a guest which goes on from a boot snapshot what it is to be
// (BootConfiguration, proto/msb/agent/v1/agent.proto).
//
// Threading: the event loop's.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_BOOT_SERVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_BOOT_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "msb/agent/v1/agent.pb.h"
#include "vmm/devices/virtio/vsock/host_stream.h"

namespace msb {

class BootService final : public HostService {
 public:
  static constexpr uint32_t kPort = msb::agent::v1::WIRE_BOOT_PORT;
  static constexpr uint32_t kLastAgentPort = msb::agent::v1::WIRE_LAST_RESERVED_PORT;
  static constexpr size_t kEntropyBytes = 64;

  // For a guest with these words for its agent, and so many devices that its boot needs; the rest
  // of the configuration is made here. `loop` outlives the service. kHostError.
  static absl::StatusOr<std::unique_ptr<BootService>> Create(EventLoop& loop,
                                                             std::string command_line,
                                                             uint32_t boot_devices);

  // Once in the machine's life: the entropy is for the first who asks, which is the agent, before
  // anything else of the guest runs.
  std::unique_ptr<HostStream> Accept(uint32_t guest_port) override;

 private:
  BootService(EventLoop& loop, UniqueFd filled, UniqueFd guest)
      : loop_(loop), filled_(std::move(filled)), guest_(std::move(guest)) {}

  EventLoop& loop_;
  const UniqueFd filled_;  // holds the frame, and its end
  UniqueFd guest_;         // the other end, until somebody has asked
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_BOOT_SERVICE_H_
