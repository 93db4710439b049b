// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/control/event_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace msb {
namespace {

using msb::vmm::v1::VmEvent;
using ::testing::ElementsAre;

TEST(EventJournalTest, KeepsWhatHappenedWithItsTime) {
  EventJournal journal;
  const uint64_t before = EventJournal::NowNanoseconds();
  journal.Record(VmEvent::KIND_MACHINE_READY);
  journal.Record(VmEvent::KIND_ENDED, 77, Reason::kGuestReset, "why");

  ASSERT_EQ(journal.events().size(), 2u);
  EXPECT_GE(journal.events()[0].monotonic_ns(), before);
  EXPECT_EQ(journal.events()[1].monotonic_ns(), 77u);
  EXPECT_EQ(journal.events()[1].reason(), static_cast<int>(Reason::kGuestReset));
  EXPECT_EQ(journal.events()[1].detail(), "why");
  EXPECT_TRUE(journal.Has(VmEvent::KIND_ENDED));
  EXPECT_FALSE(journal.Has(VmEvent::KIND_PAUSED));
}

TEST(EventJournalTest, EscapesWhatAGuestSaid) {
  EventJournal journal;
  EXPECT_EQ(journal.Record(VmEvent::KIND_ENDED, 1, Reason::kGuestReset, "a\n\xff").detail(),
            "a\\x0a\\xff");
}

TEST(EventJournalTest, ForgetsOldPausesButNotTheBoot) {
  EventJournal journal;
  journal.Record(VmEvent::KIND_PROCESS_STARTED, 1);
  for (uint64_t i = 0; i < 10 * EventJournal::kMaxEvents; ++i) {
    journal.Record(i % 2 == 0 ? VmEvent::KIND_PAUSED : VmEvent::KIND_RESUMED, i);
  }
  EXPECT_EQ(journal.events().size(), EventJournal::kMaxEvents);
  EXPECT_EQ(journal.events().front().kind(), VmEvent::KIND_PROCESS_STARTED);
  EXPECT_EQ(journal.events().back().monotonic_ns(), 10 * EventJournal::kMaxEvents - 1);
}

TEST(EventJournalTest, TellsListenersUntilTheyLeave) {
  EventJournal journal;
  std::vector<int> first, second;
  EventJournal::Subscription subscription = 0;
  subscription = journal.Subscribe([&](const VmEvent& event) {
    first.push_back(event.kind());
    journal.Unsubscribe(subscription);  // within its own call
  });
  journal.Subscribe([&](const VmEvent& event) { second.push_back(event.kind()); });
  journal.Record(VmEvent::KIND_PAUSED);
  journal.Record(VmEvent::KIND_RESUMED);

  EXPECT_THAT(first, ElementsAre(VmEvent::KIND_PAUSED));
  EXPECT_THAT(second, ElementsAre(VmEvent::KIND_PAUSED, VmEvent::KIND_RESUMED));
}

}  // namespace
}  // namespace msb
