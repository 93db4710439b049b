// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the messages of one vhost-user connection do to one device: features, memory, rings, config.
//
// Protocol features that this back end has: multiqueue, REPLY_ACK, CONFIG, RESET_DEVICE. It has no
// dirty log (such a machine is not migrated) and no channel of its own to the front end: that a
// device changed its config is the machine's to tell QEMU by its monitor.
//
// A ring is served from when it is both enabled (SET_VRING_ENABLE(1)) and set up, and so are all
// the others that are enabled, until GET_VRING_BASE or SET_VRING_ENABLE(0). QEMU sets up all rings
// of a disk and then enables them, but enables those of a network card first. The protocol has no
// word for DRIVER_OK: the first ring to be served activates the device with all rings that are set
// up by then. Nor has it a word for "paused": QEMU stops the rings of a paused machine and starts
// them again with what it was told at the stop. A start that says the same as the stop goes on
// where the device was; any other resets the device first.
//
// A device that watches its kicks itself (virtio_device.h) comes to rest before its interrupt gets
// another descriptor, and is told of each start: its rings are with another process meanwhile.
//
// Threading: the event loop's.

#ifndef MSB_VMM_VHOST_USER_SESSION_H_
#define MSB_VMM_VHOST_USER_SESSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/devices/virtio/virtio_device.h"
#include "vmm/devices/virtio/virtqueue.h"
#include "vmm/vhost_user/memory_table.h"
#include "vmm/vhost_user/message.h"

namespace msb::vhost_user {

class Session final : private ConfigChangeNotifier {
 public:
  // Called when the device says that its config space has changed; may be null.
  using OnConfigChange = std::function<void()>;

  // All three references outlive the session.
  Session(EventLoop& loop, VirtioDevice& device, MemoryTables& tables,
          OnConfigChange on_config_changed = nullptr);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() override;

  // The payload of the reply; empty for none. An error (kQemuError) means that the front end broke
  // the protocol: the connection is then of no more use. What the guest did wrong is no error here:
  // its device stands still until the driver resets it.
  absl::StatusOr<std::string> Handle(Message message);

 private:
  struct Ring {
    uint16_t index = 0;
    uint32_t size = 0;
    uint16_t base = 0;
    std::optional<RingAddress> address;
    UniqueFd kick;
    UniqueFd call;
    std::unique_ptr<Virtqueue> queue;  // while the device is active
    bool enabled = false;
    bool running = false;

    bool configured() const { return size != 0 && address.has_value() && kick.valid(); }
    uint16_t position() const { return queue != nullptr ? queue->next_available() : base; }
  };
  enum class State {
    kIdle,
    kActive,
    kBroken,  // the guest broke the rules; nothing is served until the driver stops its rings
  };
  // What the device was activated with.
  struct Activation {
    uint64_t features = 0;
    std::shared_ptr<const MemoryTable> table;
  };

  void OnConfigChanged() override {
    if (on_config_changed_ != nullptr) on_config_changed_();
  }
  void OnGuestViolation(const absl::Status& why) override { GuestBroke(why); }

  uint64_t OfferedFeatures() const;
  absl::StatusOr<Ring*> RingAt(uint64_t index);
  absl::StatusOr<UniqueFd> RingDescriptor(Message& message) const;

  absl::Status SetFeatures(const Message& message);
  absl::Status SetMemoryTable(Message message);
  absl::Status SetRingSize(const Message& message);
  absl::Status SetRingAddress(const Message& message);
  absl::Status SetRingBase(const Message& message);
  absl::StatusOr<std::string> GetRingBase(const Message& message);
  absl::Status SetRingKick(Message message);
  absl::Status SetRingCall(Message message);
  absl::Status SetRingEnable(const Message& message);
  absl::StatusOr<std::string> GetConfig(const Message& message) const;
  absl::Status SetConfig(const Message& message);

  absl::Status StartEnabledRings();
  absl::Status StartRing(Ring& ring);
  void StopRing(Ring& ring);
  absl::Status StartDevice();
  void ResetDevice();
  bool AnyRunning() const;
  absl::StatusOr<bool> ContinuesWhereItStopped() const;
  absl::StatusOr<VirtqueueLayout> LayoutOf(const Ring& ring) const;
  absl::StatusOr<Virtqueue> MakeQueue(Ring& ring, const VirtqueueLayout& layout) const;
  absl::Status ActivateDevice();
  void OnKick(Ring& ring);
  void Unwatch(const Ring& ring);
  void Notify(const Ring& ring);
  void GuestBroke(const absl::Status& how);

  EventLoop& loop_;
  VirtioDevice& device_;
  MemoryTables& tables_;
  const OnConfigChange on_config_changed_;
  std::vector<Ring> rings_;  // its length never changes: closures point into it
  uint64_t features_ = 0;
  std::shared_ptr<const MemoryTable> table_;
  State state_ = State::kIdle;
  std::optional<Activation> activation_;  // until the device is reset
  bool violation_logged_ = false;
};

}  // namespace msb::vhost_user

#endif  // MSB_VMM_VHOST_USER_SESSION_H_
