// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/virtqueue.h"

#include <string>
#include <utility>
#include <vector>

#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using virtio::Descriptor;
using virtio::UsedElement;

std::string Text(absl::Span<const uint8_t> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

absl::Span<const uint8_t> Raw(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

absl::StatusOr<DescriptorChain> PopNext(Virtqueue& queue) {
  MSB_ASSIGN_OR_RETURN(const bool has_next, queue.HasNext());
  if (!has_next) return absl::NotFoundError("nothing available");
  return queue.Pop();
}

Descriptor At(GuestAddress address, uint32_t length, int flags = 0, uint16_t next = 0) {
  return {.address = ToUint64(address),
          .length = length,
          .flags = static_cast<uint16_t>(flags),
          .next = next};
}

absl::Status PopStatus(FakeGuest& guest) { return PopNext(guest.queue().device()).status(); }

TEST(VirtqueueTest, HandsOverAReadableAndAWritableBuffer) {
  FakeGuest guest;
  const FakeChain sent =
      guest.queue().AddChain({guest.Readable("hello"), guest.Writable(4), guest.Writable(3)});
  Virtqueue& queue = guest.queue().device();

  ASSERT_OK_AND_ASSIGN(DescriptorChain chain, PopNext(queue));

  ASSERT_THAT(chain.readable(), SizeIs(1));
  EXPECT_EQ(Text(chain.readable()[0]), "hello");
  EXPECT_EQ(chain.readable_bytes(), 5u);
  EXPECT_THAT(chain.writable(), SizeIs(2));
  EXPECT_EQ(chain.writable_bytes(), 7u);
  EXPECT_EQ(chain.CopyIn(1, Raw("answer")), 6u);
  ASSERT_OK(queue.Complete(std::move(chain), 7));
  EXPECT_THAT(guest.queue().Used(), ElementsAre(UsedElement{.id = 0, .length = 7}));
  EXPECT_EQ(guest.Read(sent.buffers[1]), std::string("\0ans", 4));
  EXPECT_EQ(guest.Read(sent.buffers[2]), "wer");
}

TEST(VirtqueueTest, CopiesAcrossBuffersFromAnyOffset) {
  FakeGuest guest;
  guest.queue().AddChain({guest.Readable("abc"), guest.Readable("de"), guest.Readable("fgh"),
                          guest.Writable(2), guest.Writable(2)});
  ASSERT_OK_AND_ASSIGN(const DescriptorChain chain, PopNext(guest.queue().device()));

  std::vector<uint8_t> out(5);
  EXPECT_EQ(chain.CopyOut(2, absl::MakeSpan(out)), 5u);
  EXPECT_EQ(Text(out), "cdefg");
  EXPECT_EQ(chain.CopyOut(5, absl::MakeSpan(out)), 3u);
  EXPECT_EQ(chain.CopyOut(8, absl::MakeSpan(out)), 0u);
  EXPECT_EQ(chain.CopyOut(~uint64_t{0}, absl::MakeSpan(out)), 0u);
  EXPECT_EQ(chain.CopyOut(0, {}), 0u);
  EXPECT_EQ(chain.CopyIn(0, Raw("12345")), 4u);
  EXPECT_EQ(chain.CopyIn(3, Raw("12345")), 1u);
  EXPECT_EQ(chain.CopyIn(4, Raw("12345")), 0u);
}

TEST(VirtqueueTest, HasNothingInAnEmptyRing) {
  FakeGuest guest;
  ASSERT_OK_AND_ASSIGN(const bool has_next, guest.queue().device().HasNext());
  EXPECT_FALSE(has_next);
}

TEST(VirtqueueTest, CompletesInAnotherOrderThanPopped) {
  FakeGuest guest;
  Virtqueue& queue = guest.queue().device();
  guest.queue().AddWritable(1);
  guest.queue().AddWritable(2);
  ASSERT_OK_AND_ASSIGN(DescriptorChain first, PopNext(queue));
  ASSERT_OK_AND_ASSIGN(DescriptorChain second, PopNext(queue));

  ASSERT_OK(queue.Complete(std::move(second), 2));
  ASSERT_OK(queue.Complete(std::move(first), 1));

  EXPECT_THAT(guest.queue().Used(),
              ElementsAre(UsedElement{.id = 1, .length = 2}, UsedElement{.id = 0, .length = 1}));
}

TEST(VirtqueueTest, PopsAReturnedChainAgain) {
  FakeGuest guest;
  Virtqueue& queue = guest.queue().device();
  guest.queue().AddReadable("again");
  ASSERT_OK_AND_ASSIGN(DescriptorChain chain, PopNext(queue));

  queue.Return(std::move(chain));

  ASSERT_OK_AND_ASSIGN(const DescriptorChain same, PopNext(queue));
  EXPECT_EQ(Text(same.readable()[0]), "again");
  EXPECT_THAT(guest.queue().Used(), IsEmpty());
}

TEST(VirtqueueTest, FollowsAnIndirectTable) {
  FakeGuest guest;
  guest.queue().AddIndirectChain({guest.Readable("one"), guest.Readable("two"), guest.Writable(9)});
  ASSERT_OK_AND_ASSIGN(const DescriptorChain chain, PopNext(guest.queue().device()));
  ASSERT_THAT(chain.readable(), SizeIs(2));
  EXPECT_EQ(Text(chain.readable()[1]), "two");
  EXPECT_EQ(chain.writable_bytes(), 9u);
}

TEST(VirtqueueTest, FollowsAnIndirectTableBehindOrdinaryDescriptors) {
  FakeGuest guest;
  guest.queue().AddIndirectChain({guest.Readable("two"), guest.Writable(9)},
                                 {guest.Readable("one")});
  ASSERT_OK_AND_ASSIGN(const DescriptorChain chain, PopNext(guest.queue().device()));
  ASSERT_THAT(chain.readable(), SizeIs(2));
  EXPECT_EQ(Text(chain.readable()[0]), "one");
  EXPECT_EQ(chain.writable_bytes(), 9u);
}

TEST(VirtqueueTest, IgnoresTheWriteFlagOfAnIndirectDescriptor) {
  FakeGuest guest;
  const Descriptor inner = At(guest.Readable("text").range.start, 4);
  const GuestRange table = guest.Allocate(sizeof(inner));
  ASSERT_OK(guest.memory().Store(table.start, inner));
  guest.queue().SetDescriptor(
      0, At(table.start, 16, virtio::kDescriptorIndirect | virtio::kDescriptorWrite));
  guest.queue().MakeAvailable(0);
  ASSERT_OK_AND_ASSIGN(const DescriptorChain chain, PopNext(guest.queue().device()));
  EXPECT_EQ(Text(chain.readable()[0]), "text");
}

TEST(VirtqueueTest, TakesAnIndirectTableAtAnOddAddress) {
  FakeGuest guest;
  const Descriptor inner = At(guest.Readable("text").range.start, 4);
  const GuestAddress odd = *Offset(guest.Allocate(32).start, 3);
  ASSERT_OK(guest.memory().Store(odd, inner));
  guest.queue().SetDescriptor(0, At(odd, 16, virtio::kDescriptorIndirect));
  guest.queue().MakeAvailable(0);
  EXPECT_OK(PopStatus(guest));
}

TEST(VirtqueueTest, TakesAnIndirectTableLongerThanTheQueueUpToTheLimit) {
  FakeGuest guest;
  guest.queue().AddIndirectChain(
      std::vector<FakeBuffer>(kMaxIndirectDescriptors, guest.Writable(1)));
  ASSERT_OK_AND_ASSIGN(const DescriptorChain chain, PopNext(guest.queue().device()));
  EXPECT_THAT(chain.writable(), SizeIs(kMaxIndirectDescriptors));

  guest.queue().AddIndirectChain(
      std::vector<FakeBuffer>(kMaxIndirectDescriptors + 1, guest.Writable(1)));
  EXPECT_THAT(PopStatus(guest), HasReason(Reason::kGuestViolation));
}

TEST(VirtqueueTest, RefusesAnIndirectTableInsideAnother) {
  FakeGuest guest;
  const GuestRange table = guest.Allocate(sizeof(Descriptor));
  ASSERT_OK(guest.memory().Store(table.start, At(table.start, 16, virtio::kDescriptorIndirect)));
  guest.queue().SetDescriptor(0, At(table.start, 16, virtio::kDescriptorIndirect));
  guest.queue().MakeAvailable(0);
  EXPECT_THAT(PopStatus(guest), HasReason(Reason::kGuestViolation));
}

TEST(VirtqueueTest, RefusesABrokenIndirectDescriptor) {
  const GuestAddress table = FakeGuest::kMemoryStart;
  const std::vector<Descriptor> broken = {
      At(table, 16, virtio::kDescriptorIndirect | virtio::kDescriptorNext, 1),
      At(table, 0, virtio::kDescriptorIndirect),
      At(table, 15, virtio::kDescriptorIndirect),
      At(table, 24, virtio::kDescriptorIndirect),
      At(GuestAddress{0}, 16, virtio::kDescriptorIndirect),
  };
  for (const Descriptor& descriptor : broken) {
    FakeGuest guest;
    guest.queue().SetDescriptor(0, descriptor);
    guest.queue().MakeAvailable(0);
    EXPECT_THAT(PopStatus(guest), HasReason(Reason::kGuestViolation)) << descriptor.length;
  }
}

TEST(VirtqueueTest, RefusesAnIndirectChainThatLoopsOrLeavesItsTable) {
  for (const uint16_t next : std::vector<uint16_t>{0, 1, 2, 9}) {
    FakeGuest guest;
    const GuestRange table = guest.Allocate(2 * sizeof(Descriptor));
    const GuestAddress second = *Offset(table.start, sizeof(Descriptor));
    ASSERT_OK(guest.memory().Store(table.start, At(table.start, 1, virtio::kDescriptorNext, 1)));
    ASSERT_OK(guest.memory().Store(second, At(table.start, 1, virtio::kDescriptorNext, next)));
    guest.queue().SetDescriptor(0, At(table.start, 32, virtio::kDescriptorIndirect));
    guest.queue().MakeAvailable(0);
    EXPECT_THAT(PopStatus(guest), HasReason(Reason::kGuestViolation)) << next;
  }
}

TEST(VirtqueueTest, SkipsBuffersOfNoBytesWhereverTheyPoint) {
  FakeGuest guest;
  guest.queue().SetDescriptor(0, At(GuestAddress{0}, 0, virtio::kDescriptorNext, 1));
  guest.queue().SetDescriptor(1, At(FakeGuest::kMemoryStart, 1));
  guest.queue().MakeAvailable(0);
  ASSERT_OK_AND_ASSIGN(const DescriptorChain chain, PopNext(guest.queue().device()));
  EXPECT_THAT(chain.readable(), SizeIs(1));
}

TEST(VirtqueueTest, RefusesReadableBehindWritable) {
  FakeGuest guest;
  guest.queue().AddChain({guest.Writable(1), guest.Readable("x")});
  EXPECT_THAT(PopStatus(guest), HasReason(Reason::kGuestViolation));
}

TEST(VirtqueueTest, RefusesADescriptorLoop) {
  FakeGuest guest;
  guest.queue().SetDescriptor(0, At(FakeGuest::kMemoryStart, 1, virtio::kDescriptorNext, 1));
  guest.queue().SetDescriptor(1, At(FakeGuest::kMemoryStart, 1, virtio::kDescriptorNext, 0));
  guest.queue().MakeAvailable(0);
  EXPECT_THAT(PopStatus(guest), HasReason(Reason::kGuestViolation));
}

TEST(VirtqueueTest, TakesAChainOfAllDescriptors) {
  FakeGuest guest;
  guest.queue().AddChain(std::vector<FakeBuffer>(8, guest.Writable(1)));
  EXPECT_OK(PopStatus(guest));
}

TEST(VirtqueueTest, RefusesDescriptorIndicesBeyondTheTable) {
  FakeGuest head_beyond;
  head_beyond.queue().MakeAvailable(8);
  EXPECT_THAT(PopStatus(head_beyond), HasReason(Reason::kGuestViolation));

  FakeGuest next_beyond;
  next_beyond.queue().SetDescriptor(
      0, At(FakeGuest::kMemoryStart, 1, virtio::kDescriptorNext, 0xffff));
  next_beyond.queue().MakeAvailable(0);
  EXPECT_THAT(PopStatus(next_beyond), HasReason(Reason::kGuestViolation));
}

TEST(VirtqueueTest, RefusesBuffersOutsideGuestMemory) {
  const GuestAddress end = *Offset(FakeGuest::kMemoryStart, FakeGuest::Options().memory_bytes);
  const std::vector<Descriptor> outside = {
      At(GuestAddress{0}, 1),
      At(end, 1),
      At(GuestAddress{ToUint64(end) - 1}, 2),
      At(GuestAddress{~uint64_t{0}}, 2),
      At(FakeGuest::kMemoryStart, ~uint32_t{0}),
  };
  for (const Descriptor& descriptor : outside) {
    FakeGuest guest;
    guest.queue().SetDescriptor(0, descriptor);
    guest.queue().MakeAvailable(0);
    EXPECT_THAT(PopStatus(guest), HasReason(Reason::kGuestViolation)) << descriptor.address;
  }
}

TEST(VirtqueueTest, RefusesAChainOfMoreThanFourGibibytes) {
  constexpr uint32_t kGibibyte = 1u << 30;
  for (const int buffers : {4, 5}) {
    FakeGuest guest({.queue_sizes = {8}, .memory_bytes = kGibibyte});
    const FakeBuffer all{{FakeGuest::kMemoryStart, kGibibyte}, FakeBuffer::Access::kWritable};
    guest.queue().AddChain(std::vector<FakeBuffer>(buffers, all));
    const auto chain = PopNext(guest.queue().device());
    if (buffers == 4) {
      ASSERT_OK(chain.status());
      EXPECT_EQ(chain->writable_bytes(), virtio::kMaxChainBytes);
    } else {
      EXPECT_THAT(chain, HasReason(Reason::kGuestViolation));
    }
  }
}

TEST(VirtqueueTest, RefusesAnAvailableIndexThatIsMoreThanTheSizeAhead) {
  FakeGuest guest;
  guest.queue().SetAvailableIndex(8);
  ASSERT_OK_AND_ASSIGN(const bool has_next, guest.queue().device().HasNext());
  EXPECT_TRUE(has_next);

  FakeGuest other;
  other.queue().SetAvailableIndex(9);
  EXPECT_THAT(other.queue().device().HasNext(), HasReason(Reason::kGuestViolation));

  FakeGuest backwards;
  backwards.queue().SetAvailableIndex(0xffff);
  EXPECT_THAT(backwards.queue().device().HasNext(), HasReason(Reason::kGuestViolation));
}

TEST(VirtqueueTest, RefusesMoreChainsInFlightThanDescriptors) {
  FakeGuest guest({.queue_sizes = {2}});
  Virtqueue& queue = guest.queue().device();
  guest.queue().AddWritable(1);
  guest.queue().AddWritable(1);
  ASSERT_OK(PopStatus(guest));
  ASSERT_OK_AND_ASSIGN(DescriptorChain held, PopNext(queue));
  guest.queue().MakeAvailable(0);
  EXPECT_THAT(PopStatus(guest), HasReason(Reason::kGuestViolation));

  ASSERT_OK(queue.Complete(std::move(held), 0));
  EXPECT_OK(PopStatus(guest));
}

TEST(VirtqueueTest, SurvivesTheWrapOfItsIndices) {
  FakeGuest guest({.queue_sizes = {4}});
  Virtqueue& queue = guest.queue().device();
  const FakeBuffer buffer = guest.Writable(8);
  for (uint32_t round = 0; round < 70'000; ++round) {
    guest.queue().AddChain({buffer});
    ASSERT_OK_AND_ASSIGN(DescriptorChain chain, PopNext(queue));
    ASSERT_OK(queue.Complete(std::move(chain), round % 8));
    ASSERT_THAT(guest.queue().Used(), ElementsAre(UsedElement{.id = 0, .length = round % 8}));
  }
}

TEST(VirtqueueTest, GoesOnFromASavedPosition) {
  FakeGuest guest({.queue_sizes = {4}});
  Virtqueue& queue = guest.queue().device();
  for (int round = 0; round < 6; ++round) {
    guest.queue().AddWritable(1);
    ASSERT_OK_AND_ASSIGN(DescriptorChain chain, PopNext(queue));
    ASSERT_OK(queue.Complete(std::move(chain), 1));
    ASSERT_THAT(guest.queue().Used(), SizeIs(1));
  }
  guest.queue().AddReadable("next");

  ASSERT_OK_AND_ASSIGN(Virtqueue restored, Virtqueue::Create(guest.memory(), queue.layout(),
                                                             /*event_index=*/true, [] {}));
  restored.SetPosition(queue.next_available(), queue.next_used());

  ASSERT_OK_AND_ASSIGN(DescriptorChain chain, PopNext(restored));
  EXPECT_EQ(Text(chain.readable()[0]), "next");
  ASSERT_OK(restored.Complete(std::move(chain), 0));
  EXPECT_THAT(guest.queue().Used(), SizeIs(1));
}

TEST(VirtqueueTest, GoesOnWhereAServerDied) {
  FakeGuest guest({.queue_sizes = {4}});
  {
    Virtqueue& died = guest.queue().device();
    guest.queue().AddReadable("held");
    guest.queue().AddWritable(1);
    ASSERT_OK_AND_ASSIGN(DescriptorChain held, PopNext(died));
    ASSERT_OK_AND_ASSIGN(DescriptorChain done, PopNext(died));
    ASSERT_OK(died.Complete(std::move(done), 1));  // and told nobody
  }
  guest.queue().AddReadable("next");
  guest.queue().SuppressInterrupts();
  int interrupts = 0;
  ASSERT_OK_AND_ASSIGN(Virtqueue queue,
                       Virtqueue::Create(guest.memory(), guest.queue().layout(),
                                         /*event_index=*/true, [&] { ++interrupts; }));

  EXPECT_EQ(queue.PublishedUsed(), 1);
  ASSERT_OK_AND_ASSIGN(std::vector<DescriptorChain> chains, queue.Recover(1, {0}));

  ASSERT_THAT(chains, SizeIs(1));
  EXPECT_EQ(Text(chains[0].readable()[0]), "held");
  ASSERT_OK(queue.Complete(std::move(chains[0]), 0));
  ASSERT_OK(queue.Flush());
  EXPECT_EQ(interrupts, 1);
  EXPECT_THAT(guest.queue().Used(),
              ElementsAre(UsedElement{.id = 1, .length = 1}, UsedElement{.id = 0, .length = 0}));
  ASSERT_OK_AND_ASSIGN(DescriptorChain chain, PopNext(queue));
  EXPECT_EQ(Text(chain.readable()[0]), "next");
}

TEST(VirtqueueTest, RecoversNothingThatCannotBe) {
  FakeGuest guest({.queue_sizes = {4}});
  Virtqueue& queue = guest.queue().device();
  EXPECT_THAT(queue.Recover(0, {4}), HasReason(Reason::kGuestViolation));
  EXPECT_THAT(queue.Recover(0, {0, 1, 2, 3, 0}), HasReason(Reason::kGuestViolation));
}

TEST(VirtqueueTest, OffersNothingWhileSuspended) {
  FakeGuest guest;
  Virtqueue& queue = guest.queue().device();
  guest.queue().AddReadable("one");
  guest.queue().AddReadable("two");
  ASSERT_OK(PopStatus(guest));

  queue.Suspend();
  guest.queue().SetAvailableIndex(999);  // the ring may be anybody's by now
  EXPECT_EQ(PopStatus(guest).code(), absl::StatusCode::kNotFound);

  guest.queue().SetAvailableIndex(2);
  queue.Resume();
  EXPECT_OK(PopStatus(guest));
}

TEST(VirtqueueTest, RefusesALayoutThatIsNoQueue) {
  FakeGuest guest;
  const VirtqueueLayout good = guest.queue().layout();
  const auto status_of = [&](const VirtqueueLayout& layout) {
    return Virtqueue::Create(guest.memory(), layout, /*event_index=*/false, [] {}).status();
  };
  const auto changed = [&](auto change) {
    VirtqueueLayout layout = good;
    change(layout);
    return status_of(layout);
  };
  const GuestAddress last{ToUint64(FakeGuest::kMemoryStart) + guest.memory().total_bytes() - 16};
  EXPECT_OK(status_of(good));
  for (const uint16_t size : std::vector<uint16_t>{0, 3, 6, 0xffff}) {
    EXPECT_THAT(changed([&](auto& layout) { layout.size = size; }),
                HasReason(Reason::kGuestViolation));
  }
  for (const GuestAddress bad : {GuestAddress{0}, GuestAddress{ToUint64(good.descriptor_table) + 1},
                                 last, GuestAddress{~uint64_t{0} - 15}}) {
    EXPECT_THAT(changed([&](auto& layout) { layout.descriptor_table = bad; }),
                HasReason(Reason::kGuestViolation));
    EXPECT_THAT(changed([&](auto& layout) { layout.driver_area = bad; }),
                HasReason(Reason::kGuestViolation));
    EXPECT_THAT(changed([&](auto& layout) { layout.device_area = bad; }),
                HasReason(Reason::kGuestViolation));
  }
}

}  // namespace
}  // namespace msb
