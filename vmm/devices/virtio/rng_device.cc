// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/rng_device.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

absl::Status FillWithRandom(absl::Span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const auto got =
        Syscall("getrandom", [&] { return ::getrandom(bytes.data(), bytes.size(), 0); });
    if (!got.ok()) return WithReason(Reason::kHostError, "rng", got.status());
    bytes.remove_prefix(static_cast<size_t>(*got));
  }
  return absl::OkStatus();
}

// How many bytes it has put into `chain`.
absl::StatusOr<uint32_t> Fill(const DescriptorChain& chain) {
  uint64_t left = RngDevice::kMaxRequestBytes;
  for (const absl::Span<uint8_t> buffer : chain.writable()) {
    const absl::Span<uint8_t> part = buffer.first(std::min<uint64_t>(left, buffer.size()));
    MSB_RETURN_IF_ERROR(FillWithRandom(part));
    left -= part.size();
  }
  return static_cast<uint32_t>(RngDevice::kMaxRequestBytes - left);
}

}  // namespace

absl::Status RngDevice::Activate(uint64_t, absl::Span<Virtqueue* const> queues) {
  requests_ = queues[0];
  return absl::OkStatus();
}

absl::Status RngDevice::OnNotify(uint16_t) {
  const absl::Status served = Serve();
  if (!served.ok()) next_turn_.Cancel();
  return served;
}

void RngDevice::Reset() {
  requests_ = nullptr;
  next_turn_.Cancel();
}

void RngDevice::GoOn() {
  const absl::Status served = OnNotify(0);
  if (!served.ok() && notifier() != nullptr) notifier()->OnGuestViolation(served);
}

absl::Status RngDevice::Serve() {
  if (requests_ == nullptr) return absl::OkStatus();
  for (int served = 0; served < kMaxRequestsPerTurn; ++served) {
    MSB_ASSIGN_OR_RETURN(const bool has_next, requests_->HasNext());
    if (!has_next) return requests_->Flush();
    MSB_ASSIGN_OR_RETURN(DescriptorChain chain, requests_->Pop());
    if (!chain.readable().empty()) {  // 5.4.6.1
      return MakeError(Reason::kGuestViolation, "rng: request with readable bytes");
    }
    MSB_ASSIGN_OR_RETURN(const uint32_t written, Fill(chain));
    MSB_RETURN_IF_ERROR(requests_->Complete(std::move(chain), written));
  }
  next_turn_.Ask();
  return requests_->Flush();
}

msb::vmm::v1::DeviceState RngDevice::Save() const {
  msb::vmm::v1::DeviceState state;
  state.mutable_rng();
  return state;
}

absl::Status RngDevice::Restore(const msb::vmm::v1::DeviceState& state) {
  if (!state.has_rng()) return MakeError(Reason::kStateInvalid, "rng: state of another device");
  return absl::OkStatus();
}

}  // namespace msb
