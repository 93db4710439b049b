// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A connection, a guest that is played by hand and a host in memory, for tests.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_CONNECTION_FIXTURE_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_CONNECTION_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tests/support/matchers.h"
#include "vmm/devices/virtio/vsock/connection.h"
#include "vmm/devices/virtio/vsock/fake_stream.h"

namespace msb {

// A connection between a test that plays the guest and a FakeHost.
class ConnectionFixture : public testing::Test {
 protected:
  using State = Connection::State;
  using Wait = Connection::Wait;
  using VsockHeader = virtio::VsockHeader;
  using VsockOp = virtio::VsockOp;
  static constexpr uint32_t kWindow = 1000;
  static constexpr ConnectionKey kKey{.host_port = 1025, .guest_port = 77};
  static constexpr uint32_t kReceive = virtio::kVsockShutdownReceive;
  static constexpr uint32_t kSend = virtio::kVsockShutdownSend;
  static constexpr uint32_t kBoth = virtio::kVsockShutdownBoth;

  Connection::Endpoints endpoints() const {
    return {.key = kKey, .guest_cid = 3, .window_bytes = kWindow};
  }
  void ConnectFromHost() {
    connection_ = std::make_unique<Connection>(endpoints(), std::make_unique<FakeStream>(host_));
  }
  void ConnectFromGuest() {
    connection_ = std::make_unique<Connection>(endpoints(), std::make_unique<FakeStream>(host_),
                                               GuestHeader(VsockOp::kRequest));
  }
  // Connected by the host, "OK" read.
  void Open() {
    ConnectFromHost();
    ASSERT_EQ(TakeOp(), VsockOp::kRequest);
    Guest(VsockOp::kResponse);
    ASSERT_EQ(connection_->state(), State::kOpen);
    host_.written.clear();
  }

  VsockHeader GuestHeader(VsockOp op) const {
    return {.src_cid = 3,
            .dst_cid = virtio::kVsockHostCid,
            .src_port = kKey.guest_port,
            .dst_port = kKey.host_port,
            .length = 0,
            .type = virtio::VsockType::kStream,
            .op = op,
            .flags = 0,
            .buf_alloc = guest_buf_alloc_,
            .fwd_cnt = guest_fwd_cnt_};
  }
  void Guest(VsockOp op, uint32_t flags = 0) {
    TxPacket packet{.header = GuestHeader(op), .payload = {}};
    packet.header.flags = flags;
    connection_->OnPacket(packet);
  }
  void GuestSends(std::string bytes) {
    TxPacket packet{.header = GuestHeader(VsockOp::kReadWrite), .payload = {}};
    packet.header.length = static_cast<uint32_t>(bytes.size());
    packet.payload.push_back({.iov_base = bytes.data(), .iov_len = bytes.size()});
    connection_->OnPacket(packet);
  }
  void HostSends(const std::string& bytes) {
    host_.to_read += bytes;
    connection_->OnStreamReady(HostStream::kReadable);
  }
  std::optional<VsockOp> TakeOp() {
    const std::optional<VsockHeader> header = connection_->TakeControl();
    if (!header.has_value()) return std::nullopt;
    return header->op;
  }
  // What the guest gets as data, with buffers of any size.
  std::string TakeData() {
    std::string all;
    while (const size_t goal = connection_->ReadGoal()) {
      std::string room(goal, '\0');
      const iovec piece{.iov_base = room.data(), .iov_len = room.size()};
      room.resize(connection_->ReadInto({&piece, 1}));
      all += room;
    }
    return all;
  }

  FakeHost host_;
  std::unique_ptr<Connection> connection_;
  uint32_t guest_buf_alloc_ = 100'000;
  uint32_t guest_fwd_cnt_ = 0;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_CONNECTION_FIXTURE_H_
