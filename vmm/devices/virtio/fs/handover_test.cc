// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/fs/handover.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/descriptors.h"
#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"

namespace msb::fs_handover {
namespace {

using testing::SizeIs;

class HandoverTest : public testing::Test {
 protected:
  HandoverTest() {
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    vmm_ = UniqueFd(ends[0]);
    server_ = UniqueFd(ends[1]);
    for (size_t i = 0; i < kQueues; ++i) {
      guest_.queue(i).device().set_events({.kick = event_.get(), .call = event_.get()});
    }
  }
  ReceivedOrder Serve() {
    MSB_CHECK(SendServe(vmm_.get(), guest_.virtqueues(), event_.get()).ok());
    auto received = ReceiveOrder(server_.get());
    MSB_CHECK(received.ok() && received->has_value());
    return **std::move(received);
  }

  FakeGuest guest_{{.queue_sizes = {8, 16}, .memory_kind = FakeGuest::MemoryKind::kMemfd}};
  UniqueFd vmm_, server_;
  UniqueFd event_{::eventfd(0, EFD_CLOEXEC)};
};

TEST_F(HandoverTest, BringsMemoryAndQueuesAcross) {
  guest_.queue(1).device().SetPosition(7, 7);
  ASSERT_OK_AND_ASSIGN(const Grant grant, CheckServe(Serve()));

  ASSERT_THAT(grant.memory, SizeIs(1));
  EXPECT_EQ(grant.memory[0].range.start, FakeGuest::kMemoryStart);
  EXPECT_EQ(grant.memory[0].range.size, guest_.memory().total_bytes());
  ASSERT_TRUE(grant.queues[0].has_value() && grant.queues[1].has_value());
  EXPECT_EQ(grant.queues[1]->layout, guest_.queue(1).layout());
  EXPECT_EQ(grant.queues[1]->position, 7);
  EXPECT_TRUE(grant.queues[1]->event_index);
  EXPECT_TRUE(grant.queues[1]->kick.valid() && grant.queues[1]->call.valid());
}

TEST_F(HandoverTest, LeavesOutWhatIsNotThere) {
  guest_.queue(0).device().Suspend();
  guest_.queue(1).device().set_events({.kick = event_.get(), .call = -1});
  ASSERT_OK_AND_ASSIGN(const Grant grant, CheckServe(Serve()));
  EXPECT_FALSE(grant.queues[0].has_value());
  EXPECT_TRUE(grant.queues[1]->kick.valid());
  EXPECT_FALSE(grant.queues[1]->call.valid());
}

TEST_F(HandoverTest, RefusesWhatNoVmmSays) {
  const std::vector<std::function<void(ReceivedOrder&)>> lies = {
      [](ReceivedOrder& said) { said.order.region_count = 0; },
      [](ReceivedOrder& said) { said.order.region_count = kMaxRegions + 1; },
      [](ReceivedOrder& said) { said.order.region_count = 2; },
      [](ReceivedOrder& said) { said.order.queues[0].size = kMaxQueueSize + 1; },
      [](ReceivedOrder& said) { said.order.queues[0].size = 0; },
      [](ReceivedOrder& said) { said.order.queues[0].has_call = 0; },
      [](ReceivedOrder& said) { said.descriptors.pop_back(); },
      [](ReceivedOrder& said) { said.descriptors.clear(); },
      [](ReceivedOrder& said) { said.descriptors.emplace_back(::dup(0)); },
      // Memory that could be cut off under whoever has mapped it; or that is none.
      [](ReceivedOrder& said) {
        said.descriptors[0] = UniqueFd(::memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING));
      },
      [](ReceivedOrder& said) { said.descriptors[0] = UniqueFd(::eventfd(0, EFD_CLOEXEC)); },
  };
  for (const auto& lie : lies) {
    ReceivedOrder said = Serve();
    lie(said);
    EXPECT_FALSE(CheckServe(std::move(said)).ok());
  }
}

TEST_F(HandoverTest, TakesAnOrderThatArrivesInPieces) {
  const Order stop = {.kind = OrderKind::kStop};
  const std::string bytes(reinterpret_cast<const char*>(&stop), sizeof(stop));
  ASSERT_OK(SendWithDescriptors(vmm_.get(), bytes.substr(0, 5), {event_.get()}));
  std::thread rest([&] { MSB_CHECK(SendWithDescriptors(vmm_.get(), bytes.substr(5), {}).ok()); });
  ASSERT_OK_AND_ASSIGN(const auto received, ReceiveOrder(server_.get()));
  rest.join();
  EXPECT_EQ(received->order.kind, OrderKind::kStop);
  EXPECT_THAT(received->descriptors, SizeIs(1));
}

TEST_F(HandoverTest, TellsTheEndFromACut) {
  ASSERT_OK(SendWithDescriptors(vmm_.get(), "cut", {}));
  vmm_.Reset();
  EXPECT_THAT(ReceiveOrder(server_.get()), HasReason(Reason::kFrameTruncated));
  ASSERT_OK_AND_ASSIGN(const auto end, ReceiveOrder(server_.get()));
  EXPECT_FALSE(end.has_value());
}

TEST_F(HandoverTest, HandsOverNoMemoryThatIsNoFile) {
  FakeGuest anonymous({.queue_sizes = {8, 8}});
  EXPECT_THAT(SendServe(vmm_.get(), anonymous.virtqueues(), event_.get()),
              HasReason(Reason::kHostError));
}

}  // namespace
}  // namespace msb::fs_handover
