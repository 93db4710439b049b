// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a virtio device is to its transport (MMIO in our machine, vhost-user towards QEMU).
//
// Threading: every call comes on the device thread, the one that runs the VMM's event loop.

#ifndef MSB_VMM_DEVICES_VIRTIO_VIRTIO_DEVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_VIRTIO_DEVICE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "msb/vmm/v1/state.pb.h"
#include "vmm/devices/virtio/virtqueue.h"

namespace msb {

// VIRTIO 1.2, section 5.
enum class DeviceId : uint32_t { kNet = 1, kBlock = 2, kRng = 4, kBalloon = 5, kVsock = 19, kFs = 26 };

class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;

  virtual DeviceId id() const = 0;
  // Bits of the device's own (0..23, 50..127) beside those of the transport and the queue.
  virtual uint64_t features() const = 0;
  // The greatest size of each queue; its length is their number.
  virtual absl::Span<const uint16_t> max_queue_sizes() const = 0;
  // The configuration space as the driver reads it.
  virtual absl::Span<const uint8_t> config() const = 0;
  // A write of the driver that lies inside config(). Read-only fields ignore it.
  virtual void WriteConfig(uint32_t offset, absl::Span<const uint8_t> bytes) = 0;

  // DRIVER_OK: from here on `queues` (as many as max_queue_sizes) may be used. A queue that the driver
  // did not enable is null. They stay valid until Reset.
  virtual absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) = 0;
  // The driver kicked queue `index`. An error means that the guest broke the rules: the transport then
  // sets DEVICE_NEEDS_RESET and calls nothing but Reset.
  virtual absl::Status OnNotify(uint16_t index) = 0;
  // Back to the state before Activate.
  virtual void Reset() = 0;

  virtual msb::vmm::v1::DeviceState Save() const = 0;
  // Before Activate. Refuses, by kStateInvalid, what Save cannot have written.
  virtual absl::Status Restore(const msb::vmm::v1::DeviceState& state) = 0;
};

// How a device tells the driver that config() has changed (4.2.2: generation, interrupt).
class ConfigChangeNotifier {
 public:
  virtual ~ConfigChangeNotifier() = default;
  virtual void OnConfigChanged() = 0;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VIRTIO_DEVICE_H_
