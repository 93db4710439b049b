// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// virtio-vsock (VIRTIO 1.2, 5.10): stream sockets between the guest and Unix sockets of the host.
//
// Bytes are copied once, between guest memory and a socket, except where a reader on the host is
// slow.
//
// Threading: everything on the event loop's thread.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_VSOCK_DEVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_VSOCK_DEVICE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "msb/vmm/v1/control.pb.h"
#include "vmm/devices/virtio/spec/vsock.h"
#include "vmm/devices/virtio/virtio_device.h"
#include "vmm/devices/virtio/vsock/host_listener.h"
#include "vmm/devices/virtio/vsock/limits.h"
#include "vmm/devices/virtio/vsock/muxer.h"
#include "vmm/devices/virtio/vsock/rx_batch.h"
#include "vmm/devices/virtio/vsock/transport_reset.h"

namespace msb {

class VsockDevice final : public VirtioDevice {
 public:
  // `guest_cid`: 3..0xfffffffe. `loop` outlives the device.
  VsockDevice(EventLoop& loop, uint32_t guest_cid, const VsockLimits& limits = {});
  VsockDevice(const VsockDevice&) = delete;
  VsockDevice& operator=(const VsockDevice&) = delete;
  ~VsockDevice() override;

  // Takes clients from a non-blocking listening Unix socket. Those that come before the driver wait
  // for it (connect_timeout).
  absl::Status Listen(UniqueFd listener) { return listener_.Start(std::move(listener)); }
  // The guest can connect to these ports of the host and to no other. Before Activate.
  void RegisterHostService(uint32_t host_port, HostService& service) {
    muxer_.RegisterService(host_port, service);
  }
  // Sets the vsock fields of `stats`: connections that are open now, bytes since the start.
  void FillStats(msb::vmm::v1::Stats& stats) const;

  DeviceId id() const override { return DeviceId::kVsock; }
  uint64_t features() const override { return virtio::kVsockFeatureStream; }
  absl::Span<const uint16_t> max_queue_sizes() const override;
  absl::Span<const uint8_t> config() const override;
  void WriteConfig(uint32_t, absl::Span<const uint8_t>) override {}  // 5.10.4: read-only

  absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) override;
  absl::Status OnNotify(uint16_t index) override;
  void Reset() override;

  // A restored device keeps the guest_cid it was made with: the guest reads it again when it is
  // told of the transport reset, and every connection of the saved machine is over.
  void Quiesce() override;
  msb::vmm::v1::DeviceState Save() const override;
  absl::Status Restore(const msb::vmm::v1::DeviceState& state) override;

 private:
  void OnMuxerReady();
  // The end of what no call of the transport has set off: nobody else would see the error.
  void Report(const absl::Status& status);
  absl::Status Pump();
  // As many packets of the guest, or for it, as one turn allows.
  absl::Status ReceiveFromGuest();
  absl::Status SendToGuest();
  struct Sent {
    size_t bytes = 0;
    size_t packets = 0;
  };
  // One control packet, or one read of a connection.
  absl::StatusOr<Sent> SendNext(RxBatch& batch);
  absl::StatusOr<Sent> SendData(RxBatch& batch, Connection& connection);
  bool HasSomethingForGuest() const;
  // A packet of the guest was taken; it may hear of that later.
  absl::Status CompletePacket(DescriptorChain chain);
  absl::Status FlushPackets();
  // Goes on when the loop has looked after others.
  void ContinueLater();
  void Break(const absl::Status& why);

  EventLoop& loop_;
  const virtio::VsockConfig config_;
  Muxer muxer_;
  HostListener listener_;
  TransportReset transport_reset_;
  Virtqueue* rx_ = nullptr;
  Virtqueue* tx_ = nullptr;
  // Packets of the guest lie in the queue that it will not kick for again.
  bool more_to_receive_ = false;
  std::optional<EventLoop::TimerId> next_turn_;
  int unflushed_packets_ = 0;  // completed, and the driver not told
  std::optional<EventLoop::TimerId> flush_timer_;
  absl::Status broken_;  // how the guest broke it; until Reset
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_VSOCK_DEVICE_H_
