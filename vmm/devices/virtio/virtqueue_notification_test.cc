// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Kicks and interrupts, and the ways to do without them (VIRTIO 1.2, 2.7.7 and 2.7.10).

#include <atomic>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>

#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/devices/virtio/virtqueue.h"

namespace msb {
namespace {

using testing::SizeIs;

absl::Status CompleteOne(Virtqueue& queue) {
  MSB_ASSIGN_OR_RETURN(const bool has_next, queue.HasNext());
  if (!has_next) return absl::NotFoundError("nothing available");
  MSB_ASSIGN_OR_RETURN(DescriptorChain chain, queue.Pop());
  return queue.Complete(std::move(chain), 0);
}

absl::Status DrainAll(Virtqueue& queue) {
  while (true) {
    MSB_ASSIGN_OR_RETURN(const bool has_next, queue.HasNext());
    if (!has_next) return queue.Flush();
    MSB_RETURN_IF_ERROR(CompleteOne(queue));
  }
}

// Both ways of suppressing: flags, and event index.
class NotificationTest : public testing::TestWithParam<bool> {
 protected:
  FakeGuest guest_{{.queue_sizes = {8}, .event_index = GetParam()}};
  FakeQueue& driver_ = guest_.queue();
  Virtqueue& device_ = guest_.queue().device();
};
INSTANTIATE_TEST_SUITE_P(FlagsAndEventIndex, NotificationTest, testing::Bool());

TEST_P(NotificationTest, InterruptsOnceForAllThatWasCompleted) {
  driver_.RequestInterrupt();
  driver_.AddWritable(1);
  driver_.AddWritable(1);
  ASSERT_OK(CompleteOne(device_));
  ASSERT_OK(CompleteOne(device_));
  EXPECT_EQ(driver_.interrupts(), 0);

  ASSERT_OK(device_.Flush());
  ASSERT_OK(device_.Flush());

  EXPECT_EQ(driver_.interrupts(), 1);
}

// Whoever served the queue before was stopped in the middle of its work.
TEST_P(NotificationTest, AsksForKicksWhereAnotherDidNotWantAny) {
  driver_.AddWritable(1);
  driver_.AddWritable(1);
  ASSERT_OK(CompleteOne(device_));
  ASSERT_OK_AND_ASSIGN(Virtqueue next,
                       Virtqueue::Create(guest_.memory(), driver_.layout(), GetParam(), [] {}));
  next.SetPosition(device_.next_available(), device_.next_used());
  ASSERT_OK(DrainAll(next));
  driver_.WantsKick();
  driver_.AddWritable(1);
  EXPECT_TRUE(driver_.WantsKick());
}

TEST_P(NotificationTest, StaysQuietWithoutCompletions) {
  driver_.RequestInterrupt();
  driver_.AddWritable(1);
  ASSERT_OK(device_.HasNext());
  ASSERT_OK(device_.Flush());
  EXPECT_EQ(driver_.interrupts(), 0);
}

TEST_P(NotificationTest, StaysQuietForADriverThatWantsNoInterrupts) {
  driver_.SuppressInterrupts();
  driver_.AddWritable(1);
  ASSERT_OK(DrainAll(device_));
  EXPECT_THAT(driver_.Used(), SizeIs(1));
  EXPECT_EQ(driver_.interrupts(), 0);
}

TEST_P(NotificationTest, WantsAKickOnlyOnceItHasFoundTheRingEmpty) {
  ASSERT_OK(DrainAll(device_));
  driver_.AddWritable(1);
  EXPECT_TRUE(driver_.WantsKick());

  ASSERT_OK_AND_ASSIGN(const bool has_next, device_.HasNext());
  ASSERT_TRUE(has_next);
  driver_.AddWritable(1);
  EXPECT_FALSE(driver_.WantsKick());

  ASSERT_OK(DrainAll(device_));
  driver_.Used();
  driver_.AddWritable(1);
  EXPECT_TRUE(driver_.WantsKick());
}

TEST_P(NotificationTest, WantsAKickAfterItsPositionWasSet) {
  device_.SetPosition(0, 0);
  ASSERT_OK(DrainAll(device_));
  driver_.AddWritable(1);
  EXPECT_TRUE(driver_.WantsKick());
}

TEST_P(NotificationTest, InterruptsAfterAWholeTurnOfCompletionsWithoutFlush) {
  driver_.SuppressInterrupts();
  const FakeBuffer buffer = guest_.Writable(1);
  for (int i = 0; i < 0x10000; ++i) {
    driver_.AddChain({buffer});
    ASSERT_OK(CompleteOne(device_));
    driver_.Used();
  }
  ASSERT_OK(device_.Flush());
  EXPECT_EQ(driver_.interrupts(), 1);  // the indices are where they were, but it cannot be silent
}

TEST(EventIndexTest, InterruptsWhenTheUsedIndexPassesTheEvent) {
  FakeGuest guest;
  FakeQueue& driver = guest.queue();
  for (int i = 0; i < 4; ++i) driver.AddWritable(1);
  driver.SetUsedEvent(2);  // "when the third is used"
  const auto interrupts_after = [&](int completions) {
    for (int i = 0; i < completions; ++i) EXPECT_OK(CompleteOne(driver.device()));
    EXPECT_OK(driver.device().Flush());
    return driver.interrupts();
  };
  EXPECT_EQ(interrupts_after(2), 0);
  EXPECT_EQ(interrupts_after(1), 1);
  EXPECT_EQ(interrupts_after(1), 1);
}

TEST(EventIndexTest, PublishesWhereItStopped) {
  FakeGuest guest;
  guest.queue().AddWritable(1);
  guest.queue().AddWritable(1);
  ASSERT_OK(DrainAll(guest.queue().device()));
  EXPECT_EQ(guest.queue().available_event(), 2);
}

TEST(NoEventIndexTest, ClearsNoNotifyWhenItStops) {
  FakeGuest guest({.queue_sizes = {8}, .event_index = false});
  FakeQueue& driver = guest.queue();
  driver.AddWritable(1);
  ASSERT_OK(driver.device().HasNext());
  EXPECT_EQ(driver.used_flags(), virtio::kUsedNoNotify);
  ASSERT_OK(DrainAll(driver.device()));
  EXPECT_EQ(driver.used_flags(), 0);
}

// A driver and a device on two threads that sleep whenever they may: a kick or an interrupt that
// got lost leaves both asleep, and the test in its time limit.
TEST_P(NotificationTest, LosesNeitherKickNorInterruptBetweenTwoThreads) {
  constexpr int kChains = 20'000;
  std::counting_semaphore<> kicks{0};
  std::counting_semaphore<> interrupts{0};
  ASSERT_OK_AND_ASSIGN(Virtqueue device,
                       Virtqueue::Create(guest_.memory(), driver_.layout(), GetParam(),
                                         [&] { interrupts.release(); }));
  absl::Status device_status;
  std::atomic<bool> device_failed = false;
  std::thread device_thread([&] {
    int completed = 0;
    while (completed < kChains && device_status.ok()) {
      const absl::StatusOr<bool> has_next = device.HasNext();
      if (!has_next.ok()) {
        device_status = has_next.status();
      } else if (*has_next) {
        device_status = CompleteOne(device);
        ++completed;
      } else {
        device_status = device.Flush();
        kicks.acquire();
      }
    }
    if (device_status.ok()) device_status = device.Flush();
    device_failed = !device_status.ok();
    if (device_failed) interrupts.release();
  });

  const FakeBuffer buffer = guest_.Writable(1);
  int added = 0;
  int used = 0;
  while (used < kChains && !device_failed) {
    while (added < kChains && added - used < driver_.layout().size) {
      driver_.AddChain({buffer});
      ++added;
    }
    if (driver_.WantsKick()) kicks.release();
    driver_.RequestInterrupt();
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const size_t got = driver_.Used().size();
    used += static_cast<int>(got);
    if (got == 0) interrupts.acquire();
  }
  kicks.release();
  device_thread.join();
  ASSERT_OK(device_status);
  EXPECT_EQ(used, kChains);
}

}  // namespace
}  // namespace msb
