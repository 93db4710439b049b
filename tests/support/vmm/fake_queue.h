// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The driver's side of a split virtqueue (VIRTIO 1.2, 2.7.13 and 2.7.14), for tests. See
// fake_guest.h.

#ifndef MSB_TESTS_SUPPORT_VMM_FAKE_QUEUE_H_
#define MSB_TESTS_SUPPORT_VMM_FAKE_QUEUE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "vmm/devices/virtio/spec/split_ring.h"
#include "vmm/devices/virtio/virtqueue.h"

namespace msb {

class FakeGuest;

namespace virtio {
inline void PrintTo(const UsedElement& element, std::ostream* out) {
  *out << "{id " << element.id << ", length " << element.length << "}";
}
}  // namespace virtio

// A buffer of a chain that is to be made.
struct FakeBuffer {
  enum class Access { kReadable, kWritable };
  GuestRange range;
  Access access;
};

// A chain that stands in the ring.
struct FakeChain {
  uint16_t head = 0;
  std::vector<GuestRange> buffers;
};

class FakeQueue {
 public:
  FakeQueue(FakeGuest& guest, uint16_t size, bool event_index);

  // --- What the driver does ---
  // One chain of one descriptor, made available. The bytes are put into newly allocated memory.
  GuestRange AddReadable(absl::string_view bytes);
  GuestRange AddWritable(uint32_t size);
  // One chain of all `buffers` (guest.Readable("..."), guest.Writable(512)), made available.
  FakeChain AddChain(const std::vector<FakeBuffer>& buffers);
  // The same through an indirect table, behind `direct` as ordinary descriptors of the chain.
  FakeChain AddIndirectChain(const std::vector<FakeBuffer>& buffers,
                             const std::vector<FakeBuffer>& direct = {});
  // What the device gave back since the last call, in its order; their descriptors are free again.
  std::vector<virtio::UsedElement> Used();
  // Whether a driver would kick after what it has added since it last asked (2.7.10): what
  // NO_NOTIFY or avail_event say.
  bool WantsKick();
  // Asks for no interrupts / for one at the next used element (flags or used_event).
  void SuppressInterrupts();
  void RequestInterrupt();

  // --- What only a broken or hostile driver does ---
  // Writes `descriptor` verbatim at `index` of the table.
  void SetDescriptor(uint16_t index, const virtio::Descriptor& descriptor);
  // Puts `head` into the available ring, whatever it points at.
  void MakeAvailable(uint16_t head);
  void SetAvailableIndex(uint16_t index);
  void SetUsedEvent(uint16_t index);

  // --- What a test looks at ---
  // The device's side. Made at the first call; a test that has a transport make it never calls
  // this.
  Virtqueue& device();
  const VirtqueueLayout& layout() const { return layout_; }
  // How often device() has interrupted.
  int interrupts() const { return interrupts_; }
  // What a transport other than device() interrupts with adds up here.
  void CountInterrupt() { ++interrupts_; }
  uint16_t available_index() const { return next_available_; }
  uint16_t used_index() const;
  uint16_t available_event() const;
  uint16_t used_flags() const;

 private:
  uint16_t TakeDescriptor();
  FakeChain Publish(const std::vector<virtio::Descriptor>& descriptors);
  std::vector<virtio::Descriptor> Describe(const std::vector<FakeBuffer>& buffers) const;
  uint16_t Read16(GuestAddress area, size_t offset) const;
  void Write16(GuestAddress area, size_t offset, uint16_t value);
  std::atomic_ref<uint16_t> Field(GuestAddress area, size_t offset) const;

  FakeGuest* guest_;
  VirtqueueLayout layout_;
  bool event_index_;
  std::unique_ptr<Virtqueue> device_;
  int interrupts_ = 0;
  std::vector<uint16_t> free_;  // descriptors, the next to take at the back
  std::map<uint16_t, std::vector<uint16_t>>
      chains_;  // descriptors of what the device holds, by head
  uint16_t next_available_ = 0;
  uint16_t asked_available_ = 0;  // at the last WantsKick
  uint16_t next_used_ = 0;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_VMM_FAKE_QUEUE_H_
