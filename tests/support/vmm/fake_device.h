// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A device for tests of a transport. It answers each chain with its own readable bytes and notes
// how it was called. Every call must come on one thread.

#ifndef MSB_TESTS_SUPPORT_VMM_FAKE_DEVICE_H_
#define MSB_TESTS_SUPPORT_VMM_FAKE_DEVICE_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "vmm/devices/virtio/virtio_device.h"

namespace msb {

class FakeDevice final : public VirtioDevice {
 public:
  static constexpr uint64_t kFeature = 1;

  DeviceId id() const override { return DeviceId::kRng; }
  uint64_t features() const override { return kFeature; }
  absl::Span<const uint16_t> max_queue_sizes() const override { return max_queue_sizes_; }
  absl::Span<const uint8_t> config() const override { return config_; }
  void WriteConfig(uint32_t offset, absl::Span<const uint8_t> bytes) override {
    MSB_CHECK(offset + bytes.size() <= config_.size());
    std::copy(bytes.begin(), bytes.end(), config_.begin() + offset);
  }

  absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) override {
    MSB_CHECK(!active_ && queues.size() == max_queue_sizes_.size());
    active_ = true;
    ++activations_;
    driver_features_ = driver_features;
    queues_.assign(queues.begin(), queues.end());
    return absl::OkStatus();
  }
  absl::Status OnNotify(uint16_t index) override {
    MSB_CHECK(active_ && queues_[index] != nullptr);
    ++notifications_;
    while (true) {
      MSB_ASSIGN_OR_RETURN(const bool has_next, queues_[index]->HasNext());
      if (!has_next) return queues_[index]->Flush();
      MSB_ASSIGN_OR_RETURN(DescriptorChain chain, queues_[index]->Pop());
      std::string text(std::min<uint64_t>(chain.readable_bytes(), 4096), '\0');
      const absl::Span<uint8_t> bytes(reinterpret_cast<uint8_t*>(text.data()), text.size());
      const size_t written = chain.CopyIn(0, bytes.subspan(0, chain.CopyOut(0, bytes)));
      if (hold_chains_) continue;
      MSB_RETURN_IF_ERROR(
          queues_[index]->Complete(std::move(chain), static_cast<uint32_t>(written)));
    }
  }
  void Reset() override {
    MSB_CHECK(active_);
    active_ = false;
    ++resets_;
    queues_.clear();
  }
  msb::vmm::v1::DeviceState Save() const override {
    msb::vmm::v1::DeviceState state;
    state.mutable_rng();
    return state;
  }
  absl::Status Restore(const msb::vmm::v1::DeviceState& state) override {
    if (!state.has_rng()) return MakeError(Reason::kStateInvalid, "fake: not its state");
    return absl::OkStatus();
  }

  // Loop's thread, as the device's own work would be.
  void ChangeConfig(uint8_t first_byte) {
    config_[0] = first_byte;
    notifier()->OnConfigChanged();
  }
  void ReportViolation() {
    notifier()->OnGuestViolation(MakeError(Reason::kGuestViolation, "fake"));
  }
  void set_hold_chains(bool hold) { hold_chains_ = hold; }
  // Before its transport is made.
  void set_watches_kicks(bool watches) { watches_kicks_ = watches; }
  bool watches_kicks() const override { return watches_kicks_; }

  bool active() const { return active_; }
  int activations() const { return activations_; }
  int notifications() const { return notifications_; }
  int resets() const { return resets_; }
  uint64_t driver_features() const { return driver_features_; }
  const std::vector<Virtqueue*>& queues() const { return queues_; }

 private:
  const std::array<uint16_t, 2> max_queue_sizes_ = {8, 4};
  std::array<uint8_t, 8> config_ = {1, 2, 3, 4, 5, 6, 7, 8};
  bool active_ = false;
  bool hold_chains_ = false;
  bool watches_kicks_ = false;
  int activations_ = 0;
  int notifications_ = 0;
  int resets_ = 0;
  uint64_t driver_features_ = 0;
  std::vector<Virtqueue*> queues_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_VMM_FAKE_DEVICE_H_
