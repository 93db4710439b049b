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
using virtio::UsedElement;

std::string Text(absl::Span<const uint8_t> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

TEST(VirtqueueTest, HandsOverAReadableAndAWritableBuffer) {
  FakeGuest guest;
  const FakeChain sent =
      guest.queue().AddChain({guest.Readable("hello"), guest.Writable(4), guest.Writable(3)});
  Virtqueue& queue = guest.queue().device();

  ASSERT_OK_AND_ASSIGN(const bool has_next, queue.HasNext());
  ASSERT_TRUE(has_next);
  ASSERT_OK_AND_ASSIGN(DescriptorChain chain, queue.Pop());

  ASSERT_EQ(chain.readable().size(), 1u);
  EXPECT_EQ(Text(chain.readable()[0]), "hello");
  EXPECT_EQ(chain.readable_bytes(), 5u);
  EXPECT_EQ(chain.writable().size(), 2u);
  EXPECT_EQ(chain.writable_bytes(), 7u);
  const std::string answer = "answer";
  EXPECT_EQ(
      chain.CopyIn(1, absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(answer.data()), 6)), 6u);
  ASSERT_OK(queue.Complete(std::move(chain), 7));
  ASSERT_OK(queue.Flush());

  EXPECT_THAT(guest.queue().Used(), ElementsAre(UsedElement{.id = 0, .length = 7}));
  EXPECT_EQ(guest.Read(sent.buffers[1]), std::string("\0ans", 4));
  EXPECT_EQ(guest.Read(sent.buffers[2]), "wer");
  EXPECT_EQ(guest.queue().interrupts(), 1);
}

}  // namespace
}  // namespace msb
