// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/server.h"

#include <fcntl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/descriptors.h"
#include "file-server/hanging_file_system.h"
#include "file-server/server_fixture.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using fs_handover::AnswerKind;
using testing::IsEmpty;
using testing::SizeIs;
using virtio::UsedElement;

TEST_F(ServerTest, AnswersWithTheNumberOfTheRequest) {
  Send(GetAttributes(77));
  const fuse_out_header header = Receive();
  EXPECT_EQ(header.unique, 77u);
  EXPECT_EQ(header.error, 0);
  Send(Request(FUSE_IOCTL, FUSE_ROOT_ID, 78, ""));
  EXPECT_EQ(Receive().error, -ENOSYS);
  EXPECT_OK(End());
}

TEST_F(ServerTest, AnswersOnceAllThreadsHaveStarted) {
  Send(GetAttributes(1));
  Receive();
  EXPECT_EQ(started_, kThreads);
}

TEST_F(ServerTest, TakesARequestFromManyBuffersAndAnswersIntoMany) {
  const std::string request = GetAttributes(5);
  Send(std::vector<FakeBuffer>{guest_->Readable(request.substr(0, 13)),
                               guest_->Readable(request.substr(13)), guest_->Writable(7),
                               guest_->Writable(200)});
  const UsedElement used = TakeUsed();
  EXPECT_EQ(used.length, sizeof(fuse_out_header) + sizeof(fuse_attr_out));
}

TEST_F(ServerTest, AnswersNothingWhereThereIsNoRoom) {
  fuse_forget_in forget = {};
  Send(Request(FUSE_FORGET, 99, 0, Bytes(forget)), 0, 0);
  EXPECT_EQ(TakeUsed(0).length, 0u);
  Send(GetAttributes(0), 0);
  EXPECT_EQ(TakeUsed().length, 0u);
  // Room that is not asked for, or is too little.
  Send(Request(FUSE_FORGET, 99, 0, Bytes(forget)));
  EXPECT_EQ(TakeUsed().length, 0u);
  Send(GetAttributes(3), sizeof(fuse_out_header) + 1);
  EXPECT_EQ(Receive().error, -EIO);
}

TEST_F(ServerTest, ServesBothQueues) {
  Send(Request(FUSE_INTERRUPT, 0, 1, Bytes(fuse_interrupt_in{})), 0, 0);
  Send(GetAttributes(2));
  EXPECT_EQ(TakeUsed(0).length, 0u);
  EXPECT_EQ(Receive().unique, 2u);
}

TEST_F(ServerTest, ReadsAndWritesWhereTheGuestsDataIs) {
  const uint64_t node = Lookup(Lookup(FUSE_ROOT_ID, "0"), "file");
  const uint64_t file = OpenFile(node);
  std::string data;
  for (int i = 0; i < 200'000; ++i) data.push_back(static_cast<char>('a' + i % 23));
  fuse_write_in write = {};
  write.fh = file;
  write.offset = 7;
  write.size = static_cast<uint32_t>(data.size());
  // Cut in the middle of the arguments, and of the data.
  const std::string request = Request(FUSE_WRITE, node, 3, Bytes(write) + data);
  Send(std::vector<FakeBuffer>{guest_->Readable(request.substr(0, 60)),
                               guest_->Readable(request.substr(60, 1000)),
                               guest_->Readable(request.substr(1060)), guest_->Writable(64)});
  EXPECT_EQ(TakeUsed().length, sizeof(fuse_out_header) + sizeof(fuse_write_out));
  EXPECT_EQ(directory_.Read("file").substr(7, data.size()), data);
  EXPECT_EQ(directory_.Read("file").substr(7 + data.size(), 3), "fff");

  fuse_read_in read = {};
  read.fh = file;
  read.offset = 7;
  read.size = static_cast<uint32_t>(data.size());
  Send(std::vector<FakeBuffer>{guest_->Readable(Request(FUSE_READ, node, 4, Bytes(read))),
                               guest_->Writable(20), guest_->Writable(1000),
                               guest_->Writable(read.size)});
  std::string got;
  EXPECT_EQ(Receive(&got).error, 0);
  EXPECT_EQ(got, data);

  // At the end of the file, and with less room than is asked for.
  read.offset = (3 << 20) - 5;
  Send(Request(FUSE_READ, node, 5, Bytes(read)), sizeof(fuse_out_header) + read.size);
  EXPECT_EQ(Receive(&got).error, 0);
  EXPECT_EQ(got, "fffff");
  Send(Request(FUSE_READ, node, 6, Bytes(read)), sizeof(fuse_out_header) + 100);
  EXPECT_EQ(Receive().error, -EINVAL);
}

TEST_F(ServerTest, WritesNoMoreThanTheGuestSent) {
  const uint64_t node = Lookup(Lookup(FUSE_ROOT_ID, "0"), "file");
  fuse_write_in write = {};
  write.fh = OpenFile(node);
  write.size = 100;
  Send(Request(FUSE_WRITE, node, 3, Bytes(write) + std::string(99, 'w')));
  EXPECT_EQ(Receive().error, -EINVAL);
  EXPECT_EQ(directory_.Read("file"), std::string(3 << 20, 'f'));
}

TEST_F(ServerTest, GoesOnWhileSlowRequestsAreUnderWay) {
  const uint64_t node = Lookup(Lookup(FUSE_ROOT_ID, "0"), "file");
  const uint64_t file = OpenFile(node);
  // More slow ones than there are threads.
  constexpr int kSlow = 20;
  for (int i = 0; i < kSlow; ++i) {
    Send(Request(FUSE_FSYNC, node, 100 + i, Bytes(fuse_fsync_in{.fh = file})), 64);
  }
  std::string data(1 << 20, 'w');
  fuse_write_in write = {};
  write.fh = file;
  write.size = static_cast<uint32_t>(data.size());
  for (int i = 0; i < 3; ++i) Send(Request(FUSE_WRITE, node, 200 + i, Bytes(write) + data), 64);
  for (int i = 0; i < kSlow + 3; ++i) EXPECT_EQ(Receive().error, 0);
  EXPECT_EQ(directory_.Read("file").substr(0, data.size()), data);
}

TEST_F(ServerTest, GivesTheQueuesBackAndTakesThemAgain) {
  Send(GetAttributes(1));
  Receive();
  Send(Request(FUSE_FORGET, 99, 0, Bytes(fuse_forget_in{})), 0, 0);
  TakeUsed(0);
  const fs_handover::Answer first = Stop();
  EXPECT_EQ(first.positions[kRequests].next_available, 1);
  EXPECT_EQ(first.positions[0].next_used, 1);

  // Nobody serves what comes meanwhile, though the driver kicks.
  Send(GetAttributes(2));
  Kick(kRequests);
  EXPECT_THAT(queue(kRequests).Used(), IsEmpty());
  HandOver();
  EXPECT_EQ(Receive().unique, 2u);
}

TEST_F(ServerTest, ServesAnotherGuestWithoutEventIndexToo) {
  Stop();
  NewGuest({.queue_sizes = {8, 8}, .event_index = false, .memory_bytes = 1 << 20});
  for (uint64_t unique = 1; unique <= 20; ++unique) {
    Send(GetAttributes(unique));
    EXPECT_EQ(Receive().unique, unique);
  }
}

TEST_F(ServerTest, GoesRoundTheRingsMoreOftenThanTheirIndicesCan) {
  constexpr int kRounds = 70'000 / 8;
  const FakeBuffer request = guest_->Readable(Request(FUSE_FORGET, 99, 0, Bytes(fuse_forget_in{})));
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < 8; ++i) Send(std::vector<FakeBuffer>{request}, 0);
    for (int i = 0; i < 8; ++i) TakeUsed(0);
  }
  EXPECT_EQ(queue(0).used_index(), static_cast<uint16_t>(kRounds * 8));
  const fs_handover::Answer answer = Stop();
  EXPECT_EQ(answer.positions[0].next_available, static_cast<uint16_t>(kRounds * 8));
}

// A driver kicks only where it is asked to, and waits only where it has asked for an interrupt: if
// either is lost, the test hangs.
TEST_F(ServerTest, LosesNoKickAndNoInterrupt) {
  for (const bool event_index : {true, false}) {
    Stop();
    NewGuest({.queue_sizes = {8, 8}, .event_index = event_index, .memory_bytes = 1 << 20});
    const FakeBuffer request = guest_->Readable(GetAttributes(1));
    const FakeBuffer reply = guest_->Writable(256);
    for (int i = 0; i < 20'000; ++i) {
      Send(std::vector<FakeBuffer>{request, reply});
      if (i % 3 == 0) Send(std::vector<FakeBuffer>{request, reply});
      TakeUsed();
      if (i % 3 == 0) TakeUsed();
    }
  }
}

TEST_F(ServerTest, StandsStillOnceTheGuestHasBrokenTheRules) {
  std::string wrong_length = GetAttributes(1);
  wrong_length.push_back('!');
  fuse_in_header header = {};
  header.len = 12;
  const std::vector<std::pair<std::string, uint32_t>> requests = {
      {wrong_length, 64}, {"short", 64}, {Bytes(header), 64}, {GetAttributes(1), 15}};
  for (const auto& [request, room] : requests) {
    Send(request, room);
    EXPECT_EQ(TakeAnswer().kind, AnswerKind::kBroken);
    Send(GetAttributes(2));
    Kick(kRequests);
    AskToStop();
    EXPECT_EQ(TakeAnswer().kind, AnswerKind::kStopped);
    EXPECT_THAT(queue(kRequests).Used(), IsEmpty());
    NewGuest({.queue_sizes = {8, 8}});
  }
  Send(GetAttributes(3));
  EXPECT_EQ(Receive().unique, 3u);
}

TEST_F(ServerTest, TakesNoRequestThatIsLongerThanAny) {
  // Of the same page over and over: a guest needs no memory for it.
  const FakeBuffer large = guest_->Readable(std::string(64 * 1024, 'x'));
  fuse_in_header header = {};
  header.len = sizeof(header) + 17 * 64 * 1024;
  std::vector<FakeBuffer> buffers = {guest_->Readable(Bytes(header))};
  buffers.insert(buffers.end(), 17, large);
  Send(buffers);
  EXPECT_EQ(TakeAnswer().kind, AnswerKind::kBroken);
}

TEST_F(ServerTest, TakesNoRingsThatAreNone) {
  // Loops, heads beyond the table, buffers outside of memory, indices that jump.
  const auto loop = [](FakeQueue& ring) {
    ring.SetDescriptor(0, {.address = ToUint64(FakeGuest::kMemoryStart),
                           .length = 1,
                           .flags = virtio::kDescriptorNext,
                           .next = 0});
    ring.MakeAvailable(0);
  };
  const auto outside = [](FakeQueue& ring) {
    ring.SetDescriptor(0, {.address = 1, .length = 100, .flags = 0, .next = 0});
    ring.MakeAvailable(0);
  };
  const std::vector<std::function<void(FakeQueue&)>> lies = {
      loop, outside, [](FakeQueue& ring) { ring.MakeAvailable(8); },
      [](FakeQueue& ring) { ring.SetAvailableIndex(9); }};
  for (const auto& lie : lies) {
    Stop();
    NewGuest({.queue_sizes = {8, 8}});
    lie(queue(kRequests));
    Kick(kRequests);
    EXPECT_EQ(TakeAnswer().kind, AnswerKind::kBroken);
  }
}

TEST_F(ServerTest, EndsAtWhatIsNoOrder) {
  fs_handover::Order order = {};
  order.kind = fs_handover::OrderKind{9};
  ASSERT_OK(
      SendWithDescriptors(vmm_.get(), {reinterpret_cast<const char*>(&order), sizeof(order)}, {}));
  thread_.join();
  EXPECT_THAT(result_, HasReason(Reason::kFrameMalformed));
}

TEST_F(ServerTest, EndsAtAnOrderThatCannotBeFollowed) {
  HandOver();  // of what it has already
  thread_.join();
  EXPECT_THAT(result_, HasReason(Reason::kFrameMalformed));
}

TEST_F(ServerTest, EndsAtACutOrder) {
  ASSERT_OK(SendWithDescriptors(vmm_.get(), "cut", {}));
  EXPECT_THAT(End(), HasReason(Reason::kFrameTruncated));
}

// With a file system whose server does not answer, until it is let.
class SlowServerTest : public ServerTest {
 protected:
  void SetUp() override {
    hanging_ = HangingFileSystem::Mount(directory_.path(), place_.path());
    if (hanging_ == nullptr) GTEST_SKIP() << "no right to mount";
    ASSERT_OK(End());
    std::vector<Export> exports = Exports();
    exports.push_back(
        {UniqueFd(::open((place_.path() + "/0").c_str(), O_PATH | O_CLOEXEC)), Access::kReadWrite});
    Begin(std::move(exports));
    local_ = Lookup(FUSE_ROOT_ID, "0");
    remote_ = Lookup(FUSE_ROOT_ID, "1");
  }
  void TearDown() override {
    vmm_.Reset();
    hanging_.reset();
  }
  FakeChain AskWhatHangs() {
    return Send(Request(FUSE_LOOKUP, remote_, 100, std::string("hangs", 6)));
  }
  // The request that hangs is with the server once it has answered another behind it.
  void AwaitThatItHangs() {
    Send(GetAttributes(101, local_));
    EXPECT_EQ(Receive().unique, 101u);
  }

  TempDir place_;
  std::unique_ptr<HangingFileSystem> hanging_;
  uint64_t local_ = 0;
  uint64_t remote_ = 0;
};

TEST_F(SlowServerTest, StopsNobodyElse) {
  AskWhatHangs();
  Send(GetAttributes(101, local_));
  Send(GetAttributes(102, remote_));
  EXPECT_EQ(Receive().unique, 101u);
  EXPECT_EQ(Receive().unique, 102u);
  hanging_->Let();
  const fuse_out_header last = Receive();
  EXPECT_EQ(last.unique, 100u);
  EXPECT_EQ(last.error, -ENOENT);
}

TEST_F(SlowServerTest, IsWaitedForBeforeTheQueuesGoBack) {
  AskWhatHangs();
  AwaitThatItHangs();
  AskToStop();
  EXPECT_FALSE(WaitFor(vmm_.get(), POLLIN, absl::Now() + absl::Milliseconds(20)).ok());
  hanging_->Let();
  const fs_handover::Answer answer = TakeAnswer();
  EXPECT_EQ(answer.kind, AnswerKind::kStopped);
  EXPECT_EQ(answer.positions[kRequests].next_available, answer.positions[kRequests].next_used);
  EXPECT_EQ(Receive().unique, 100u);
}

TEST_F(SlowServerTest, StandsInTheTableWhileItIsUnderWay) {
  const FakeChain slow = AskWhatHangs();
  AwaitThatItHangs();
  EXPECT_THAT(table_->Unanswered(kRequests, 64, queue(kRequests).used_index()),
              testing::ElementsAre(slow.head));
  hanging_->Let();
  Receive();
  AwaitThatItHangs();
  EXPECT_THAT(table_->Unanswered(kRequests, 64, queue(kRequests).used_index()), IsEmpty());
}

TEST_F(SlowServerTest, TouchesNoMemoryOnceTheVmmHasGivenItUp) {
  const FakeChain slow = AskWhatHangs();
  AwaitThatItHangs();
  const uint16_t used = queue(kRequests).used_index();
  vmm_.Reset();
  hanging_->Let();
  thread_.join();
  EXPECT_OK(result_);
  EXPECT_EQ(queue(kRequests).used_index(), used);
  EXPECT_EQ(guest_->Read(slow.buffers[1]), std::string(4096, '\0'));
}

}  // namespace
}  // namespace msb
