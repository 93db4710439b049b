// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/net/tx_frame.h"

#include <string>

#include "base/check.h"
#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/backends/net/frame_link.h"
#include "vmm/devices/virtio/net/checksum.h"
#include "vmm/devices/virtio/spec/net.h"

namespace msb {
namespace {

using virtio::NetHeader;

std::string Bytes(const NetHeader& header) {
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
}

class TxFrameTest : public testing::Test {
 protected:
  absl::StatusOr<TxFrame> Read(const std::vector<std::string>& parts) {
    std::vector<FakeBuffer> buffers;
    for (const std::string& part : parts) buffers.push_back(guest_.Readable(part));
    guest_.queue().AddChain(buffers);
    MSB_CHECK(*guest_.queue().device().HasNext());
    return TxFrame::Read(*guest_.queue().device().Pop());
  }
  static std::string Wire(const TxFrame& frame, size_t offset = 0) {
    std::vector<iovec> parts;
    frame.AppendTo(offset, parts);
    std::string all;
    for (const iovec& part : parts) {
      all.append(static_cast<const char*>(part.iov_base), part.iov_len);
    }
    return all;
  }

  FakeGuest guest_;
};

TEST_F(TxFrameTest, PutsTheLengthBeforeTheFrameWhereverItIsCut) {
  const std::string frame(300, 'f');
  ASSERT_OK_AND_ASSIGN(const TxFrame read,
                       Read({Bytes({}), frame.substr(0, 100), frame.substr(100)}));
  EXPECT_EQ(Wire(read), std::string("\0\0\1\x2c", 4) + frame);
  EXPECT_EQ(Wire(read, 250), frame.substr(246));
  EXPECT_EQ(read.wire_bytes(), 304u);
}

TEST_F(TxFrameTest, CompletesAChecksumOverOddParts) {
  std::string frame(14, '\0');
  frame += std::string("\x12\x34\0\0", 4) + std::string(301, 'x');
  const NetHeader header{
      .flags = virtio::kNetHeaderNeedsChecksum, .checksum_start = 14, .checksum_offset = 2};
  ASSERT_OK_AND_ASSIGN(const TxFrame read, Read({Bytes(header) + frame.substr(0, 33),
                                                 frame.substr(33, 200), frame.substr(233)}));
  const std::string sent = Wire(read).substr(FrameLink::kLengthBytes);
  ASSERT_EQ(sent.size(), frame.size());
  // A receiver sums everything, the field included, to zero.
  uint32_t sum = 0;
  for (size_t i = 14; i < sent.size(); i += 2) {
    sum += static_cast<uint8_t>(sent[i]) << 8;
    if (i + 1 < sent.size()) sum += static_cast<uint8_t>(sent[i + 1]);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  EXPECT_EQ(sum, 0xffffu);
}

TEST_F(TxFrameTest, CompletesAChecksumFarBehindTheUsualHeaders) {
  const NetHeader header{
      .flags = virtio::kNetHeaderNeedsChecksum, .checksum_start = 400, .checksum_offset = 16};
  ASSERT_OK_AND_ASSIGN(const TxFrame read, Read({Bytes(header), std::string(600, '\1')}));
  EXPECT_NE(Wire(read).substr(4 + 416, 2), "\1\1");
}

TEST_F(TxFrameTest, RefusesWhatTheSpecForbids) {
  EXPECT_THAT(Read({Bytes({}).substr(0, 11)}), HasReason(Reason::kGuestViolation));
  EXPECT_THAT(Read({Bytes({}), std::string(13, 'x')}), HasReason(Reason::kGuestViolation));
  EXPECT_THAT(Read({Bytes({.gso_type = 1}), std::string(60, 'x')}),
              HasReason(Reason::kGuestViolation));
  EXPECT_THAT(
      Read({Bytes({.flags = 1, .checksum_start = 50, .checksum_offset = 9}), std::string(60, 'x')}),
      HasReason(Reason::kGuestViolation));
}

TEST_F(TxFrameTest, RefusesWritableBuffersAndFramesThatAreTooLong) {
  guest_.queue().AddChain({guest_.Readable(Bytes({}) + std::string(60, 'x')), guest_.Writable(1)});
  MSB_CHECK(*guest_.queue().device().HasNext());
  EXPECT_THAT(TxFrame::Read(*guest_.queue().device().Pop()), HasReason(Reason::kGuestViolation));
  EXPECT_THAT(Read({Bytes({}), std::string(FrameLink::kMaxFrameBytes + 1, 'x')}),
              HasReason(Reason::kGuestViolation));
}

}  // namespace
}  // namespace msb
