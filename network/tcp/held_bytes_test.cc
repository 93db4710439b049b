// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/tcp/held_bytes.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/matchers.h"

namespace msb::net {
namespace {

TEST(HeldBytesTest, GivesOutWhatCameInInItsOrder) {
  HeldBytes held;
  std::string given, got;
  for (int i = 0; i < 5000; ++i) {
    const std::vector<uint8_t> piece(static_cast<size_t>(i % 7 + 1), static_cast<uint8_t>(i));
    held.Append(piece);
    given.append(piece.begin(), piece.end());
    const size_t taken = std::min<size_t>(held.size(), static_cast<size_t>(i % 5));
    absl::StrAppend(&got, held.waiting().substr(0, taken));
    held.Take(taken);
  }
  absl::StrAppend(&got, held.waiting());
  held.Take(held.size());
  EXPECT_EQ(got, given);
  EXPECT_TRUE(held.empty());
  EXPECT_LT(held.capacity(), 100u);
}

TEST(HeldBytesTest, KeepsNoMemoryOfWhatWasTakenWhileMoreWaits) {
  constexpr size_t kWaiting = 1 << 20;
  const std::vector<uint8_t> piece(64 << 10);
  HeldBytes held;
  while (held.size() < kWaiting) held.Append(piece);
  size_t most = 0;
  for (int i = 0; i < 2000; ++i) {  // 125 MiB pass, and it is never empty
    held.Take(piece.size());
    held.Append(piece);
    most = std::max(most, held.capacity());
  }
  EXPECT_EQ(held.size(), kWaiting);
  EXPECT_LE(most, 4 * kWaiting);
}

TEST(HeldBytesTest, GivesMemoryBackBeforeItIsEmpty) {
  const std::vector<uint8_t> piece(1 << 10);
  HeldBytes held;
  while (held.size() < 1 << 20) held.Append(piece);
  while (held.size() > piece.size()) {
    held.Take(piece.size());
    ASSERT_LE(held.capacity(), 4 * held.size());
  }
  for (int i = 0; i < 5000; ++i) {  // goes on with little
    held.Append(piece);
    held.Take(piece.size());
    ASSERT_LE(held.capacity(), 4 * held.size());
  }
}

}  // namespace
}  // namespace msb::net
