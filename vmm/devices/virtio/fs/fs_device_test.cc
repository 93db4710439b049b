// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/fs/fs_device.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/devices/virtio/fs/fake_file_server.h"

namespace msb {
namespace {

using fs_handover::OrderKind;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using virtio::UsedElement;

template <typename T>
std::string AsText(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::string RequestBytes(uint64_t unique, const std::string& body = "") {
  virtio::FuseRequestHeader header = {};
  header.length = static_cast<uint32_t>(sizeof(header) + body.size());
  header.unique = unique;
  return AsText(header) + body;
}

// What the transport hears of.
class Violations final : public ConfigChangeNotifier {
 public:
  void OnConfigChanged() override {}
  void OnGuestViolation(const absl::Status& why) override { last = why; }
  absl::Status last;
};

class FsDeviceTest : public testing::Test {
 protected:
  FsDeviceTest() { Begin({8, 8}); }
  ~FsDeviceTest() override { End(); }

  void Begin(std::vector<uint16_t> sizes) {
    guest_ = std::make_unique<FakeGuest>(FakeGuest::Options{
        .queue_sizes = std::move(sizes), .memory_kind = FakeGuest::MemoryKind::kMemfd});
    auto loop = EventLoop::Create();
    MSB_CHECK(loop.ok());
    loop_ = *std::move(loop);
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    server_ = std::make_unique<FakeFileServer>(UniqueFd(ends[1]));
    auto device = FsDevice::Create(*loop_, UniqueFd(ends[0]),
                                   {.tag = "work", .patience = absl::Milliseconds(1)});
    MSB_CHECK(device.ok());
    device_ = *std::move(device);
    device_->set_notifier(&violations_);
    for (size_t i = 0; i < 2; ++i) {
      kicks_[i] = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      calls_[i] = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    }
    Connect(*guest_);
    MSB_CHECK(device_->Activate(0, guest_->virtqueues()).ok());
  }
  void Connect(FakeGuest& guest) {
    for (size_t i = 0; i < 2; ++i) {
      guest.queue(i).device().set_events({.kick = kicks_[i].get(), .call = calls_[i].get()});
    }
  }
  // Nobody waits for a server that the test has left.
  void End() {
    server_->Die();
    device_->Reset();
    device_.reset();
  }

  FakeQueue& queue(size_t index) { return guest_->queue(index); }
  FakeChain Ask(uint64_t unique, size_t index = 1) {
    return queue(index).AddChain({guest_->Readable(RequestBytes(unique)), guest_->Writable(64)});
  }
  void Kick(size_t index) {
    const uint64_t one = 1;
    MSB_CHECK(::write(kicks_[index].get(), &one, sizeof(one)) == sizeof(one));
  }
  uint64_t TakeCalls(size_t index) {
    uint64_t count = 0;
    return ::read(calls_[index].get(), &count, sizeof(count)) == sizeof(count) ? count : 0;
  }
  // One turn of the loop.
  void Turn() {
    loop_->Post([this] { loop_->Post([this] { loop_->Stop(); }); });
    ASSERT_OK(loop_->Run());
  }
  void ServerDies() {
    server_->Die();
    Turn();
  }
  virtio::FuseReplyHeader ReplyIn(GuestRange range) {
    virtio::FuseReplyHeader header;
    std::memcpy(&header, guest_->Read(range).data(), sizeof(header));
    return header;
  }

  std::unique_ptr<FakeGuest> guest_;
  Violations violations_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<FakeFileServer> server_;
  UniqueFd kicks_[2];
  UniqueFd calls_[2];
  std::unique_ptr<FsDevice> device_;
};

TEST_F(FsDeviceTest, ShowsItsTagAndOneRequestQueue) {
  virtio::FsConfig config;
  ASSERT_EQ(device_->config().size(), sizeof(config));
  std::memcpy(&config, device_->config().data(), sizeof(config));
  EXPECT_EQ(std::string(config.tag, 5), std::string("work\0", 5));
  EXPECT_EQ(config.num_request_queues, 1u);
  EXPECT_THAT(device_->max_queue_sizes(), SizeIs(2));
}

TEST_F(FsDeviceTest, TakesNoTagThatDoesNotFit) {
  const auto with_tag = [this](const std::string& tag) {
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ::close(ends[1]);
    return FsDevice::Create(*loop_, UniqueFd(ends[0]), {.tag = tag}).status();
  };
  const std::string longest(virtio::kFsTagBytes, 't');
  EXPECT_OK(with_tag(longest));
  EXPECT_THAT(with_tag(longest + "t"), HasReason(Reason::kVmSpecInvalid));
  EXPECT_THAT(with_tag(""), HasReason(Reason::kVmSpecInvalid));
}

TEST_F(FsDeviceTest, HandsItsQueuesOverWithWhatServesThem) {
  server_->TakeQueues();
  const FakeChain chain = Ask(42);
  Kick(1);
  uint64_t kicks = 0;
  EXPECT_EQ(::read(server_->grant().queues[1]->kick.get(), &kicks, sizeof(kicks)), 8);

  DescriptorChain taken = server_->Pop(1);
  server_->Complete(1, std::move(taken), "attributes and more");

  EXPECT_THAT(queue(1).Used(), ElementsAre(UsedElement{.id = chain.head, .length = 19}));
  EXPECT_EQ(guest_->Read(chain.buffers[1]).substr(0, 10), "attributes");
  EXPECT_EQ(TakeCalls(1), 1u);
  EXPECT_TRUE(server_->Has(0));
}

TEST_F(FsDeviceTest, HandsOverOnlyWhatRuns) {
  server_->TakeQueues();
  server_->SayStopped();
  queue(0).device().Suspend();
  device_->Reset();
  EXPECT_EQ(server_->TakeOrder().order.kind, OrderKind::kStop);
  ASSERT_OK(device_->Activate(0, guest_->virtqueues()));
  server_->TakeQueues();
  EXPECT_FALSE(server_->Has(0));
  EXPECT_TRUE(server_->Has(1));

  // The other one starts: both are handed over anew, the first from where it has come to.
  Ask(1);
  server_->Complete(1, server_->Pop(1), std::string(16, 'r'));
  server_->SayStopped();
  queue(0).device().Resume();
  ASSERT_OK(device_->OnNotify(0));
  EXPECT_EQ(server_->TakeOrder().order.kind, OrderKind::kStop);
  server_->TakeQueues();
  EXPECT_TRUE(server_->Has(0));
  EXPECT_EQ(server_->ring(1).next_used(), 1);
}

TEST_F(FsDeviceTest, AnswersForAServerThatDied) {
  server_->TakeQueues();
  const FakeChain under_way = Ask(5);
  const FakeChain waiting = Ask(6);
  DescriptorChain taken = server_->Pop(1);
  ServerDies();
  EXPECT_THAT(queue(1).Used(), ElementsAre(UsedElement{.id = under_way.head, .length = 16},
                                           UsedElement{.id = waiting.head, .length = 16}));
  EXPECT_EQ(ReplyIn(under_way.buffers[1]).error, -ENOTCONN);
  EXPECT_EQ(ReplyIn(under_way.buffers[1]).unique, 5u);
  EXPECT_EQ(ReplyIn(waiting.buffers[1]).unique, 6u);
  EXPECT_GT(queue(1).interrupts(), 0);

  const FakeChain later = Ask(7);
  queue(0).AddReadable(RequestBytes(8, "forget"));
  Kick(0);
  Kick(1);
  Turn();
  EXPECT_EQ(ReplyIn(later.buffers[1]).error, -ENOTCONN);
  EXPECT_THAT(queue(1).Used(), SizeIs(1));
  EXPECT_THAT(queue(0).Used(), ElementsAre(UsedElement{.id = 0, .length = 0}));
  EXPECT_OK(violations_.last);
}

// Between any two steps of an answer: the driver hears of each request once.
TEST_F(FsDeviceTest, AnswersOnceWhateverStepTheServerDiedIn) {
  enum Step { kBegun, kPut, kAll };
  for (const Step step : {kBegun, kPut, kAll}) {
    End();
    Begin({8, 8});
    server_->TakeQueues();
    const FakeChain first = Ask(1);
    const FakeChain second = Ask(2);
    DescriptorChain one = server_->Pop(1);
    DescriptorChain other = server_->Pop(1);
    // Out of order: the ring's position says nothing of which one it was.
    server_->table().BeginAnswer(1, other.head(), server_->ring(1).next_used());
    if (step >= kPut) server_->PutReply(1, std::move(other), std::string(20, 'r'));
    if (step == kAll) server_->table().EndAnswer(1, second.head);
    ServerDies();

    const std::vector<UsedElement> used = queue(1).Used();
    ASSERT_THAT(used, SizeIs(2));
    const bool answered = step >= kPut;
    EXPECT_EQ(used[0].id, answered ? second.head : first.head);
    EXPECT_EQ(used[0].length, answered ? 20u : 16u);
    EXPECT_EQ(used[1].id, answered ? first.head : second.head);
    EXPECT_EQ(ReplyIn(first.buffers[1]).error, -ENOTCONN);
    // A server that died before it told the driver leaves that to us.
    EXPECT_GT(queue(1).interrupts(), 0);
    Ask(3);
    Kick(1);
    Turn();
    EXPECT_THAT(queue(1).Used(), SizeIs(1));
  }
}

TEST_F(FsDeviceTest, BelievesNothingOfATable) {
  server_->TakeQueues();
  Ask(1);
  DescriptorChain taken = server_->Pop(1);
  for (uint16_t head = 0; head < fs_handover::kMaxQueueSize; ++head) {
    server_->table().Add(0, head);  // what the guest never asked, and beyond the queue
    server_->table().Add(1, head);
  }
  server_->table().BeginAnswer(1, 0x7fff, 0xffff);
  ServerDies();
  EXPECT_LE(queue(0).used_index(), 8);
  EXPECT_LE(queue(1).used_index(), 8);
  device_->Reset();
}

TEST_F(FsDeviceTest, TakesARingThatItsGuestHasChangedUnderADyingServer) {
  server_->TakeQueues();
  const FakeChain chain = Ask(1);
  DescriptorChain taken = server_->Pop(1);
  queue(1).SetDescriptor(chain.head, {.address = 0, .length = 99, .flags = 0, .next = 0});
  ServerDies();
  EXPECT_THAT(violations_.last, HasReason(Reason::kGuestViolation));
}

TEST_F(FsDeviceTest, IsAtRestWhenItHasQuiesced) {
  server_->TakeQueues();
  Ask(5);
  server_->Complete(1, server_->Pop(1), std::string(16, 'r'));
  server_->SayStopped();
  device_->Quiesce();
  EXPECT_EQ(server_->TakeOrder().order.kind, OrderKind::kStop);
  EXPECT_EQ(queue(1).device().next_available(), 1);
  EXPECT_EQ(queue(1).device().next_used(), 1);

  // What comes meanwhile waits for the next start.
  Ask(6);
  Kick(1);
  Turn();
  EXPECT_THAT(queue(1).Used(), SizeIs(1));
  ASSERT_OK(device_->OnNotify(0));
  ASSERT_OK(device_->OnNotify(1));
  server_->TakeQueues();
  server_->Complete(1, server_->Pop(1), std::string(16, 'r'));
  EXPECT_THAT(queue(1).Used(), SizeIs(1));
}

TEST_F(FsDeviceTest, GivesUpAServerThatDoesNotAnswerWhenItMustRest) {
  server_->TakeQueues();
  const FakeChain chain = Ask(5);
  DescriptorChain taken = server_->Pop(1);
  device_->Quiesce();
  EXPECT_THAT(queue(1).Used(), SizeIs(1));
  EXPECT_EQ(ReplyIn(chain.buffers[1]).error, -ENOTCONN);
  // It hears that it was given up.
  EXPECT_EQ(server_->TakeOrder().order.kind, OrderKind::kStop);
  EXPECT_FALSE(fs_handover::ReceiveOrder(server_->socket()).value().has_value());
}

TEST_F(FsDeviceTest, LeavesMemoryAloneOnceReset) {
  server_->TakeQueues();
  const FakeChain chain = Ask(5);
  DescriptorChain taken = server_->Pop(1);
  device_->Reset();
  Turn();
  EXPECT_EQ(guest_->Read(chain.buffers[1]), std::string(64, '\0'));
  EXPECT_THAT(queue(1).Used(), IsEmpty());
  ASSERT_OK(device_->OnNotify(1));
}

TEST_F(FsDeviceTest, TellsTheTransportOfWhatTheGuestBroke) {
  server_->TakeQueues();
  Ask(5);
  DescriptorChain taken = server_->Pop(1);  // is what the server does not like
  server_->SayBroken();
  server_->SayStopped();
  Turn();
  EXPECT_THAT(violations_.last, HasReason(Reason::kGuestViolation));
  EXPECT_EQ(server_->TakeOrder().order.kind, OrderKind::kStop);

  device_->Reset();
  FakeGuest next({.queue_sizes = {8, 8}, .memory_kind = FakeGuest::MemoryKind::kMemfd});
  Connect(next);
  ASSERT_OK(device_->Activate(0, next.virtqueues()));
  EXPECT_EQ(server_->TakeOrder().order.kind, OrderKind::kServe);
  server_->SayStopped();
  device_->Reset();  // before its guest goes
}

TEST_F(FsDeviceTest, HearsOfWhatTheGuestBrokeWhileItStops) {
  server_->TakeQueues();
  server_->SayBroken();
  server_->SayStopped();
  device_->Quiesce();
  EXPECT_THAT(violations_.last, HasReason(Reason::kGuestViolation));
}

TEST_F(FsDeviceTest, AServerThatSaysWhatCannotBeIsGone) {
  fs_handover::Answer unknown = {};
  unknown.kind = fs_handover::AnswerKind{77};
  fs_handover::Answer uncalled = {};
  uncalled.kind = fs_handover::AnswerKind::kStopped;
  const std::string bytes[] = {AsText(unknown), AsText(uncalled), "cut"};
  for (const std::string& said : bytes) {
    End();
    Begin({8, 8});
    server_->TakeQueues();
    const FakeChain chain = Ask(5);
    server_->SayBytes(said);
    Turn();
    EXPECT_EQ(ReplyIn(chain.buffers[1]).error, -ENOTCONN);
  }
}

TEST_F(FsDeviceTest, AServerThatGivesBackWhatItHasNotDoneIsGone) {
  server_->TakeQueues();
  const FakeChain chain = Ask(5);
  DescriptorChain taken = server_->Pop(1);
  server_->SayStopped();
  device_->Quiesce();
  EXPECT_EQ(ReplyIn(chain.buffers[1]).error, -ENOTCONN);
}

TEST_F(FsDeviceTest, RefusesWhatIsNoRequestWhenTheServerIsGone) {
  ServerDies();
  const std::vector<std::vector<FakeBuffer>> chains = {
      {guest_->Readable("short"), guest_->Writable(64)},
      {guest_->Writable(64)},
      {guest_->Readable(RequestBytes(1)), guest_->Writable(15)},
  };
  for (const auto& chain : chains) {
    queue(1).AddChain(chain);
    EXPECT_THAT(device_->OnNotify(1), HasReason(Reason::kGuestViolation));
  }
}

TEST_F(FsDeviceTest, LeavesTheLoopToOthersWhenAGuestAsksWithoutEnd) {
  End();
  Begin({2, 1024});
  ServerDies();
  const FakeBuffer request = guest_->Readable(RequestBytes(1));
  for (int i = 0; i < FsDevice::kMaxRefusalsPerTurn + 1; ++i) queue(1).AddChain({request});

  ASSERT_OK(device_->OnNotify(1));

  EXPECT_THAT(queue(1).Used(), SizeIs(FsDevice::kMaxRefusalsPerTurn));
  Turn();
  EXPECT_THAT(queue(1).Used(), SizeIs(1));
}

TEST_F(FsDeviceTest, IsGoneWhereMemoryCannotBeHandedOver) {
  FakeGuest guest({.queue_sizes = {8, 8}});  // anonymous memory
  Connect(guest);
  server_->TakeQueues();
  server_->SayStopped();
  device_->Reset();
  guest.queue(1).AddReadable(RequestBytes(1));
  ASSERT_OK(device_->Activate(0, guest.virtqueues()));
  EXPECT_THAT(guest.queue(1).Used(), SizeIs(1));
  device_->Reset();  // before its guest goes
}

TEST_F(FsDeviceTest, RestoresOnlyItsOwnState) {
  EXPECT_OK(device_->Restore(device_->Save()));
  msb::vmm::v1::DeviceState other = device_->Save();
  other.mutable_fs()->set_tag("other");
  EXPECT_THAT(device_->Restore(other), HasReason(Reason::kStateInvalid));
  other.mutable_rng();
  EXPECT_THAT(device_->Restore(other), HasReason(Reason::kStateInvalid));
}

}  // namespace
}  // namespace msb
