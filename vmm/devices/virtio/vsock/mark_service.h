// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The host service that takes the agent's boot marks (proto/msb/agent/v1/agent.proto): the stream
// ends here, in the VMM, which time-stamps them.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_MARK_SERVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_MARK_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "msb/agent/v1/agent.pb.h"
#include "vmm/devices/virtio/vsock/host_stream.h"

namespace msb {

class BootMarkObserver {
 public:
  virtual ~BootMarkObserver() = default;
  // As the guest sent it, and so hostile, but of a known stage; in the loop turn in which it came.
  // Does not touch the device.
  virtual void OnBootMark(const msb::agent::v1::BootMark& mark) = 0;
};

class MarkService final : public HostService {
 public:
  static constexpr uint32_t kPort = msb::agent::v1::WIRE_MARK_PORT;
  // From beyond it anybody in the guest could say that the agent cannot go on.
  static constexpr uint32_t kLastAgentPort = msb::agent::v1::WIRE_LAST_RESERVED_PORT;
  // A mark has at most 1 KiB of text.
  static constexpr size_t kMaxFrameBytes = 4096;
  // In the life of the machine. An agent sends five; more are refused with their stream.
  static constexpr int kMaxMarks = 64;
  // At a time.
  static constexpr int kMaxStreams = 4;

  // `observer` outlives it.
  explicit MarkService(BootMarkObserver& observer) : observer_(observer) {}

  std::unique_ptr<HostStream> Accept(uint32_t guest_port) override;

 private:
  friend class MarkStream;
  BootMarkObserver& observer_;
  int marks_ = 0;
  int streams_ = 0;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_MARK_SERVICE_H_
