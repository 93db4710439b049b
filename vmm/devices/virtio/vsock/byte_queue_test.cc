// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/byte_queue.h"

#include <gtest/gtest.h>

#include <string>

namespace msb {
namespace {

void Append(ByteQueue& queue, std::string bytes, size_t skip = 0) {
  const iovec piece{.iov_base = bytes.data(), .iov_len = bytes.size()};
  queue.Append({&piece, 1}, skip);
}

std::string Content(const ByteQueue& queue) {
  std::string all;
  for (const iovec& piece : queue.Front()) {
    all.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return all;
}

TEST(ByteQueueTest, GivesBytesBackInOrder) {
  ByteQueue queue(100);
  Append(queue, "abc");
  Append(queue, "def");
  EXPECT_EQ(Content(queue), "abcdef");
  queue.Consume(4);
  EXPECT_EQ(Content(queue), "ef");
  EXPECT_EQ(queue.size(), 2u);
}

TEST(ByteQueueTest, SkipsAcrossPieces) {
  std::string first = "abc", second = "def", third = "ghi";
  const iovec pieces[] = {{first.data(), 3}, {second.data(), 3}, {third.data(), 3}};
  ByteQueue queue(4);
  queue.Append(pieces, 5);
  EXPECT_EQ(Content(queue), "fghi");
}

TEST(ByteQueueTest, WrapsAroundTheEndOfItsStore) {
  ByteQueue queue(10);
  Append(queue, "0123456789");
  queue.Consume(7);
  Append(queue, "abcdefg");
  EXPECT_EQ(Content(queue), "789abcdefg");
  EXPECT_EQ(queue.Front()[0].iov_len, 3u);
}

TEST(ByteQueueTest, GrowsWithWrappedContent) {
  ByteQueue queue(10'000);
  Append(queue, std::string(4096, 'x'));
  queue.Consume(4090);
  Append(queue, std::string(4000, 'y'));
  Append(queue, std::string(4000, 'z'));
  EXPECT_EQ(Content(queue), std::string(6, 'x') + std::string(4000, 'y') + std::string(4000, 'z'));
}

TEST(ByteQueueTest, IsReusableAfterItWasEmpty) {
  ByteQueue queue(10);
  Append(queue, "0123456789");
  queue.Consume(10);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(Content(queue), "");
  Append(queue, "again");
  EXPECT_EQ(Content(queue), "again");
}

}  // namespace
}  // namespace msb
