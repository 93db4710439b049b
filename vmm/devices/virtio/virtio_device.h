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
enum class DeviceId : uint32_t {
  kNet = 1,
  kBlock = 2,
  kRng = 4,
  kBalloon = 5,
  kVsock = 19,
  kFs = 26
};

// What a device tells its transport unasked.
class ConfigChangeNotifier {
 public:
  virtual ~ConfigChangeNotifier() = default;
  // config() has changed; the driver is to read it again (4.2.2: generation, interrupt).
  virtual void OnConfigChanged() = 0;
  // The guest broke the rules in a queue that the device looked at outside of OnNotify. As if
  // OnNotify had returned `why`. A transport that does not take it leaves the device idle.
  virtual void OnGuestViolation(const absl::Status& why) { (void)why; }
};

class VirtioDevice {
 public:
  virtual ~VirtioDevice() = default;

  // Called by the transport before everything else; `notifier` outlives the device's use. Null:
  // nobody listens any more.
  void set_notifier(ConfigChangeNotifier* notifier) { notifier_ = notifier; }

  virtual DeviceId id() const = 0;
  // Bits of the device's own (0..23, 50..127) beside those of the transport and the queue.
  virtual uint64_t features() const = 0;
  // The greatest size of each queue; its length is their number.
  virtual absl::Span<const uint16_t> max_queue_sizes() const = 0;
  // The configuration space as the driver reads it.
  virtual absl::Span<const uint8_t> config() const = 0;
  // A write of the driver that lies inside config(). Read-only fields ignore it.
  virtual void WriteConfig(uint32_t offset, absl::Span<const uint8_t> bytes) = 0;

  // Whether the device looks after the kicks of its queues itself, by Virtqueue::events: the
  // transport then tells it by OnNotify that a queue starts, and of no kick.
  virtual bool watches_kicks() const { return false; }

  // DRIVER_OK: from here on `queues` (as many as max_queue_sizes) may be used. A queue that the
  // driver did not enable is null. They stay valid until Reset.
  virtual absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) = 0;
  // The driver kicked queue `index`. An error means that the guest broke the rules: the transport
  // then sets DEVICE_NEEDS_RESET and calls nothing but Reset.
  virtual absl::Status OnNotify(uint16_t index) = 0;
  // Back to the state before Activate, also of one that failed. When it returns, nothing of the
  // device touches guest memory.
  virtual void Reset() = 0;

  // Finishes what is under way elsewhere, as a disk's requests on its thread: until the next
  // OnNotify no chain is popped and not completed, and Save may follow.
  virtual void Quiesce() {}
  virtual msb::vmm::v1::DeviceState Save() const = 0;
  // Before Activate. Refuses, by kStateInvalid, what Save cannot have written.
  virtual absl::Status Restore(const msb::vmm::v1::DeviceState& state) = 0;

 protected:
  // Null when no transport wants to hear.
  ConfigChangeNotifier* notifier() const { return notifier_; }

 private:
  ConfigChangeNotifier* notifier_ = nullptr;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VIRTIO_DEVICE_H_
