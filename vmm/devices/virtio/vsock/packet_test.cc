// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/packet.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/devices/virtio/vsock/rx_batch.h"

namespace msb {
namespace {

using testing::ElementsAre;
using virtio::UsedElement;
using virtio::VsockHeader;

std::string HeaderBytes(uint32_t length) {
  const VsockHeader header{.src_cid = 3,
                           .dst_cid = 2,
                           .src_port = 10,
                           .dst_port = 20,
                           .length = length,
                           .type = virtio::VsockType::kStream,
                           .op = virtio::VsockOp::kReadWrite,
                           .flags = 0,
                           .buf_alloc = 30,
                           .fwd_cnt = 40};
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
}

DescriptorChain Pop(FakeGuest& guest) {
  Virtqueue& queue = guest.queue().device();
  MSB_CHECK(queue.HasNext().value());
  return queue.Pop().value();
}

std::string PayloadOf(const TxPacket& packet) {
  std::string all;
  for (const iovec& piece : packet.payload) {
    all.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return all;
}

TEST(PacketTest, HeaderAndPayloadInOneDescriptor) {
  FakeGuest guest;
  guest.queue().AddReadable(HeaderBytes(5) + "hello");
  const DescriptorChain chain = Pop(guest);

  ASSERT_OK_AND_ASSIGN(const TxPacket packet, ReadPacket(chain));

  EXPECT_EQ(PayloadOf(packet), "hello");
  EXPECT_EQ(packet.header.src_port, 10u);
  EXPECT_EQ(packet.header.fwd_cnt, 40u);
}

TEST(PacketTest, HeaderAndPayloadCutAnywhere) {
  FakeGuest guest;
  const std::string bytes = HeaderBytes(5) + "hello";
  guest.queue().AddIndirectChain({guest.Readable(bytes.substr(0, 10)),
                                  guest.Readable(bytes.substr(10, 36)),
                                  guest.Readable(bytes.substr(46))});
  const DescriptorChain chain = Pop(guest);

  ASSERT_OK_AND_ASSIGN(const TxPacket packet, ReadPacket(chain));

  EXPECT_EQ(PayloadOf(packet), "hello");
  EXPECT_EQ(packet.payload.size(), 2u);
}

TEST(PacketTest, BytesBehindThePayloadAreNotOfIt) {
  FakeGuest guest;
  guest.queue().AddReadable(HeaderBytes(2) + "hello");
  const DescriptorChain chain = Pop(guest);
  ASSERT_OK_AND_ASSIGN(const TxPacket packet, ReadPacket(chain));
  EXPECT_EQ(PayloadOf(packet), "he");
}

TEST(PacketTest, ALengthBeyondTheChainIsRefused) {
  for (const uint32_t length : {6u, 0xffff'ffffu}) {
    FakeGuest guest;
    guest.queue().AddReadable(HeaderBytes(length) + "hello");
    EXPECT_THAT(ReadPacket(Pop(guest)), HasReason(Reason::kGuestViolation));
  }
}

TEST(PacketTest, AChainShorterThanAHeaderIsRefused) {
  FakeGuest guest;
  guest.queue().AddReadable(HeaderBytes(0).substr(1));
  EXPECT_THAT(ReadPacket(Pop(guest)), HasReason(Reason::kGuestViolation));
}

TEST(PacketTest, AWritablePartIsRefused) {
  FakeGuest guest;
  guest.queue().AddChain({guest.Readable(HeaderBytes(0)), guest.Writable(4)});
  EXPECT_THAT(ReadPacket(Pop(guest)), HasReason(Reason::kGuestViolation));
}

class RxBatchTest : public testing::Test {
 protected:
  GuestRange AddBuffer(uint32_t size) { return guest_.queue().AddWritable(size); }
  void Fill(absl::Span<const iovec> room, const std::string& bytes) {
    size_t done = 0;
    for (const iovec& piece : room) {
      const size_t size = std::min(piece.iov_len, bytes.size() - done);
      std::memcpy(piece.iov_base, bytes.data() + done, size);
      done += size;
    }
    ASSERT_EQ(done, bytes.size());
  }
  std::string Content(GuestRange buffer) { return guest_.Read(buffer); }
  VsockHeader HeaderOf(GuestRange buffer) {
    VsockHeader header;
    std::memcpy(&header, guest_.Read(buffer).data(), sizeof(header));
    return header;
  }

  FakeGuest guest_{{.queue_sizes = {8}}};
  RxBatch batch_{guest_.queue().device()};
};

TEST_F(RxBatchTest, OneReadFillsSeveralBuffersAndTheUnusedOnesGoBack) {
  std::vector<GuestRange> buffers;
  for (int i = 0; i < 4; ++i) buffers.push_back(AddBuffer(44 + 10));
  ASSERT_TRUE(batch_.HasRoom().value());
  ASSERT_OK_AND_ASSIGN(const auto room, batch_.Reserve(40, 40));
  EXPECT_EQ(TotalBytes(room), 40u);
  Fill(room, "0123456789abc");

  ASSERT_OK_AND_ASSIGN(const size_t packets, batch_.Commit(VsockHeader{}, 13));

  EXPECT_EQ(packets, 2u);
  EXPECT_THAT(guest_.queue().Used(),
              ElementsAre(UsedElement{.id = 0, .length = 54}, UsedElement{.id = 1, .length = 47}));
  EXPECT_EQ(HeaderOf(buffers[0]).length, 10u);
  EXPECT_EQ(Content(buffers[0]).substr(44), "0123456789");
  EXPECT_EQ(HeaderOf(buffers[1]).length, 3u);
  EXPECT_EQ(Content(buffers[1]).substr(44, 3), "abc");
  // The third is the next to be used.
  ASSERT_TRUE(batch_.HasRoom().value());
  ASSERT_OK(batch_.WritePacket(VsockHeader{}));
  EXPECT_THAT(guest_.queue().Used(), ElementsAre(UsedElement{.id = 2, .length = 44}));
}

TEST_F(RxBatchTest, TheRoomIsThatOfWholeBuffersWithinTheLimit) {
  for (int i = 0; i < 3; ++i) AddBuffer(44 + 10);
  ASSERT_TRUE(batch_.HasRoom().value());
  ASSERT_OK_AND_ASSIGN(auto room, batch_.Reserve(13, 100));
  EXPECT_EQ(TotalBytes(room), 20u);
  ASSERT_OK(batch_.Commit(VsockHeader{}, 0));
  ASSERT_OK_AND_ASSIGN(room, batch_.Reserve(13, 15));
  EXPECT_EQ(TotalBytes(room), 15u);
}

TEST_F(RxBatchTest, TheRoomIsNotLargerThanTheBuffersThatAreThere) {
  AddBuffer(44 + 10);
  ASSERT_TRUE(batch_.HasRoom().value());
  ASSERT_OK_AND_ASSIGN(const auto room, batch_.Reserve(1000, 1000));
  EXPECT_EQ(TotalBytes(room), 10u);
}

TEST_F(RxBatchTest, NothingReadGivesEveryBufferBack) {
  AddBuffer(44 + 10);
  AddBuffer(44 + 10);
  ASSERT_TRUE(batch_.HasRoom().value());
  ASSERT_OK(batch_.Reserve(20, 20));
  ASSERT_OK_AND_ASSIGN(const size_t packets, batch_.Commit(VsockHeader{}, 0));
  EXPECT_EQ(packets, 0u);
  EXPECT_THAT(guest_.queue().Used(), ElementsAre());
  EXPECT_TRUE(batch_.HasRoom().value());
}

TEST_F(RxBatchTest, ABufferWithoutRoomForAByteIsRefused) {
  AddBuffer(44);
  ASSERT_TRUE(batch_.HasRoom().value());
  EXPECT_THAT(batch_.WritePacket(VsockHeader{}), HasReason(Reason::kGuestViolation));
}

TEST_F(RxBatchTest, AReadableBufferIsRefused) {
  guest_.queue().AddChain({guest_.Readable("x"), guest_.Writable(100)});
  ASSERT_TRUE(batch_.HasRoom().value());
  EXPECT_THAT(batch_.Reserve(1, 1), HasReason(Reason::kGuestViolation));
}

}  // namespace
}  // namespace msb
