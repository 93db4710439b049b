// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/descriptors.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

std::pair<UniqueFd, UniqueFd> Pair(int type) {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

TEST(DescriptorsTest, APacketBringsItsDescriptors) {
  const auto [ours, theirs] = Pair(SOCK_SEQPACKET);
  const auto [given, other] = Pair(SOCK_STREAM);

  ASSERT_OK(SendWithDescriptors(ours.get(), "packet", {given.get()}));

  std::string buffer(64, '\0');
  std::vector<UniqueFd> descriptors;
  ASSERT_OK_AND_ASSIGN(const size_t got, ReceiveWithDescriptors(theirs.get(), buffer, descriptors));
  EXPECT_EQ(buffer.substr(0, got), "packet");
  ASSERT_EQ(descriptors.size(), 1u);
  ASSERT_EQ(::write(descriptors[0].get(), "x", 1), 1);
  char byte = 0;
  ASSERT_EQ(::read(other.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
}

TEST(DescriptorsTest, APacketWithoutRoomIsRefusedAtOnce) {
  const auto [ours, theirs] = Pair(SOCK_SEQPACKET);
  absl::Status sent;
  for (int i = 0; i < 100'000 && sent.ok(); ++i) sent = SendWithDescriptors(ours.get(), "x", {});
  EXPECT_TRUE(absl::IsUnavailable(sent)) << sent;
}

TEST(DescriptorsTest, AStreamTakesMoreThanItHasRoomForAndTheDescriptorOnce) {
  const std::pair<UniqueFd, UniqueFd> ends = Pair(SOCK_STREAM);
  const std::string bytes(4 << 20, 'x');
  std::string received;
  std::vector<UniqueFd> descriptors;
  std::thread reader([&] {
    std::string buffer(65536, '\0');
    while (received.size() < bytes.size()) {
      const auto got = ReceiveWithDescriptors(ends.second.get(), buffer, descriptors);
      if (!got.ok()) return;
      received.append(buffer, 0, *got);
    }
  });

  EXPECT_OK(
      WriteWithDescriptors(ends.first.get(), bytes, {ends.first.get()}, absl::InfiniteFuture()));

  reader.join();
  EXPECT_EQ(received, bytes);
  EXPECT_EQ(descriptors.size(), 1u);
}

TEST(DescriptorsTest, AStreamThatNobodyReadsEndsTheWaitAtItsDeadline) {
  const auto [ours, theirs] = Pair(SOCK_STREAM);
  const std::string bytes(4 << 20, 'x');

  const absl::Status status =
      WriteWithDescriptors(ours.get(), bytes, {}, absl::Now() + absl::Milliseconds(50));

  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

TEST(DescriptorsTest, WhoHasGoneIsAnErrorAndNoSignal) {
  auto [ours, theirs] = Pair(SOCK_STREAM);
  theirs.Reset();
  EXPECT_FALSE(WriteWithDescriptors(ours.get(), "x", {}, absl::InfiniteFuture()).ok());
}

}  // namespace
}  // namespace msb
