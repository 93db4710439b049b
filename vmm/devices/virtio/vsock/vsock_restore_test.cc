// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <string>
#include <vector>

#include "vmm/devices/virtio/vsock/mark_service.h"
#include "vmm/devices/virtio/vsock/vsock_fixture.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using virtio::kVsockEventQueue;

class VsockRestoreTest : public VsockFixture {
 protected:
  static msb::vmm::v1::DeviceState Saved(uint64_t cid) {
    msb::vmm::v1::DeviceState state;
    state.mutable_vsock()->set_guest_cid(cid);
    return state;
  }
  void RestoreAndAttach() {
    ASSERT_OK(device_->Restore(Saved(7)));
    Attach();
  }
};

TEST_F(VsockRestoreTest, TheGuestIsToldThatItsConnectionsAreGone) {
  driver_->AddEventBuffers(8);
  RestoreAndAttach();
  EXPECT_THAT(driver_->Events(), ElementsAre(0));
  EXPECT_EQ(driver_->guest().queue(kVsockEventQueue).interrupts(), 1);
}

TEST_F(VsockRestoreTest, ADeviceThatIsNotRestoredSaysNothing) {
  driver_->AddEventBuffers(8);
  Attach();
  EXPECT_THAT(driver_->Events(), IsEmpty());
}

TEST_F(VsockRestoreTest, ClientsWaitUntilTheGuestHasTakenNote) {
  for (const bool event_index : {false, true}) {
    Make({}, {.event_index = event_index});
    driver_->AddEventBuffers(8);
    RestoreAndAttach();
    FakeClient client = Connect();
    EXPECT_THAT(ReceivedOps(), IsEmpty());
    ASSERT_OK(device_->OnNotify(kVsockEventQueue));  // an old kick proves nothing
    Turn();
    EXPECT_THAT(ReceivedOps(), IsEmpty());

    EXPECT_EQ(driver_->Events().size(), 1u);
    driver_->AddEventBuffers(1);
    ASSERT_OK(driver_->Kick(kVsockEventQueue));
    Turn();

    EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kRequest));
  }
}

TEST_F(VsockRestoreTest, OldConnectionsOfTheGuestAreResetMeanwhile) {
  driver_->AddEventBuffers(8);
  RestoreAndAttach();
  ASSERT_OK(driver_->Send(driver_->Header(Op::kReadWrite, 5, 6), "old"));
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kReset));
}

TEST_F(VsockRestoreTest, AGuestThatTakesNoNoteHoldsClientsUpForATimeOnly) {
  Make({.transport_reset_timeout = absl::Milliseconds(1)});
  driver_->AddEventBuffers(8);
  RestoreAndAttach();
  const FakeClient client = Connect();
  std::vector<Op> ops;
  TurnUntil([&] { return !(ops = ReceivedOps()).empty(); });
  EXPECT_THAT(ops, ElementsAre(Op::kRequest));
}

TEST_F(VsockRestoreTest, AnEventBufferThatComesLateIsUsed) {
  RestoreAndAttach();
  EXPECT_THAT(driver_->Events(), IsEmpty());
  driver_->AddEventBuffers(1);
  ASSERT_OK(driver_->Kick(kVsockEventQueue));
  EXPECT_THAT(driver_->Events(), ElementsAre(0));
  driver_->AddEventBuffers(1);
  ASSERT_OK(driver_->Kick(kVsockEventQueue));
  Open();
}

TEST_F(VsockRestoreTest, WithoutAnEventQueueNobodyWaits) {
  ASSERT_OK(device_->Restore(Saved(7)));
  std::vector<Virtqueue*> queues = driver_->guest().virtqueues();
  queues[kVsockEventQueue] = nullptr;
  ASSERT_OK(device_->Activate(0, queues));
  const FakeClient client = Connect();
  EXPECT_THAT(driver_->ReceiveAndHold(), testing::SizeIs(1));
}

TEST_F(VsockRestoreTest, AnEventBufferWithoutRoomBreaksTheDevice) {
  driver_->guest().queue(kVsockEventQueue).AddWritable(3);
  RestoreAndAttach();
  EXPECT_THAT(device_->OnNotify(kVsockEventQueue), HasReason(Reason::kGuestViolation));
}

TEST_F(VsockRestoreTest, TheSavedStateIsItsContextId) {
  EXPECT_EQ(device_->Save().vsock().guest_cid(), kGuestCid);
  ASSERT_OK(device_->Restore(device_->Save()));
}

TEST_F(VsockRestoreTest, AForgedStateIsRefused) {
  EXPECT_THAT(device_->Restore({}), HasReason(Reason::kStateInvalid));
  for (const uint64_t cid : {0ull, 2ull, 0xffff'ffffull, 1ull << 40}) {
    EXPECT_THAT(device_->Restore(Saved(cid)), HasReason(Reason::kStateInvalid)) << cid;
  }
}

TEST_F(VsockRestoreTest, ItKeepsItsOwnContextId) {
  ASSERT_OK(device_->Restore(Saved(7)));
  EXPECT_THAT(device_->config(), ElementsAre(kGuestCid, 0, 0, 0, 0, 0, 0, 0));
}

TEST_F(VsockRestoreTest, AResetEndsConnectionsWithoutAWordToTheGuest) {
  Attach();
  Pair pair = Open();
  GuestWrites(pair.guest, "sent before");
  device_->Reset();
  EXPECT_EQ(pair.client.Receive(), "sent before");
  EXPECT_TRUE(pair.client.ended());
  EXPECT_THAT(driver_->ReceiveAndHold(), IsEmpty());
  Turn();
}

TEST_F(VsockRestoreTest, AGuestsBootMarksReachTheObserver) {
  struct Observer final : BootMarkObserver {
    void OnBootMark(const msb::agent::v1::BootMark& mark) override {
      times.push_back(mark.guest_boottime_ns());
    }
    std::vector<uint64_t> times;
  } observer;
  MarkService marks(observer);
  device_->RegisterHostService(MarkService::kPort, marks);
  Attach();
  const GuestSocket socket{9, MarkService::kPort};
  GuestSends(socket, Op::kRequest);
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kResponse));

  const std::string body = [] {
    msb::agent::v1::BootMark mark;
    mark.set_stage(msb::agent::v1::BootMark::STAGE_AGENT_STARTED);
    mark.set_guest_boottime_ns(42);
    return mark.SerializeAsString();
  }();
  GuestWrites(socket, std::string(1, static_cast<char>(body.size())) + std::string(3, '\0') + body);

  EXPECT_THAT(observer.times, ElementsAre(42));
  GuestSends(socket, Op::kShutdown, virtio::kVsockShutdownBoth);
  EXPECT_THAT(ReceivedOps(), ElementsAre(Op::kReset));
  device_.reset();
}

}  // namespace
}  // namespace msb
