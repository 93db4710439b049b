// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/vmm/fake_queue.h"

#include <atomic>
#include <utility>

#include "base/check.h"
#include "tests/support/vmm/fake_guest.h"

namespace msb {

using virtio::Descriptor;
using virtio::UsedElement;

FakeQueue::FakeQueue(FakeGuest& guest, uint16_t size, bool event_index)
    : guest_(&guest), event_index_(event_index) {
  layout_.size = size;
  layout_.descriptor_table =
      guest.Allocate(sizeof(Descriptor) * size, virtio::kDescriptorTableAlignment).start;
  layout_.driver_area =
      guest.Allocate(virtio::AvailableBytes(size), virtio::kDriverAreaAlignment).start;
  layout_.device_area = guest.Allocate(virtio::UsedBytes(size), virtio::kDeviceAreaAlignment).start;
  for (uint16_t index = size; index > 0; --index) free_.push_back(static_cast<uint16_t>(index - 1));
}

GuestRange FakeQueue::AddReadable(absl::string_view bytes) {
  return AddChain({guest_->Readable(bytes)}).buffers[0];
}

GuestRange FakeQueue::AddWritable(uint32_t size) {
  return AddChain({guest_->Writable(size)}).buffers[0];
}

FakeChain FakeQueue::AddChain(const std::vector<FakeBuffer>& buffers) {
  FakeChain chain = Publish(Describe(buffers));
  for (const FakeBuffer& buffer : buffers) chain.buffers.push_back(buffer.range);
  return chain;
}

FakeChain FakeQueue::AddIndirectChain(const std::vector<FakeBuffer>& buffers,
                                      const std::vector<FakeBuffer>& direct) {
  std::vector<Descriptor> table = Describe(buffers);
  for (size_t i = 0; i + 1 < table.size(); ++i) {
    table[i].flags |= virtio::kDescriptorNext;
    table[i].next = static_cast<uint16_t>(i + 1);
  }
  const size_t table_bytes = table.size() * sizeof(Descriptor);
  const FakeBuffer stored =
      guest_->Readable(absl::string_view(reinterpret_cast<const char*>(table.data()), table_bytes));
  std::vector<Descriptor> chain = Describe(direct);
  chain.push_back({.address = ToUint64(stored.range.start),
                   .length = static_cast<uint32_t>(table_bytes),
                   .flags = virtio::kDescriptorIndirect,
                   .next = 0});
  FakeChain result = Publish(chain);
  for (const FakeBuffer& buffer : direct) result.buffers.push_back(buffer.range);
  for (const FakeBuffer& buffer : buffers) result.buffers.push_back(buffer.range);
  return result;
}

std::vector<UsedElement> FakeQueue::Used() {
  std::vector<UsedElement> elements;
  const uint16_t index = used_index();
  for (; next_used_ != index; ++next_used_) {
    const uint64_t offset =
        virtio::kUsedRingOffset + sizeof(UsedElement) * (next_used_ % layout_.size);
    const auto element = guest_->memory().Load<UsedElement>(*Offset(layout_.device_area, offset));
    MSB_CHECK(element.ok());
    elements.push_back(*element);
    const auto chain = chains_.find(static_cast<uint16_t>(element->id));
    if (chain == chains_.end()) continue;  // a head that MakeAvailable put there
    for (auto it = chain->second.rbegin(); it != chain->second.rend(); ++it) free_.push_back(*it);
    chains_.erase(chain);
  }
  return elements;
}

bool FakeQueue::WantsKick() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const uint16_t before = std::exchange(asked_available_, next_available_);
  if (event_index_) return virtio::NeedsEvent(available_event(), next_available_, before);
  return before != next_available_ && (used_flags() & virtio::kUsedNoNotify) == 0;
}

void FakeQueue::SuppressInterrupts() {
  Write16(layout_.driver_area, virtio::kAvailableFlagsOffset,
          event_index_ ? 0 : virtio::kAvailableNoInterrupt);
  // Half a turn away: the device would have to complete 32,768 chains to pass it.
  SetUsedEvent(static_cast<uint16_t>(used_index() + 0x8000));
}

void FakeQueue::RequestInterrupt() {
  Write16(layout_.driver_area, virtio::kAvailableFlagsOffset, 0);
  SetUsedEvent(used_index());
}

void FakeQueue::SetDescriptor(uint16_t index, const Descriptor& descriptor) {
  const auto address = *Offset(layout_.descriptor_table, sizeof(Descriptor) * index);
  MSB_CHECK(guest_->memory().Store(address, descriptor).ok());
}

void FakeQueue::MakeAvailable(uint16_t head) {
  Write16(layout_.driver_area,
          virtio::kAvailableRingOffset + sizeof(uint16_t) * (next_available_ % layout_.size), head);
  SetAvailableIndex(static_cast<uint16_t>(next_available_ + 1));
}

void FakeQueue::SetAvailableIndex(uint16_t index) {
  next_available_ = index;
  Write16(layout_.driver_area, virtio::kAvailableIndexOffset, index);
}

void FakeQueue::SetUsedEvent(uint16_t index) {
  Write16(layout_.driver_area, virtio::UsedEventOffset(layout_.size), index);
}

Virtqueue& FakeQueue::device() {
  if (device_ == nullptr) {
    absl::StatusOr<Virtqueue> queue =
        Virtqueue::Create(guest_->memory(), layout_, event_index_, [this] { ++interrupts_; });
    MSB_CHECK(queue.ok());
    device_ = std::make_unique<Virtqueue>(*std::move(queue));
  }
  return *device_;
}

uint16_t FakeQueue::used_index() const {
  return Read16(layout_.device_area, virtio::kUsedIndexOffset);
}

uint16_t FakeQueue::available_event() const {
  return Read16(layout_.device_area, virtio::AvailableEventOffset(layout_.size));
}

uint16_t FakeQueue::used_flags() const {
  return Read16(layout_.device_area, virtio::kUsedFlagsOffset);
}

uint16_t FakeQueue::TakeDescriptor() {
  MSB_CHECK(!free_.empty());
  const uint16_t index = free_.back();
  free_.pop_back();
  return index;
}

FakeChain FakeQueue::Publish(const std::vector<Descriptor>& descriptors) {
  MSB_CHECK(!descriptors.empty());
  std::vector<uint16_t> indices;
  for (size_t i = 0; i < descriptors.size(); ++i) indices.push_back(TakeDescriptor());
  for (size_t i = 0; i < descriptors.size(); ++i) {
    Descriptor descriptor = descriptors[i];
    if (i + 1 < descriptors.size()) {
      descriptor.flags |= virtio::kDescriptorNext;
      descriptor.next = indices[i + 1];
    }
    SetDescriptor(indices[i], descriptor);
  }
  const uint16_t head = indices[0];
  chains_[head] = std::move(indices);
  MakeAvailable(head);
  return {.head = head, .buffers = {}};
}

std::vector<Descriptor> FakeQueue::Describe(const std::vector<FakeBuffer>& buffers) const {
  std::vector<Descriptor> descriptors;
  for (const FakeBuffer& buffer : buffers) {
    const bool is_writable = buffer.access == FakeBuffer::Access::kWritable;
    descriptors.push_back(
        {.address = ToUint64(buffer.range.start),
         .length = static_cast<uint32_t>(buffer.range.size),
         .flags = static_cast<uint16_t>(is_writable ? virtio::kDescriptorWrite : 0),
         .next = 0});
  }
  return descriptors;
}

// Atomic, since the device may run on a thread of its own.
uint16_t FakeQueue::Read16(GuestAddress area, size_t offset) const {
  return Field(area, offset).load(std::memory_order_acquire);
}

void FakeQueue::Write16(GuestAddress area, size_t offset, uint16_t value) {
  Field(area, offset).store(value, std::memory_order_release);
}

std::atomic_ref<uint16_t> FakeQueue::Field(GuestAddress area, size_t offset) const {
  const auto bytes = guest_->memory().Bytes({*Offset(area, offset), sizeof(uint16_t)});
  MSB_CHECK(bytes.ok());
  return std::atomic_ref<uint16_t>(*reinterpret_cast<uint16_t*>(bytes->data()));
}

}  // namespace msb
