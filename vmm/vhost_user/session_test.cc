// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/vhost_user/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/vhost_user/echo_device.h"
#include "vmm/vhost_user/fake_front_end.h"

namespace msb::vhost_user {
namespace {

using ::testing::ElementsAre;
using ::testing::Ne;
using virtio::UsedElement;

class SessionTest : public ::testing::Test {
 protected:
  static FakeGuest::Options GuestOptions() {
    FakeGuest::Options options;
    options.queue_sizes = {8, 8, 8};
    options.memory_kind = FakeGuest::MemoryKind::kMemfd;
    return options;
  }

  SessionTest() : guest_(GuestOptions()), loop_(*EventLoop::Create()) {
    session_ = std::make_unique<Session>(*loop_, device_, tables_);
    front_end_ = std::make_unique<FakeFrontEnd>(
        guest_, 3, [this](Message message) { return session_->Handle(std::move(message)); });
  }

  // Serves what is ready now.
  void RunLoop() {
    loop_->Stop();
    ASSERT_OK(loop_->Run());  // returns behind the events at hand
    loop_->Post([this] { loop_->Stop(); });
    ASSERT_OK(loop_->Run());
  }

  template <typename T>
  T Get(Request request) {
    const auto reply = front_end_->Send(request, "");
    MSB_CHECK(reply.ok() && reply->size() == sizeof(T));
    T value;
    std::memcpy(&value, reply->data(), sizeof(T));
    return value;
  }

  FakeGuest guest_;
  std::unique_ptr<EventLoop> loop_;
  EchoDevice device_;
  MemoryTables tables_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<FakeFrontEnd> front_end_;
};

TEST_F(SessionTest, OffersTheDevicesFeaturesBesideThoseOfTheTransport) {
  const auto features = Get<uint64_t>(Request::kGetFeatures);

  EXPECT_NE(features & EchoDevice::kFeature, 0u);
  EXPECT_NE(features & kFeatureProtocolFeatures, 0u);
  EXPECT_NE(features & FakeFrontEnd::kFeatureVersion1, 0u);
  EXPECT_EQ(Get<uint64_t>(Request::kGetQueueNumber), 3u);
}

TEST_F(SessionTest, ActivatesWithTheRingsThatAreSetUpAndNullForTheRest) {
  ASSERT_OK(front_end_->Start({0, 0}));

  EXPECT_TRUE(device_.active());
  EXPECT_EQ(device_.driver_features(),
            FakeFrontEnd::kFeatureVersion1 | FakeFrontEnd::kFeatureEventIndex);
  EXPECT_THAT(device_.queues(), ElementsAre(Ne(nullptr), Ne(nullptr), nullptr));
}

TEST_F(SessionTest, ServesAKickedRingAndInterrupts) {
  ASSERT_OK(front_end_->Start({0, 0}));
  const FakeChain chain = guest_.queue(1).AddChain({guest_.Readable("hello"), guest_.Writable(16)});
  front_end_->Kick(1);

  RunLoop();

  EXPECT_THAT(guest_.queue(1).Used(), ElementsAre(UsedElement{.id = 0, .length = 5}));
  EXPECT_EQ(guest_.Read({chain.buffers[1].start, 5}), "hello");
  EXPECT_EQ(front_end_->TakeInterrupts(1), 1u);
}

TEST_F(SessionTest, ServesWhatWasAvailableBeforeTheStart) {
  guest_.queue(0).AddReadable("early");

  ASSERT_OK(front_end_->Start({0}));

  EXPECT_THAT(guest_.queue(0).Used(), ElementsAre(UsedElement{.id = 0, .length = 0}));
}

TEST_F(SessionTest, LeavesAStoppedRingAlone) {
  ASSERT_OK(front_end_->Start({0, 0}));
  front_end_->Stop(2);
  guest_.queue(1).AddReadable("later");
  front_end_->Kick(1);

  RunLoop();
  ASSERT_OK(device_.Serve(*device_.queues()[1]));  // a device that has something to say by itself

  EXPECT_TRUE(device_.active());
  EXPECT_THAT(guest_.queue(1).Used(), ElementsAre());
}

TEST_F(SessionTest, GoesOnAfterAStopWithoutResettingTheDevice) {
  ASSERT_OK(front_end_->Start({0, 0}));
  guest_.queue(1).AddReadable("one");
  front_end_->Kick(1);
  RunLoop();
  const std::vector<uint32_t> positions = front_end_->Stop(2);
  guest_.queue(1).AddReadable("two");

  ASSERT_OK(front_end_->Start(positions));

  EXPECT_THAT(positions, ElementsAre(0, 1));
  EXPECT_EQ(device_.activations(), 1);
  EXPECT_EQ(guest_.queue(1).Used().size(), 2u);
}

TEST_F(SessionTest, ResetsTheDeviceWhenTheDriverStartsAnew) {
  ASSERT_OK(front_end_->Start({0, 0}));
  guest_.queue(1).AddReadable("one");
  front_end_->Kick(1);
  RunLoop();
  front_end_->Stop(2);

  ASSERT_OK(front_end_->Start({0, 0}));

  EXPECT_EQ(device_.activations(), 2);
  EXPECT_EQ(device_.served(), 2);  // from the start of the ring, once more
}

TEST_F(SessionTest, ResetsTheDeviceWhenItStartsWithOtherFeatures) {
  ASSERT_OK(front_end_->Start({0}));
  front_end_->Stop(1);

  ASSERT_OK(front_end_->Start({0}, FakeFrontEnd::kFeatureVersion1));

  EXPECT_EQ(device_.activations(), 2);
  EXPECT_EQ(device_.driver_features(), FakeFrontEnd::kFeatureVersion1);
}

TEST_F(SessionTest, ResetsTheDeviceOnRequest) {
  ASSERT_OK(front_end_->Start({0}));

  ASSERT_OK(front_end_->Send(Request::kResetDevice, ""));

  EXPECT_FALSE(device_.active());
}

TEST_F(SessionTest, InterruptsAgainWhenTheCallDescriptorOfARunningRingChanges) {
  ASSERT_OK(front_end_->Start({0}));
  const uint64_t ring = 0;
  UniqueFd masked(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  std::vector<UniqueFd> descriptors;
  descriptors.push_back(Duplicate(masked.get()));

  ASSERT_OK(front_end_->Send(Request::kSetRingCall, Payload(ring), std::move(descriptors)));

  uint64_t count = 0;
  EXPECT_EQ(::read(masked.get(), &count, sizeof(count)), ssize_t{sizeof(count)});
}

TEST_F(SessionTest, LeavesKicksToADeviceThatWatchesThem) {
  device_.set_watches_kicks(true);
  ASSERT_OK(front_end_->Start({0, 0}));
  guest_.queue(1).AddReadable("for whoever has the queue");
  front_end_->Kick(1);
  RunLoop();
  EXPECT_THAT(guest_.queue(1).Used(), ElementsAre());
  const Virtqueue::Events events = device_.queues()[1]->events();
  uint64_t count = 0;
  EXPECT_EQ(::read(events.kick, &count, sizeof(count)), ssize_t{sizeof(count)});
  EXPECT_EQ(::write(events.call, &count, sizeof(count)), ssize_t{sizeof(count)});
  EXPECT_EQ(front_end_->TakeInterrupts(1), 1u);
}

TEST_F(SessionTest, BringsADeviceThatWatchesKicksToRestBeforeItsCallDescriptorChanges) {
  device_.set_watches_kicks(true);
  ASSERT_OK(front_end_->Start({0}));
  guest_.queue(0).AddReadable("noticed when it starts again");
  const int quiesced = device_.quiesced();
  UniqueFd other(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  std::vector<UniqueFd> descriptors;
  descriptors.push_back(Duplicate(other.get()));

  ASSERT_OK(front_end_->Send(Request::kSetRingCall, Payload(uint64_t{0}), std::move(descriptors)));

  EXPECT_EQ(device_.quiesced(), quiesced + 1);
  EXPECT_EQ(guest_.queue(0).Used().size(), 1u);
  const uint64_t one = 1;
  uint64_t count = 0;
  EXPECT_EQ(::read(other.get(), &count, sizeof(count)), ssize_t{sizeof(count)});
  EXPECT_EQ(::write(device_.queues()[0]->events().call, &one, sizeof(one)), ssize_t{sizeof(one)});
  EXPECT_EQ(::read(other.get(), &count, sizeof(count)), ssize_t{sizeof(count)});
}

TEST_F(SessionTest, StartsADeviceThatWatchesKicksAgainWhereOneRingAloneWasStopped) {
  device_.set_watches_kicks(true);
  ASSERT_OK(front_end_->Start({0, 0}));
  guest_.queue(1).AddReadable("noticed when the other stops");
  front_end_->Stop(1);
  EXPECT_EQ(guest_.queue(1).Used().size(), 1u);
}

TEST_F(SessionTest, StopsTheDeviceOfAGuestThatBreaksTheRulesButNotTheConnection) {
  ASSERT_OK(front_end_->Start({0, 0}));
  guest_.queue(1).SetAvailableIndex(4000);
  front_end_->Kick(1);

  RunLoop();
  guest_.queue(1).SetAvailableIndex(0);
  guest_.queue(1).AddReadable("too late");
  front_end_->Kick(1);
  RunLoop();

  EXPECT_THAT(guest_.queue(1).Used(), ElementsAre());
  EXPECT_OK(front_end_->Send(Request::kGetFeatures, "").status());
}

TEST_F(SessionTest, ServesAgainWhatTheGuestBrokeOnceItsDriverStartsAnew) {
  ASSERT_OK(front_end_->Start({0, 0}));
  guest_.queue(1).SetAvailableIndex(4000);
  front_end_->Kick(1);
  RunLoop();
  front_end_->Stop(2);
  EXPECT_FALSE(device_.active());
  guest_.queue(1).SetAvailableIndex(0);

  ASSERT_OK(front_end_->Start({0, 0}));
  guest_.queue(1).AddReadable("well");
  front_end_->Kick(1);
  RunLoop();

  EXPECT_EQ(guest_.queue(1).Used().size(), 1u);
}

TEST_F(SessionTest, LogsAGuestThatBreaksItsDeviceAgainAndAgainOnce) {
  testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(front_end_->Start({0, 0}));
    guest_.queue(1).SetAvailableIndex(4000);
    front_end_->Kick(1);
    RunLoop();
    front_end_->Stop(2);
    guest_.queue(1).SetAvailableIndex(0);
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
}

TEST_F(SessionTest, StopsADeviceThatFindsAFaultByItself) {
  ASSERT_OK(front_end_->Start({0}));

  device_.FindFault();
  guest_.queue(0).AddReadable("too late");
  front_end_->Kick(0);
  RunLoop();

  EXPECT_THAT(guest_.queue(0).Used(), ElementsAre());
}

TEST_F(SessionTest, QuiescesTheDeviceBeforeItTellsWhereARingStopped) {
  ASSERT_OK(front_end_->Start({0}));

  front_end_->Stop(1);

  EXPECT_EQ(device_.quiesced(), 1);
}

TEST_F(SessionTest, RefusesToActivateAQueueThatIsLargerThanQemuOffers) {
  ASSERT_OK(front_end_->Send(Request::kSetFeatures, Payload(FakeFrontEnd::kFeatureVersion1)));
  ASSERT_OK(front_end_->SendMemory({front_end_->WholeMemory()}));
  ASSERT_OK(front_end_->SetUpRing(0, 0));
  ASSERT_OK(front_end_->Send(Request::kSetRingSize, Payload(RingState{0, 2048})));

  ASSERT_OK(front_end_->Send(Request::kSetRingEnable, Payload(RingState{0, 1})));

  EXPECT_FALSE(device_.active());
}

TEST_F(SessionTest, RefusesADriverWithoutVersion1) {
  ASSERT_OK(front_end_->Start({0}, EchoDevice::kFeature));

  EXPECT_FALSE(device_.active());
}

TEST_F(SessionTest, ReadsConfigWithZeroesBehindItsEnd) {
  const auto reply = front_end_->Send(
      Request::kGetConfig,
      Payload(ConfigHeader{.offset = 4, .size = 8, .flags = 0}) + std::string(8, 'x'));

  ASSERT_OK(reply);
  EXPECT_EQ(reply->substr(sizeof(ConfigHeader)), std::string("\5\6\7\10\0\0\0\0", 8));
}

TEST_F(SessionTest, WritesConfigOnlyInsideOfIt) {
  ASSERT_OK(front_end_->Send(Request::kSetConfig, Payload(ConfigHeader{1, 2, 0}) + "ab"));
  ASSERT_OK(front_end_->Send(Request::kSetConfig, Payload(ConfigHeader{7, 2, 0}) + "cd"));

  EXPECT_THAT(device_.config(), ElementsAre(1, 'a', 'b', 4, 5, 6, 7, 8));
}

TEST_F(SessionTest, RefusesConfigReadsPastTheEnd) {
  for (const ConfigHeader& header :
       {ConfigHeader{0, 257, 0}, ConfigHeader{256, 1, 0}, ConfigHeader{0xffffffff, 2, 0}}) {
    EXPECT_THAT(front_end_->Send(Request::kGetConfig, Payload(header)),
                HasReason(Reason::kQemuError));
  }
}

TEST_F(SessionTest, RefusesRingsThatTheDeviceDoesNotHave) {
  EXPECT_THAT(front_end_->Send(Request::kSetRingSize, Payload(RingState{3, 8})),
              HasReason(Reason::kQemuError));
  EXPECT_THAT(front_end_->Send(Request::kGetRingBase, Payload(RingState{0xffffffff, 0})),
              HasReason(Reason::kQemuError));
}

TEST_F(SessionTest, ServesRingsThatWereEnabledBeforeTheyWereSetUp) {
  ASSERT_OK(front_end_->Send(Request::kSetFeatures, Payload(FakeFrontEnd::kFeatureVersion1)));
  ASSERT_OK(front_end_->SendMemory({front_end_->WholeMemory()}));
  ASSERT_OK(front_end_->Send(Request::kSetRingEnable, Payload(RingState{0, 1})));
  EXPECT_FALSE(device_.active());

  ASSERT_OK(front_end_->SetUpRing(0, 0));

  EXPECT_TRUE(device_.active());
}

TEST_F(SessionTest, RefusesRingAddressesOutsideOfMemory) {
  ASSERT_OK(front_end_->Send(Request::kSetFeatures, Payload(FakeFrontEnd::kFeatureVersion1)));
  ASSERT_OK(front_end_->SendMemory({front_end_->WholeMemory()}));
  ASSERT_OK(front_end_->SetUpRing(0, 0));
  RingAddress address = front_end_->AddressOf(0);
  address.device_area = 0xffff'ffff'ffff'fff0;
  ASSERT_OK(front_end_->Send(Request::kSetRingAddress, Payload(address)));

  EXPECT_THAT(front_end_->Send(Request::kSetRingEnable, Payload(RingState{0, 1})),
              HasReason(Reason::kQemuError));
}

TEST_F(SessionTest, RefusesOtherMemoryUnderRunningRings) {
  ASSERT_OK(front_end_->Start({0}));
  MemoryRegion half = front_end_->WholeMemory();
  half.size /= 2;

  EXPECT_OK(front_end_->SendMemory({front_end_->WholeMemory()}));
  EXPECT_THAT(front_end_->SendMemory({half}), HasReason(Reason::kQemuError));
}

TEST_F(SessionTest, RefusesFeaturesThatWereNotOffered) {
  EXPECT_THAT(front_end_->Send(Request::kSetFeatures, Payload(uint64_t{1} << 26)),
              HasReason(Reason::kQemuError));
  EXPECT_THAT(front_end_->Send(Request::kSetProtocolFeatures, Payload(uint64_t{1} << 8)),
              HasReason(Reason::kQemuError));
}

TEST_F(SessionTest, RefusesMessagesOfTheWrongLengthOrWithoutTheirDescriptor) {
  EXPECT_THAT(front_end_->Send(Request::kSetFeatures, "short"), HasReason(Reason::kQemuError));
  EXPECT_THAT(front_end_->Send(Request::kSetRingKick, Payload(uint64_t{0})),
              HasReason(Reason::kQemuError));
  EXPECT_THAT(front_end_->Send(Request::kSetRingKick, Payload(kRingNoDescriptor)),
              HasReason(Reason::kQemuError));
  EXPECT_THAT(front_end_->Send(Request{99}, ""), HasReason(Reason::kQemuError));
}

TEST_F(SessionTest, ResetsTheDeviceWhenTheSessionEnds) {
  ASSERT_OK(front_end_->Start({0}));

  session_.reset();

  EXPECT_FALSE(device_.active());
}

}  // namespace
}  // namespace msb::vhost_user
