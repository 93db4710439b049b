// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A hostile driver against the walker: the input gives the rings' contents, the device's calls, and
// what the driver writes between them.

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tests/support/fuzz_input.h"
#include "vmm/devices/virtio/spec/split_ring.h"
#include "vmm/devices/virtio/virtqueue.h"

namespace msb {
namespace {

constexpr GuestAddress kMemoryStart{0x1000};
constexpr uint64_t kMemoryBytes = 2 * 4096;
constexpr int kSizes = 5;  // 1, 2, 4, 8, 16
// Each ring begins at a place that the input can reach with few bytes.
constexpr GuestAddress kDescriptors{0x1000};
constexpr GuestAddress kDriverArea{0x1200};
constexpr GuestAddress kDeviceArea{0x1400};

const GuestMemory& Memory() {
  static const GuestMemory* const memory = [] {
    absl::StatusOr<GuestMemory> made = GuestMemory::Allocate({{kMemoryStart, kMemoryBytes}});
    MSB_CHECK(made.ok());
    return new GuestMemory(*std::move(made));
  }();
  return *memory;
}

absl::Span<uint8_t> AllBytes() { return *Memory().Bytes({kMemoryStart, kMemoryBytes}); }

// Reads or writes both ends of all that the chain offers: what lies outside of the memory is a
// fault.
void Touch(const DescriptorChain& chain) {
  uint64_t readable = 0;
  uint64_t writable = 0;
  for (const absl::Span<uint8_t> buffer : chain.readable()) {
    MSB_CHECK(!buffer.empty());
    readable += buffer.size();
    (void)*const_cast<volatile const uint8_t*>(&buffer.front());
    (void)*const_cast<volatile const uint8_t*>(&buffer.back());
  }
  for (const absl::Span<uint8_t> buffer : chain.writable()) {
    MSB_CHECK(!buffer.empty());
    writable += buffer.size();
    buffer.front() = buffer.front();
    buffer.back() = buffer.back();
  }
  MSB_CHECK(readable == chain.readable_bytes() && writable == chain.writable_bytes());
  MSB_CHECK(readable + writable <= virtio::kMaxChainBytes);
  std::array<uint8_t, 64> header;
  chain.CopyOut(readable / 2, absl::MakeSpan(header));
  chain.CopyIn(writable / 2, header);
}

class Device {
 public:
  explicit Device(Virtqueue queue) : queue_(std::move(queue)) {}

  // False once the queue has refused the guest.
  bool Step(FuzzInput& input) {
    switch (input.Take<uint8_t>() % 6) {
      case 0:
        return PopNext();
      case 1:
        return Complete(input.Take<uint8_t>(), input.Take<uint32_t>());
      case 2:
        if (may_return_) queue_.Return(std::move(held_.back())), held_.pop_back();
        may_return_ = false;
        return true;
      case 3:
        return queue_.Flush().ok();
      case 4: {
        const auto offset = input.Take<uint16_t>() % kMemoryBytes;
        const absl::Span<const uint8_t> bytes = input.TakeBytes(input.Take<uint8_t>());
        const absl::Span<uint8_t> target = AllBytes().subspan(offset);
        std::copy_n(bytes.begin(), std::min(bytes.size(), target.size()), target.begin());
        return true;
      }
      default: {
        // The driver announces one more chain.
        auto& index = reinterpret_cast<uint16_t&>(
            AllBytes()[ToUint64(kDriverArea) - ToUint64(kMemoryStart) + 2]);
        ++index;
        return true;
      }
    }
  }

 private:
  bool PopNext() {
    const absl::StatusOr<bool> has_next = queue_.HasNext();
    if (!has_next.ok()) return false;
    if (!*has_next) return true;
    absl::StatusOr<DescriptorChain> chain = queue_.Pop();
    if (!chain.ok()) return false;
    Touch(*chain);
    held_.push_back(*std::move(chain));
    may_return_ = true;
    MSB_CHECK(held_.size() <= queue_.layout().size);
    return true;
  }

  bool Complete(size_t which, uint32_t written) {
    if (held_.empty()) return true;
    which %= held_.size();
    DescriptorChain chain = std::move(held_[which]);
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(which));
    may_return_ = may_return_ && which < held_.size();
    const uint64_t most = std::min<uint64_t>(chain.writable_bytes(), ~uint32_t{0});
    return queue_.Complete(std::move(chain), static_cast<uint32_t>(written % (most + 1))).ok();
  }

  Virtqueue queue_;
  std::vector<DescriptorChain> held_;
  bool may_return_ = false;  // the last of held_ is the one that was popped last
};

void Fuzz(FuzzInput input) {
  const auto flags = input.Take<uint8_t>();
  const VirtqueueLayout layout{.size = static_cast<uint16_t>(1 << flags % kSizes),
                               .descriptor_table = kDescriptors,
                               .driver_area = kDriverArea,
                               .device_area = kDeviceArea};
  const auto position = input.Take<uint16_t>();
  const absl::Span<const uint8_t> image = input.TakeBytes(input.Take<uint16_t>());
  const absl::Span<uint8_t> memory = AllBytes();
  std::fill(memory.begin(), memory.end(), uint8_t{0});
  std::copy_n(image.begin(), std::min(image.size(), memory.size()), memory.begin());

  absl::StatusOr<Virtqueue> queue =
      Virtqueue::Create(Memory(), layout, /*event_index=*/(flags & 0x80) != 0, [] {});
  if (!queue.ok()) return;
  queue->SetPosition(position, position);
  Device device(*std::move(queue));
  while (!input.empty() && device.Step(input)) {
  }
}

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::Fuzz(msb::FuzzInput(data, size));
  return 0;
}
