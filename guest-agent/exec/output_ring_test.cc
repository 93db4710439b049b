// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/exec/output_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace msb {
namespace {

void Write(OutputRing& ring, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const OutputRing::Span span = ring.Reserve(text.size() - done);
    for (int i = 0; i < span.count; ++i) {
      std::copy_n(text.data() + done, span.pieces[i].iov_len,
                  static_cast<char*>(span.pieces[i].iov_base));
      done += span.pieces[i].iov_len;
    }
    ring.Commit(span.size);
  }
}

std::string Read(const OutputRing& ring, uint64_t offset, size_t size) {
  std::string text;
  const OutputRing::Span span = ring.Read(offset, size);
  for (int i = 0; i < span.count; ++i) {
    text.append(static_cast<const char*>(span.pieces[i].iov_base), span.pieces[i].iov_len);
  }
  return text;
}

TEST(OutputRingTest, HoldsNothingBeforeTheFirstByte) {
  OutputRing ring(1 << 20);
  EXPECT_EQ(ring.memory_bytes(), 0u);
  EXPECT_EQ(Read(ring, 0, 0), "");
}

TEST(OutputRingTest, KeepsTheLastBytes) {
  OutputRing ring(10);
  Write(ring, "0123456789");
  EXPECT_EQ(ring.begin(), 0u);
  Write(ring, "abc");
  EXPECT_EQ(ring.begin(), 3u);
  EXPECT_EQ(ring.end(), 13u);
  EXPECT_EQ(Read(ring, 3, 10), "3456789abc");
  EXPECT_EQ(Read(ring, 9, 2), "9a");
}

TEST(OutputRingTest, GrowsWithItsContentUpToTheLimit) {
  OutputRing ring(100'000);
  std::string all;
  size_t largest = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::string piece(static_cast<size_t>(i % 97 + 1), static_cast<char>('a' + i % 26));
    Write(ring, piece);
    all += piece;
    ASSERT_LE(ring.memory_bytes(), 100'000u);
    largest = std::max(largest, ring.memory_bytes());
    const size_t kept = ring.end() - ring.begin();
    ASSERT_TRUE(Read(ring, ring.begin(), kept) == all.substr(all.size() - kept)) << i;
  }
  EXPECT_EQ(largest, 100'000u);
}

TEST(OutputRingTest, SmallOutputTakesLittleMemory) {
  OutputRing ring(64 << 20);
  Write(ring, "hello");
  EXPECT_LE(ring.memory_bytes(), 64u * 1024);
}

}  // namespace
}  // namespace msb
