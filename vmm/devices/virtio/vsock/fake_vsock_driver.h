// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The guest's driver of the vsock device, for tests: rings filled as Linux does it, packets by
// hand.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_FAKE_VSOCK_DRIVER_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_FAKE_VSOCK_DRIVER_H_

#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/devices/virtio/spec/vsock.h"
#include "vmm/devices/virtio/vsock/vsock_device.h"

namespace msb {

namespace virtio {
inline void PrintTo(VsockOp op, std::ostream* out) {
  static constexpr const char* kNames[] = {
      "invalid", "REQUEST", "RESPONSE", "RST", "SHUTDOWN", "RW", "CREDIT_UPDATE", "CREDIT_REQUEST"};
  const auto number = static_cast<uint16_t>(op);
  if (number < 8) {
    *out << kNames[number];
  } else {
    *out << "op " << number;
  }
}
}  // namespace virtio

struct FakePacket {
  virtio::VsockHeader header;
  std::string payload;
};

class FakeVsockDriver {
 public:
  struct Options {
    uint32_t guest_cid = 3;
    uint32_t rx_payload_bytes = 4096;  // of each receive buffer
    size_t rx_buffers = 64;            // at the start, and kept up by Receive
    bool event_index = true;
    uint64_t memory_bytes = 32 << 20;
    uint32_t buf_alloc = 256 << 10;  // in every packet
  };
  explicit FakeVsockDriver(const Options& options);
  FakeVsockDriver() : FakeVsockDriver(Options()) {}

  FakeGuest& guest() { return guest_; }
  // Activates `device` with this driver's queues.
  absl::Status Attach(VsockDevice& device);

  // --- Driver to device ---
  // A header with our CID and the rest of the fields empty.
  virtio::VsockHeader Header(virtio::VsockOp op, uint32_t guest_port, uint32_t host_port) const;
  // Queues one packet, without a kick. Its length field is the header's own.
  void Queue(const virtio::VsockHeader& header, absl::string_view payload = {});
  // The same with the length of the payload, and a kick if the device wants one.
  absl::Status Send(virtio::VsockHeader header, absl::string_view payload = {});
  absl::Status Kick(uint16_t queue);
  // How many packets the device has not taken yet.
  size_t unsent();

  // --- Device to driver ---
  // Every packet that has come since the last call. Puts the buffers back, with a kick if wanted,
  // until no more come.
  std::vector<FakePacket> Receive();
  // The same, but keeps the buffers: the device has so many less.
  std::vector<FakePacket> ReceiveAndHold();
  void AddRxBuffers(size_t count);

  // --- Events ---
  void AddEventBuffers(size_t count);
  // The ids of events that have come; their buffers are not put back.
  std::vector<uint32_t> Events();

 private:
  struct RxBuffer {
    GuestRange header;
    GuestRange payload;
  };
  void ReclaimTx();
  GuestRange TxSpace(uint64_t size);

  Options options_;
  FakeGuest guest_;
  VsockDevice* device_ = nullptr;
  std::vector<RxBuffer> rx_free_;
  std::map<uint32_t, RxBuffer> rx_in_use_;  // by head
  std::map<uint32_t, GuestRange> tx_in_use_;
  std::multimap<uint64_t, GuestRange> tx_free_;  // by size
  std::map<uint32_t, GuestRange> events_in_use_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_FAKE_VSOCK_DRIVER_H_
