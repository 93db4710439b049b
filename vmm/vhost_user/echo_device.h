// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A device for tests of a transport: writes the readable bytes of each chain into its writable
// part.

#ifndef MSB_VMM_VHOST_USER_ECHO_DEVICE_H_
#define MSB_VMM_VHOST_USER_ECHO_DEVICE_H_

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "vmm/devices/virtio/virtio_device.h"

namespace msb::vhost_user {

class EchoDevice final : public VirtioDevice {
 public:
  static constexpr uint64_t kFeature = 1;

  DeviceId id() const override { return DeviceId::kVsock; }
  uint64_t features() const override { return kFeature; }
  absl::Span<const uint16_t> max_queue_sizes() const override { return sizes_; }
  absl::Span<const uint8_t> config() const override { return config_; }
  void WriteConfig(uint32_t offset, absl::Span<const uint8_t> bytes) override {
    MSB_CHECK(offset + bytes.size() <= config_.size());
    std::copy(bytes.begin(), bytes.end(), config_.begin() + offset);
  }

  absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) override {
    MSB_CHECK(!active_);
    active_ = true;
    ++activations_;
    driver_features_ = driver_features;
    queues_.assign(queues.begin(), queues.end());
    return absl::OkStatus();
  }
  absl::Status OnNotify(uint16_t index) override {
    MSB_CHECK(active_ && queues_[index] != nullptr);
    return Serve(*queues_[index]);
  }
  void Reset() override {
    MSB_CHECK(active_);
    active_ = false;
    queues_.clear();
  }
  void Quiesce() override { ++quiesced_; }
  bool watches_kicks() const override { return watches_kicks_; }
  msb::vmm::v1::DeviceState Save() const override { return {}; }
  absl::Status Restore(const msb::vmm::v1::DeviceState&) override { return absl::OkStatus(); }

  absl::Status Serve(Virtqueue& queue) {
    while (true) {
      MSB_ASSIGN_OR_RETURN(const bool more, queue.HasNext());
      if (!more) return queue.Flush();
      MSB_ASSIGN_OR_RETURN(DescriptorChain chain, queue.Pop());
      std::string bytes(std::min<uint64_t>(chain.readable_bytes(), 65536), '\0');
      const absl::Span<uint8_t> span(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size());
      const size_t written = chain.CopyIn(0, span.subspan(0, chain.CopyOut(0, span)));
      MSB_RETURN_IF_ERROR(queue.Complete(std::move(chain), static_cast<uint32_t>(written)));
      ++served_;
    }
  }

  void FindFault() {
    notifier()->OnGuestViolation(MakeError(Reason::kGuestViolation, "found in passing"));
  }

  // Before its rings are started.
  void set_watches_kicks(bool watches) { watches_kicks_ = watches; }

  int served() const { return served_; }
  int quiesced() const { return quiesced_; }
  bool active() const { return active_; }
  int activations() const { return activations_; }
  uint64_t driver_features() const { return driver_features_; }
  const std::vector<Virtqueue*>& queues() const { return queues_; }

 private:
  const std::array<uint16_t, 3> sizes_ = {8, 8, 8};
  std::array<uint8_t, 8> config_ = {1, 2, 3, 4, 5, 6, 7, 8};
  bool watches_kicks_ = false;
  bool active_ = false;
  int activations_ = 0;
  int quiesced_ = 0;
  int served_ = 0;
  uint64_t driver_features_ = 0;
  std::vector<Virtqueue*> queues_;
};

}  // namespace msb::vhost_user

#endif  // MSB_VMM_VHOST_USER_ECHO_DEVICE_H_
