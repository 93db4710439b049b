// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/fs/fs_device.h"

#include <sys/socket.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using virtio::UsedElement;

template <typename T>
std::string AsText(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::string RequestBytes(uint64_t unique, const std::string& body) {
  FuseRequestHeader header = {};
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
  FsDeviceTest() : guest_({.queue_sizes = {8, 8}}) {
    auto loop = EventLoop::Create();
    MSB_CHECK(loop.ok());
    loop_ = *std::move(loop);
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    server_ = UniqueFd(ends[1]);
    auto device = FsDevice::Create(*loop_, UniqueFd(ends[0]),
                                   {.tag = "work", .patience = absl::Milliseconds(1)});
    MSB_CHECK(device.ok());
    device_ = *std::move(device);
    device_->set_notifier(&violations_);
    MSB_CHECK(device_->Activate(0, guest_.virtqueues()).ok());
  }

  FuseRequestHeader ReadRequest(std::string* body = nullptr) {
    FuseRequestHeader header;
    MSB_CHECK(::recv(server_.get(), &header, sizeof(header), MSG_WAITALL) == sizeof(header));
    std::string rest(header.length - sizeof(header), '\0');
    if (!rest.empty()) {
      MSB_CHECK(::recv(server_.get(), rest.data(), rest.size(), MSG_WAITALL) ==
                static_cast<ssize_t>(rest.size()));
    }
    if (body != nullptr) *body = rest;
    return header;
  }
  void Answer(uint64_t unique, const std::string& payload) {
    const FuseReplyHeader header{
        .length = static_cast<uint32_t>(sizeof(FuseReplyHeader) + payload.size()),
        .error = 0,
        .unique = unique};
    const std::string bytes = AsText(header) + payload;
    MSB_CHECK(::send(server_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(bytes.size()));
  }
  // One turn of the loop.
  void Turn() {
    loop_->Post([this] { loop_->Post([this] { loop_->Stop(); }); });
    ASSERT_OK(loop_->Run());
  }
  FuseReplyHeader ReplyIn(GuestRange range) {
    FuseReplyHeader header;
    std::memcpy(&header, guest_.Read(range).data(), sizeof(header));
    return header;
  }

  FakeGuest guest_;
  Violations violations_;
  std::unique_ptr<EventLoop> loop_;
  UniqueFd server_;
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
  const std::string longest(virtio::kFsTagBytes, 't');
  EXPECT_OK(FsDevice::Create(*loop_, UniqueFd(::dup(server_.get())), {.tag = longest}).status());
  EXPECT_THAT(FsDevice::Create(*loop_, UniqueFd(::dup(server_.get())), {.tag = longest + "t"}),
              HasReason(Reason::kVmSpecInvalid));
  EXPECT_THAT(FsDevice::Create(*loop_, UniqueFd(::dup(server_.get())), {.tag = ""}),
              HasReason(Reason::kVmSpecInvalid));
}

TEST_F(FsDeviceTest, BringsARequestToTheServerAndItsReplyBack) {
  const std::string request = RequestBytes(42, "name");
  const FakeChain chain = guest_.queue(1).AddChain({guest_.Readable(request.substr(0, 7)),
                                                    guest_.Readable(request.substr(7)),
                                                    guest_.Writable(16), guest_.Writable(32)});
  ASSERT_OK(device_->OnNotify(1));
  std::string body;
  const FuseRequestHeader seen = ReadRequest(&body);
  EXPECT_EQ(body, "name");
  Answer(seen.unique, "attributes");
  Turn();

  EXPECT_THAT(guest_.queue(1).Used(), ElementsAre(UsedElement{.id = chain.head, .length = 26}));
  EXPECT_EQ(ReplyIn(chain.buffers[2]).unique, 42u);
  EXPECT_EQ(guest_.Read(chain.buffers[3]).substr(0, 10), "attributes");
  EXPECT_EQ(guest_.queue(1).interrupts(), 1);
}

TEST_F(FsDeviceTest, CompletesWhatTheServerDoesNotAnswerWhenItIsSent) {
  guest_.queue(0).AddReadable(RequestBytes(1, "forget"));
  ASSERT_OK(device_->OnNotify(0));
  EXPECT_THAT(guest_.queue(0).Used(), ElementsAre(UsedElement{.id = 0, .length = 0}));
}

TEST_F(FsDeviceTest, RefusesWhatIsNoRequest) {
  std::string wrong_length = RequestBytes(1, "body");
  wrong_length.push_back('!');
  const std::vector<std::vector<FakeBuffer>> chains = {
      {guest_.Readable("short"), guest_.Writable(64)},
      {guest_.Readable(wrong_length), guest_.Writable(64)},
      {guest_.Writable(64)},
      {guest_.Readable(RequestBytes(1, "")), guest_.Writable(15)},
  };
  for (const auto& chain : chains) {
    guest_.queue(1).AddChain(chain);
    EXPECT_THAT(device_->OnNotify(1), HasReason(Reason::kGuestViolation));
  }
}

TEST_F(FsDeviceTest, AnswersForAServerThatDied) {
  const FakeChain under_way =
      guest_.queue(1).AddChain({guest_.Readable(RequestBytes(5, "")), guest_.Writable(64)});
  ASSERT_OK(device_->OnNotify(1));
  server_.Reset();
  Turn();
  EXPECT_THAT(guest_.queue(1).Used(), ElementsAre(UsedElement{.id = 0, .length = 16}));
  EXPECT_EQ(ReplyIn(under_way.buffers[1]).error, -ENOTCONN);
  EXPECT_EQ(ReplyIn(under_way.buffers[1]).unique, 5u);

  const FakeChain later =
      guest_.queue(1).AddChain({guest_.Readable(RequestBytes(6, "")), guest_.Writable(64)});
  guest_.queue(0).AddReadable(RequestBytes(7, "forget"));
  ASSERT_OK(device_->OnNotify(1));
  ASSERT_OK(device_->OnNotify(0));
  EXPECT_EQ(ReplyIn(later.buffers[1]).error, -ENOTCONN);
  EXPECT_THAT(guest_.queue(1).Used(), SizeIs(1));
  EXPECT_THAT(guest_.queue(0).Used(), SizeIs(1));
  EXPECT_OK(violations_.last);
}

TEST_F(FsDeviceTest, LeavesMemoryAloneOnceReset) {
  const FakeChain chain =
      guest_.queue(1).AddChain({guest_.Readable(RequestBytes(5, "")), guest_.Writable(64)});
  ASSERT_OK(device_->OnNotify(1));
  const FuseRequestHeader seen = ReadRequest();

  device_->Reset();
  Answer(seen.unique, "late");
  Turn();

  EXPECT_EQ(guest_.Read(chain.buffers[1]), std::string(64, '\0'));
  EXPECT_THAT(guest_.queue(1).Used(), IsEmpty());
  ASSERT_OK(device_->OnNotify(1));
}

TEST_F(FsDeviceTest, IsAtRestWhenItHasQuiesced) {
  guest_.queue(1).AddChain({guest_.Readable(RequestBytes(5, "")), guest_.Writable(64)});
  ASSERT_OK(device_->OnNotify(1));
  Answer(ReadRequest().unique, "");
  device_->Quiesce();
  EXPECT_THAT(guest_.queue(1).Used(), SizeIs(1));
}

TEST_F(FsDeviceTest, GivesUpAServerThatDoesNotAnswerWhenItMustRest) {
  const FakeChain chain =
      guest_.queue(1).AddChain({guest_.Readable(RequestBytes(5, "")), guest_.Writable(64)});
  ASSERT_OK(device_->OnNotify(1));
  device_->Quiesce();
  EXPECT_THAT(guest_.queue(1).Used(), SizeIs(1));
  EXPECT_EQ(ReplyIn(chain.buffers[1]).error, -ENOTCONN);
}

TEST_F(FsDeviceTest, WaitsWithMoreThanItHasSlotsFor) {
  // As many chains abandoned as there are slots, so that the next finds none.
  uint64_t unanswered = 0;
  for (uint32_t round = 0; round < FuseChannel::kSlots; ++round) {
    FakeGuest guest({.queue_sizes = {2, 2}, .memory_bytes = 64 << 10});
    ASSERT_OK(device_->Activate(0, guest.virtqueues()));
    guest.queue(1).AddChain({guest.Readable(RequestBytes(round, "")), guest.Writable(64)});
    ASSERT_OK(device_->OnNotify(1));
    unanswered = ReadRequest().unique;
    device_->Reset();
  }
  ASSERT_OK(device_->Activate(0, guest_.virtqueues()));
  guest_.queue(1).AddChain({guest_.Readable(RequestBytes(1, "")), guest_.Writable(64)});
  ASSERT_OK(device_->OnNotify(1));

  // One of the old ones is answered: now there is room, and the queue is looked at again.
  Answer(unanswered, "");
  Turn();
  Answer(ReadRequest().unique, "");
  Turn();

  EXPECT_THAT(guest_.queue(1).Used(), SizeIs(1));
}

TEST_F(FsDeviceTest, LeavesTheLoopToOthersWhenAGuestAsksWithoutEnd) {
  server_.Reset();
  Turn();
  FakeGuest guest({.queue_sizes = {2, 1024}, .memory_bytes = 1 << 20});
  ASSERT_OK(device_->Activate(0, guest.virtqueues()));
  const FakeBuffer request = guest.Readable(RequestBytes(1, ""));
  for (int i = 0; i < FsDevice::kMaxRequestsPerTurn + 1; ++i) guest.queue(1).AddChain({request});

  ASSERT_OK(device_->OnNotify(1));

  EXPECT_THAT(guest.queue(1).Used(), SizeIs(FsDevice::kMaxRequestsPerTurn));
  Turn();
  EXPECT_THAT(guest.queue(1).Used(), SizeIs(1));
  device_->Reset();  // before its guest goes
}

TEST_F(FsDeviceTest, TakesNoRequestThatIsLongerThanAny) {
  FakeGuest guest({.queue_sizes = {2, 64}, .memory_bytes = 1 << 20});
  ASSERT_OK(device_->Activate(0, guest.virtqueues()));
  // Of the same page over and over: a guest needs no memory for it.
  const std::string page(4096, 'x');
  const size_t pages = FsDevice::kMaxRequestBytes / page.size();
  FuseRequestHeader header = {};
  header.length = static_cast<uint32_t>(sizeof(header) + pages * page.size());
  const std::string text = AsText(header);
  const FakeBuffer large = guest.Readable(std::string(16 * page.size(), 'x'));
  std::vector<FakeBuffer> chain = {guest.Readable(text)};
  chain.insert(chain.end(), pages / 16, large);
  chain.push_back(guest.Readable(page));
  chain.push_back(guest.Writable(64));
  guest.queue(1).AddChain(chain);
  EXPECT_THAT(device_->OnNotify(1), HasReason(Reason::kGuestViolation));
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
