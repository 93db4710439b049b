// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/events/event_ring.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/time/clock.h"

namespace msb {
namespace {

msb::v1::Event Named(const std::string& name) {
  msb::v1::Event event;
  event.set_sandbox_name(name);
  return event;
}

TEST(EventRingTest, AReaderThatKeepsUpSeesEachEventOnce) {
  EventRing ring(4);
  EXPECT_EQ(ring.Next(), 1u);
  EXPECT_EQ(ring.Read(1), nullptr);
  ring.Publish(Named("a"), 7);
  ring.Publish(Named("b"), 8);
  EXPECT_EQ(ring.Read(1)->event.sandbox_name(), "a");
  EXPECT_EQ(ring.Read(1)->owner_uid, 7u);
  EXPECT_EQ(ring.Read(2)->event.sandbox_name(), "b");
  EXPECT_EQ(ring.Read(3), nullptr);
}

TEST(EventRingTest, AReaderThatFellBehindFindsTheOldestKept) {
  EventRing ring(2);
  for (const char* name : {"a", "b", "c", "d"}) ring.Publish(Named(name), 0);
  EXPECT_EQ(ring.Read(1)->event.sandbox_name(), "c");
  EXPECT_EQ(ring.Read(1)->event.sequence(), 3u);
}

TEST(EventRingTest, AMomentLeadsToTheFirstEventBehindIt) {
  EventRing ring(8);
  ring.Publish(Named("a"), 0);
  const absl::Time later = absl::Now() + absl::Hours(1);
  EXPECT_EQ(ring.FirstSince(absl::InfinitePast()), 1u);
  EXPECT_EQ(ring.FirstSince(later), 2u);
}

TEST(EventRingTest, AListenerHearsOfEachEventUntilItLeavesAndMayRead) {
  EventRing ring(8);
  std::string last;
  const auto id = ring.Listen([&] { last = ring.Read(ring.Next() - 1)->event.sandbox_name(); });
  ring.Publish(Named("a"), 0);
  EXPECT_EQ(last, "a");
  ring.Unlisten(id);
  ring.Publish(Named("b"), 0);
  EXPECT_EQ(last, "a");
}

}  // namespace
}  // namespace msb
