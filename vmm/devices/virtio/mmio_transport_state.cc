// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Saving and restoring the transport. A saved state is as hostile as a guest: whatever it says must
// be something that a driver could have brought about.

#include <bit>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "vmm/devices/virtio/mmio_transport.h"
#include "vmm/devices/virtio/spec/device.h"

namespace msb {

using msb::vmm::v1::VirtioTransportState;
using msb::vmm::v1::VirtqueueState;

namespace {

constexpr uint32_t kKnownStatusBits = virtio::kStatusAcknowledge | virtio::kStatusDriver |
                                      virtio::kStatusDriverOk | virtio::kStatusFeaturesOk |
                                      virtio::kStatusNeedsReset | virtio::kStatusFailed;
constexpr uint32_t kKnownInterrupts = virtio::kInterruptUsedBuffer | virtio::kInterruptConfigChange;

absl::Status Invalid(absl::string_view detail) {
  return MakeError(Reason::kStateInvalid, absl::StrCat("virtio transport: ", detail));
}

bool IsRunning(uint32_t status) {
  return (status & virtio::kStatusDriverOk) != 0 && (status & virtio::kStatusNeedsReset) == 0;
}

absl::StatusOr<VirtqueueLayout> LayoutOf(const VirtqueueState& state, uint16_t max_size) {
  if (state.size() > max_size) return Invalid("queue larger than the device's");
  return VirtqueueLayout{.size = static_cast<uint16_t>(state.size()),
                         .descriptor_table = GuestAddress{state.descriptor_table()},
                         .driver_area = GuestAddress{state.driver_area()},
                         .device_area = GuestAddress{state.device_area()}};
}

absl::Status CheckPosition(const VirtqueueState& state, uint32_t status) {
  if (!IsRunning(status) && state.next_available() != 0) {
    return Invalid("a position in a queue that is not served");
  }
  if (state.next_available() > std::numeric_limits<uint16_t>::max() ||
      state.next_used() != state.next_available()) {
    return Invalid("queue that is not at rest");
  }
  return absl::OkStatus();
}

absl::Status CheckStatus(const VirtioTransportState& state, uint64_t offered_features) {
  const uint32_t status = state.status();
  const bool features_ok = (status & virtio::kStatusFeaturesOk) != 0;
  if ((status & ~kKnownStatusBits) != 0) return Invalid("unknown status bits");
  if ((status & virtio::kStatusDriverOk) != 0 && !features_ok) {
    return Invalid("DRIVER_OK without FEATURES_OK");
  }
  if (features_ok && (status & virtio::kStatusDriver) == 0) {
    return Invalid("FEATURES_OK without DRIVER");
  }
  if (features_ok && ((state.driver_features() & ~offered_features) != 0 ||
                      (state.driver_features() & virtio::kFeatureVersion1) == 0)) {
    return Invalid("features that the device does not offer");
  }
  if ((state.interrupt_status() & ~kKnownInterrupts) != 0) return Invalid("unknown interrupts");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VirtioTransportState> MmioTransport::Save() {
  if (phase_ == Phase::kActive) device_.Quiesce();
  VirtioTransportState state;
  absl::MutexLock lock(&mutex_);
  state.set_status(registers_.status);
  state.set_driver_features(registers_.driver_features);
  state.set_device_features_select(registers_.device_features_select);
  state.set_driver_features_select(registers_.driver_features_select);
  state.set_queue_select(registers_.queue_select);
  state.set_interrupt_status(interrupt_status_.load(std::memory_order_acquire));
  state.set_config_generation(config_generation_);
  const bool event_index = (registers_.driver_features & virtio::kFeatureEventIndex) != 0;
  for (size_t i = 0; i < registers_.queues.size(); ++i) {
    const QueueRegisters& queue = registers_.queues[i];
    VirtqueueState& saved = *state.add_queues();
    saved.set_size(queue.layout.size);
    saved.set_ready(queue.ready);
    saved.set_descriptor_table(ToUint64(queue.layout.descriptor_table));
    saved.set_driver_area(ToUint64(queue.layout.driver_area));
    saved.set_device_area(ToUint64(queue.layout.device_area));
    saved.set_event_index(event_index);
    if (phase_ != Phase::kActive || queue_of_[i] == nullptr) continue;
    if (queue_of_[i]->next_available() != queue_of_[i]->next_used()) {
      return MakeError(Reason::kInternalBug,
                       absl::StrCat("device ", static_cast<uint32_t>(device_id_), " queue ", i,
                                    " is not at rest"));
    }
    saved.set_next_available(queue_of_[i]->next_available());
    saved.set_next_used(queue_of_[i]->next_used());
  }
  *state.mutable_device() = device_.Save();
  return state;
}

absl::StatusOr<MmioTransport::Registers> MmioTransport::CheckState(
    const VirtioTransportState& state) const {
  MSB_RETURN_IF_ERROR(CheckStatus(state, offered_features_));
  if (state.queues_size() != static_cast<int>(max_queue_sizes_.size())) {
    return Invalid("another number of queues");
  }
  Registers registers{.status = state.status(),
                      .driver_features = state.driver_features(),
                      .device_features_select = state.device_features_select(),
                      .driver_features_select = state.driver_features_select(),
                      .queue_select = state.queue_select(),
                      .queues = {}};
  const bool event_index = (state.driver_features() & virtio::kFeatureEventIndex) != 0;
  for (size_t i = 0; i < max_queue_sizes_.size(); ++i) {
    const VirtqueueState& queue = state.queues(static_cast<int>(i));
    MSB_ASSIGN_OR_RETURN(const VirtqueueLayout layout, LayoutOf(queue, max_queue_sizes_[i]));
    MSB_RETURN_IF_ERROR(CheckPosition(queue, state.status()));
    if (queue.event_index() != event_index) return Invalid("event index of one queue alone");
    if (queue.ready() && (state.status() & virtio::kStatusFeaturesOk) == 0) {
      return Invalid("ready queue before FEATURES_OK");
    }
    registers.queues.push_back({.layout = layout, .ready = queue.ready()});
  }
  return registers;
}

absl::Status MmioTransport::Restore(const VirtioTransportState& state) {
  if (phase_ != Phase::kIdle) return Invalid("restored into a device in use");
  MSB_ASSIGN_OR_RETURN(const Registers registers, CheckState(state));
  MSB_RETURN_IF_ERROR(device_.Restore(state.device()));
  RefreshConfig();
  {
    absl::MutexLock lock(&mutex_);
    registers_ = registers;
    config_generation_ = state.config_generation();
  }
  if (IsRunning(registers.status)) {
    const absl::Status built = BuildQueues(registers);
    if (!built.ok()) return WithReason(Reason::kStateInvalid, "virtio transport", built);
    for (size_t i = 0; i < queue_of_.size(); ++i) {
      if (queue_of_[i] == nullptr) continue;
      const auto position =
          static_cast<uint16_t>(state.queues(static_cast<int>(i)).next_available());
      queue_of_[i]->SetPosition(position, position);
    }
    phase_ = Phase::kActive;
    MSB_RETURN_IF_ERROR(device_.Activate(registers.driver_features, queue_of_));
  }
  for (size_t i = 0; i < notify_events_.size(); ++i) Kick(static_cast<uint32_t>(i));
  // An interrupt that was raised and not yet acknowledged: once more is harmless, never is not.
  if (state.interrupt_status() != 0) Interrupt(state.interrupt_status());
  return absl::OkStatus();
}

}  // namespace msb
