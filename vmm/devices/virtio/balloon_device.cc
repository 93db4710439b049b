// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/balloon_device.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb {
namespace {

// 5.5.2 numbers the reporting queue 4. But queues of features that are not offered do not count, in
// Linux as in QEMU: without statistics and free page hints it is the third.
enum Queue : uint16_t { kInflate = 0, kDeflate = 1, kReporting = 2 };

constexpr size_t kPagesPerCopy = 1024;

std::vector<uint16_t> QueueSizes(const BalloonDevice::Options& options) {
  return std::vector<uint16_t>(options.free_page_reporting ? 3 : 2, BalloonDevice::kQueueSize);
}

}  // namespace

BalloonDevice::BalloonDevice(EventLoop& loop, const GuestMemory& memory, const Options& options)
    : memory_(memory),
      options_(options),
      queue_sizes_(QueueSizes(options)),
      next_turn_(loop, [this] { GoOn(); }) {}

absl::Status BalloonDevice::SetTargetMib(uint32_t mib) {
  const uint64_t pages = (uint64_t{mib} << 20) / virtio::kBalloonPageBytes;
  if (pages > memory_pages()) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("the balloon cannot take ", mib, " MiB of a guest with ",
                                  memory_.total_bytes() >> 20));
  }
  config_.target_pages = static_cast<uint32_t>(pages);
  if (notifier() != nullptr) notifier()->OnConfigChanged();
  return absl::OkStatus();
}

uint64_t BalloonDevice::actual_bytes() const {
  return std::min<uint64_t>(config_.actual_pages, memory_pages()) * virtio::kBalloonPageBytes;
}

uint64_t BalloonDevice::features() const {
  uint64_t features = 0;
  if (options_.deflate_on_oom) features |= virtio::kBalloonFeatureDeflateOnOom;
  if (options_.free_page_reporting) features |= virtio::kBalloonFeatureReporting;
  return features;
}

absl::Span<const uint8_t> BalloonDevice::config() const {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&config_), sizeof(config_));
}

void BalloonDevice::WriteConfig(uint32_t offset, absl::Span<const uint8_t> bytes) {
  if (offset != offsetof(virtio::BalloonConfig, actual_pages)) return;
  if (bytes.size() != sizeof(config_.actual_pages)) return;
  std::memcpy(&config_.actual_pages, bytes.data(), bytes.size());
}

absl::Status BalloonDevice::Activate(uint64_t driver_features,
                                     absl::Span<Virtqueue* const> queues) {
  queues_.assign(queues.begin(), queues.end());
  const bool reports = (driver_features & virtio::kBalloonFeatureReporting) != 0;
  if (!reports && queues_.size() > kReporting) queues_[kReporting] = nullptr;
  return absl::OkStatus();
}

void BalloonDevice::Reset() {
  queues_.clear();
  next_turn_.Cancel();
  config_.actual_pages = 0;  // the driver has forgotten its pages, and has them all
}

absl::Status BalloonDevice::OnNotify(uint16_t index) {
  const absl::Status served = Serve(index);
  if (!served.ok()) next_turn_.Cancel();
  return served;
}

// Which queue had more is not kept: the others cost a look.
void BalloonDevice::GoOn() {
  for (uint16_t index = 0; index < queue_sizes_.size(); ++index) {
    const absl::Status served = OnNotify(index);
    if (served.ok()) continue;
    if (notifier() != nullptr) notifier()->OnGuestViolation(served);
    return;
  }
}

absl::Status BalloonDevice::Serve(uint16_t index) {
  if (index >= queues_.size() || queues_[index] == nullptr) return absl::OkStatus();
  Virtqueue& queue = *queues_[index];
  size_t discards = 0;
  for (int served = 0; served < kMaxRequestsPerTurn && discards < kMaxDiscardsPerTurn; ++served) {
    MSB_ASSIGN_OR_RETURN(const bool has_next, queue.HasNext());
    if (!has_next) return queue.Flush();
    MSB_ASSIGN_OR_RETURN(DescriptorChain chain, queue.Pop());
    MSB_ASSIGN_OR_RETURN(const size_t given_back, Carry(index, chain));
    discards += given_back;
    MSB_RETURN_IF_ERROR(queue.Complete(std::move(chain), 0));
  }
  next_turn_.Ask();
  return queue.Flush();
}

absl::StatusOr<size_t> BalloonDevice::Carry(uint16_t index, const DescriptorChain& chain) const {
  if (index == kInflate) return Inflate(chain);
  if (index == kReporting) return DiscardReported(chain);
  return 0;  // deflated pages need nothing: the host gives memory when they are touched
}

absl::StatusOr<size_t> BalloonDevice::Inflate(const DescriptorChain& chain) const {
  const uint64_t pages = chain.readable_bytes() / sizeof(uint32_t);
  if (chain.readable_bytes() % sizeof(uint32_t) != 0 || pages > kMaxPagesPerRequest) {
    return MakeError(Reason::kGuestViolation,
                     absl::StrCat("balloon: list of ", chain.readable_bytes(), " bytes"));
  }
  std::array<uint32_t, kPagesPerCopy> copied;
  size_t discards = 0;
  for (uint64_t done = 0; done < pages;) {
    const size_t count = std::min<uint64_t>(copied.size(), pages - done);
    const absl::Span<uint32_t> part = absl::MakeSpan(copied).first(count);
    chain.CopyOut(done * sizeof(uint32_t), absl::MakeSpan(reinterpret_cast<uint8_t*>(part.data()),
                                                          count * sizeof(uint32_t)));
    MSB_ASSIGN_OR_RETURN(const size_t given_back, DiscardPages(part));
    discards += given_back;
    done += count;
  }
  return discards;
}

// One call for each run of neighbours: a driver lists them in any order.
absl::StatusOr<size_t> BalloonDevice::DiscardPages(absl::Span<uint32_t> pages) const {
  std::sort(pages.begin(), pages.end());
  size_t runs = 0;
  for (size_t first = 0; first < pages.size(); ++runs) {
    size_t end = first + 1;
    while (end < pages.size() && pages[end] - pages[end - 1] <= 1) ++end;
    const uint64_t count = uint64_t{pages[end - 1]} - pages[first] + 1;
    const GuestRange range{GuestAddress{pages[first] * virtio::kBalloonPageBytes},
                           count * virtio::kBalloonPageBytes};
    MSB_ASSIGN_OR_RETURN(const absl::Span<uint8_t> bytes, memory_.Bytes(range));
    MSB_RETURN_IF_ERROR(memory_.Discard(bytes));
    first = end;
  }
  return runs;
}

// 5.5.6.7: the free pages are the request's own buffers.
absl::StatusOr<size_t> BalloonDevice::DiscardReported(const DescriptorChain& chain) const {
  for (const absl::Span<uint8_t> free : chain.writable()) {
    MSB_RETURN_IF_ERROR(memory_.Discard(free));
  }
  return chain.writable().size();
}

msb::vmm::v1::DeviceState BalloonDevice::Save() const {
  msb::vmm::v1::DeviceState state;
  state.mutable_balloon()->set_target_pages(config_.target_pages);
  state.mutable_balloon()->set_actual_pages(config_.actual_pages);
  return state;
}

absl::Status BalloonDevice::Restore(const msb::vmm::v1::DeviceState& state) {
  if (!state.has_balloon()) {
    return MakeError(Reason::kStateInvalid, "balloon: state of another device");
  }
  if (state.balloon().target_pages() > memory_pages()) {
    return MakeError(Reason::kStateInvalid, "balloon: larger than the guest");
  }
  config_.target_pages = state.balloon().target_pages();
  config_.actual_pages = state.balloon().actual_pages();  // the driver's word, whatever it was
  return absl::OkStatus();
}

}  // namespace msb
