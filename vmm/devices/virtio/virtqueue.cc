// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/virtqueue.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "vmm/devices/virtio/spec/split_ring.h"

namespace msb {
namespace {

using virtio::Descriptor;

absl::Status RingError(absl::string_view detail) {
  return MakeError(Reason::kGuestViolation, absl::StrCat("virtqueue: ", detail));
}

// The ring fields are aligned: Create checked the guest addresses, and regions start at page
// borders.
std::atomic_ref<uint16_t> Field(uint8_t* area, size_t offset) {
  return std::atomic_ref<uint16_t>(*reinterpret_cast<uint16_t*>(area + offset));
}

// A copy that the guest can no longer change. An indirect table may stand at any address.
Descriptor CopyDescriptor(const uint8_t* table, size_t index) {
  Descriptor copy;
  std::memcpy(&copy, table + index * sizeof(Descriptor), sizeof(Descriptor));
  std::atomic_signal_fence(std::memory_order_seq_cst);  // no second read in place of the copy
  return copy;
}

absl::StatusOr<uint8_t*> RingPart(const GuestMemory& memory, GuestAddress start, uint64_t size,
                                  uint64_t alignment) {
  if (ToUint64(start) % alignment != 0) {
    return RingError(absl::StrCat("address ", ToUint64(start), " is not aligned to ", alignment));
  }
  MSB_ASSIGN_OR_RETURN(const absl::Span<uint8_t> bytes, memory.Bytes({start, size}));
  return bytes.data();
}

// Follows one chain through the table of the queue and, where it ends in one, an indirect table.
class ChainWalk {
 public:
  ChainWalk(const GuestMemory& memory, DescriptorChain::Buffers& readable,
            DescriptorChain::Buffers& writable)
      : memory_(memory), readable_(readable), writable_(writable) {}

  absl::Status WalkQueue(const uint8_t* table, uint32_t entries, uint16_t head) {
    return Walk(table, entries, head, Level::kQueue);
  }
  uint64_t readable_bytes() const { return readable_bytes_; }
  uint64_t writable_bytes() const { return writable_bytes_; }

 private:
  enum class Level { kQueue, kIndirect };

  absl::Status Walk(const uint8_t* table, uint32_t entries, uint16_t index, Level level) {
    // As many steps as entries: a longer walk has passed one twice, and would go on for ever.
    for (uint32_t step = 0; step < entries; ++step) {
      if (index >= entries) return RingError("descriptor index beyond its table");
      const Descriptor descriptor = CopyDescriptor(table, index);
      if ((descriptor.flags & virtio::kDescriptorIndirect) != 0) {
        if (level == Level::kIndirect) return RingError("indirect table inside an indirect table");
        return WalkIndirect(descriptor);
      }
      MSB_RETURN_IF_ERROR(AddBuffer(descriptor));
      if ((descriptor.flags & virtio::kDescriptorNext) == 0) return absl::OkStatus();
      index = descriptor.next;
    }
    return RingError("descriptor chain is a loop");
  }

  // 2.7.5.3. The write flag of `descriptor` itself is ignored (2.7.5.3.2).
  absl::Status WalkIndirect(const Descriptor& descriptor) {
    if ((descriptor.flags & virtio::kDescriptorNext) != 0) {
      return RingError("indirect descriptor that is not the last of its chain");
    }
    const uint32_t entries = descriptor.length / sizeof(Descriptor);
    if (descriptor.length % sizeof(Descriptor) != 0 || entries == 0 ||
        entries > kMaxIndirectDescriptors) {
      return RingError(absl::StrCat("indirect table of ", descriptor.length, " bytes"));
    }
    MSB_ASSIGN_OR_RETURN(const absl::Span<uint8_t> table,
                         memory_.Bytes({GuestAddress{descriptor.address}, descriptor.length}));
    return Walk(table.data(), entries, 0, Level::kIndirect);
  }

  absl::Status AddBuffer(const Descriptor& descriptor) {
    const bool is_writable = (descriptor.flags & virtio::kDescriptorWrite) != 0;
    if (!is_writable && seen_writable_) return RingError("readable buffer behind a writable one");
    seen_writable_ |= is_writable;
    if (descriptor.length == 0) return absl::OkStatus();  // says nothing, points nowhere
    uint64_t& bytes = is_writable ? writable_bytes_ : readable_bytes_;
    bytes += descriptor.length;
    if (readable_bytes_ + writable_bytes_ > virtio::kMaxChainBytes) {
      return RingError("descriptor chain of more than 4 GiB");
    }
    MSB_ASSIGN_OR_RETURN(const absl::Span<uint8_t> span,
                         memory_.Bytes({GuestAddress{descriptor.address}, descriptor.length}));
    (is_writable ? writable_ : readable_).push_back(span);
    return absl::OkStatus();
  }

  const GuestMemory& memory_;
  DescriptorChain::Buffers& readable_;
  DescriptorChain::Buffers& writable_;
  uint64_t readable_bytes_ = 0;
  uint64_t writable_bytes_ = 0;
  bool seen_writable_ = false;
};

// Calls `copy(part of a buffer, position in the copy)` for each piece of `length` bytes from
// `offset` on; returns how many bytes there were.
template <typename Copy>
size_t ForEachPiece(absl::Span<const absl::Span<uint8_t>> buffers, uint64_t offset, size_t length,
                    Copy copy) {
  size_t done = 0;
  for (absl::Span<uint8_t> buffer : buffers) {
    if (done == length) break;
    if (offset >= buffer.size()) {
      offset -= buffer.size();
      continue;
    }
    buffer = buffer.subspan(offset, length - done);
    offset = 0;
    copy(buffer, done);
    done += buffer.size();
  }
  return done;
}

}  // namespace

size_t DescriptorChain::CopyOut(uint64_t offset, absl::Span<uint8_t> out) const {
  const size_t copied =
      ForEachPiece(readable_, offset, out.size(), [&](absl::Span<uint8_t> piece, size_t position) {
        std::memcpy(out.data() + position, piece.data(), piece.size());
      });
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return copied;
}

size_t DescriptorChain::CopyIn(uint64_t offset, absl::Span<const uint8_t> in) const {
  return ForEachPiece(writable_, offset, in.size(),
                      [&](absl::Span<uint8_t> piece, size_t position) {
                        std::memcpy(piece.data(), in.data() + position, piece.size());
                      });
}

absl::StatusOr<Virtqueue> Virtqueue::Create(const GuestMemory& memory,
                                            const VirtqueueLayout& layout, bool event_index,
                                            Interrupt interrupt) {
  MSB_CHECK(interrupt != nullptr);
  if (!std::has_single_bit(layout.size) || layout.size > virtio::kMaxQueueSize) {
    return RingError(absl::StrCat("size ", layout.size));
  }
  Virtqueue queue(memory, layout, event_index, std::move(interrupt));
  MSB_ASSIGN_OR_RETURN(queue.descriptors_,
                       RingPart(memory, layout.descriptor_table, sizeof(Descriptor) * layout.size,
                                virtio::kDescriptorTableAlignment));
  MSB_ASSIGN_OR_RETURN(queue.driver_area_,
                       RingPart(memory, layout.driver_area, virtio::AvailableBytes(layout.size),
                                virtio::kDriverAreaAlignment));
  MSB_ASSIGN_OR_RETURN(queue.device_area_,
                       RingPart(memory, layout.device_area, virtio::UsedBytes(layout.size),
                                virtio::kDeviceAreaAlignment));
  return queue;
}

void Virtqueue::SetPosition(uint16_t next_available, uint16_t next_used) {
  next_available_ = next_available;
  seen_available_ = next_available;
  next_used_ = next_used;
  flushed_used_ = next_used;
  interrupt_is_due_ = false;
  notifications_off_ = true;  // as whoever served the queue before may have left them
}

absl::StatusOr<bool> Virtqueue::HasNext() {
  if (suspended_) return false;
  if (next_available_ != seen_available_) return true;
  MSB_RETURN_IF_ERROR(ReadAvailableIndex());
  if (next_available_ == seen_available_) {
    EnableNotifications();
    // The driver publishes its index, then reads whether we want a kick; we publish that we want
    // one, then read its index again: of the two, one sees the other (2.7.13.3.1 asks for both
    // barriers).
    std::atomic_thread_fence(std::memory_order_seq_cst);
    MSB_RETURN_IF_ERROR(ReadAvailableIndex());
    if (next_available_ == seen_available_) return false;
  }
  DisableNotifications();
  return true;
}

absl::Status Virtqueue::ReadAvailableIndex() {
  // Acquire: what the index announces, ring elements and descriptors, is read behind it.
  const uint16_t index =
      Field(driver_area_, virtio::kAvailableIndexOffset).load(std::memory_order_acquire);
  const auto pending = static_cast<uint16_t>(index - next_available_);
  if (pending > layout_.size) {
    return RingError(absl::StrCat("available index ", index, " is ", pending,
                                  " ahead of a queue of ", layout_.size));
  }
  seen_available_ = index;
  return absl::OkStatus();
}

void Virtqueue::EnableNotifications() {
  if (event_index_) {
    Field(device_area_, virtio::AvailableEventOffset(layout_.size))
        .store(next_available_, std::memory_order_relaxed);
  } else if (notifications_off_) {
    Field(device_area_, virtio::kUsedFlagsOffset).store(0, std::memory_order_relaxed);
    notifications_off_ = false;
  }
}

// With event index nothing is to be done: avail_event stays behind, and the driver passes it once.
void Virtqueue::DisableNotifications() {
  if (event_index_ || notifications_off_) return;
  Field(device_area_, virtio::kUsedFlagsOffset)
      .store(virtio::kUsedNoNotify, std::memory_order_relaxed);
  notifications_off_ = true;
}

absl::StatusOr<DescriptorChain> Virtqueue::Pop() {
  MSB_CHECK(next_available_ != seen_available_);
  if (in_flight() >= layout_.size) return RingError("more chains available than descriptors");
  const size_t slot = next_available_ % layout_.size;
  MSB_ASSIGN_OR_RETURN(
      DescriptorChain chain,
      WalkFrom(Field(driver_area_, virtio::kAvailableRingOffset + slot * sizeof(uint16_t))
                   .load(std::memory_order_relaxed)));
  ++next_available_;
  return chain;
}

absl::StatusOr<DescriptorChain> Virtqueue::WalkFrom(uint16_t head) const {
  DescriptorChain chain;
  chain.head_ = head;
  ChainWalk walk(*memory_, chain.readable_, chain.writable_);
  MSB_RETURN_IF_ERROR(walk.WalkQueue(descriptors_, layout_.size, head));
  chain.readable_bytes_ = walk.readable_bytes();
  chain.writable_bytes_ = walk.writable_bytes();
  return chain;
}

uint16_t Virtqueue::PublishedUsed() const {
  return Field(device_area_, virtio::kUsedIndexOffset).load(std::memory_order_acquire);
}

absl::StatusOr<std::vector<DescriptorChain>> Virtqueue::Recover(uint16_t used,
                                                                absl::Span<const uint16_t> heads) {
  if (heads.size() > layout_.size) return RingError("more chains under way than descriptors");
  SetPosition(static_cast<uint16_t>(used + heads.size()), used);
  interrupt_is_due_ = true;
  std::vector<DescriptorChain> chains;
  for (const uint16_t head : heads) {
    MSB_ASSIGN_OR_RETURN(DescriptorChain chain, WalkFrom(head));
    chains.push_back(std::move(chain));
  }
  return chains;
}

void Virtqueue::PutUsed(uint16_t head, uint32_t written) {
  MSB_CHECK(in_flight() > 0);
  const virtio::UsedElement element{.id = head, .length = written};
  const size_t slot = next_used_ % layout_.size;
  std::memcpy(device_area_ + virtio::kUsedRingOffset + slot * sizeof(element), &element,
              sizeof(element));
  ++next_used_;
  if (next_used_ == flushed_used_) interrupt_is_due_ = true;
}

absl::Status Virtqueue::Complete(DescriptorChain chain, uint32_t written) {
  Completion completion{std::move(chain), written};
  return CompleteTogether(absl::MakeSpan(&completion, 1));
}

absl::Status Virtqueue::CompleteTogether(absl::Span<Completion> completions) {
  for (const Completion& completion : completions) {
    MSB_CHECK(completion.written <= completion.chain.writable_bytes_);
    PutUsed(completion.chain.head_, completion.written);
  }
  // Release: whoever sees the index sees the element and the bytes of the buffers.
  Field(device_area_, virtio::kUsedIndexOffset).store(next_used_, std::memory_order_release);
  return absl::OkStatus();
}

void Virtqueue::Return(DescriptorChain chain) {
  MSB_CHECK(in_flight() > 0);
  (void)chain;
  --next_available_;
}

absl::Status Virtqueue::Flush() {
  if (next_used_ == flushed_used_ && !interrupt_is_due_) return absl::OkStatus();
  // Our index is out before we read whether the driver wants to hear of it (2.7.7.2): it does it
  // the other way round.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const bool wanted = interrupt_is_due_ || DriverWantsInterrupt();
  flushed_used_ = next_used_;
  interrupt_is_due_ = false;
  if (wanted) interrupt_();
  return absl::OkStatus();
}

bool Virtqueue::DriverWantsInterrupt() const {
  if (event_index_) {
    const uint16_t event =
        Field(driver_area_, virtio::UsedEventOffset(layout_.size)).load(std::memory_order_relaxed);
    return virtio::NeedsEvent(event, next_used_, flushed_used_);
  }
  const uint16_t flags =
      Field(driver_area_, virtio::kAvailableFlagsOffset).load(std::memory_order_relaxed);
  return (flags & virtio::kAvailableNoInterrupt) == 0;
}

}  // namespace msb
