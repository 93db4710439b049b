// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A vsock device between clients on the host and a driver in the guest, for its tests.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_VSOCK_FIXTURE_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_VSOCK_FIXTURE_H_

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/unix_socket.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"
#include "vmm/devices/virtio/vsock/fake_vsock_driver.h"
#include "vmm/devices/virtio/vsock/vsock_device.h"

namespace msb {

// The host's end: a client of the listening socket.
class FakeClient {
 public:
  explicit FakeClient(UniqueFd fd) : fd_(std::move(fd)) {}

  // As much as the socket takes; returns how much that was.
  size_t Send(absl::string_view bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t now =
          ::send(fd_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (now <= 0) break;
      sent += static_cast<size_t>(now);
    }
    return sent;
  }
  // Up to `most` of the bytes that are there.
  std::string Receive(size_t most = SIZE_MAX) {
    std::string all;
    char buffer[65536];
    while (all.size() < most) {
      const ssize_t got =
          ::recv(fd_.get(), buffer, std::min(most - all.size(), sizeof(buffer)), MSG_DONTWAIT);
      if (got > 0) {
        all.append(buffer, static_cast<size_t>(got));
        continue;
      }
      ended_ = got == 0 || errno == ECONNRESET;
      break;
    }
    return all;
  }
  // Whether the last Receive has seen the end.
  bool ended() const { return ended_; }
  void EndOutput() { ::shutdown(fd_.get(), SHUT_WR); }
  void EndInput() { ::shutdown(fd_.get(), SHUT_RD); }
  void Close() { fd_.Reset(); }

 private:
  UniqueFd fd_;
  bool ended_ = false;
};

class VsockFixture : public testing::Test {
 protected:
  using Op = virtio::VsockOp;
  static constexpr uint32_t kGuestCid = 3;
  static constexpr uint32_t kGuestPort = 1024;

  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(loop_, EventLoop::Create());
    Make({});
  }
  // Another device and driver, not attached to each other.
  void Make(const VsockLimits& limits, const FakeVsockDriver::Options& options = {}) {
    device_ = std::make_unique<VsockDevice>(*loop_, kGuestCid, limits);
    driver_ = std::make_unique<FakeVsockDriver>(options);
    ASSERT_OK_AND_ASSIGN(UniqueFd listener, ListenUnix(path_, 2000));
    ASSERT_OK(device_->Listen(std::move(listener)));
  }
  void Attach() {
    ASSERT_OK(driver_->Attach(*device_));
    Turn();
  }
  void MakeAttached(const VsockLimits& limits, const FakeVsockDriver::Options& options = {}) {
    Make(limits, options);
    Attach();
  }

  // One turn of the loop: everything that is ready now.
  void Turn() {
    loop_->Post([this] { loop_->Stop(); });
    ASSERT_OK(loop_->Run());
  }
  // Turns until `condition` holds. What it waits for must come by itself.
  template <typename Condition>
  void TurnUntil(Condition condition) {
    while (!condition()) Turn();
  }

  FakeClient Connect(uint32_t port = kGuestPort) {
    auto fd = ConnectUnix(path_, Blocking::kNo);
    MSB_CHECK(fd.ok());
    FakeClient client(*std::move(fd));
    client.Send(absl::StrCat("CONNECT ", port, "\n"));
    Turn();
    return client;
  }

  // A connection as the guest knows it.
  struct GuestSocket {
    uint32_t guest_port;
    uint32_t host_port;
    uint32_t forwarded = 0;  // what the guest says it has read
  };
  virtio::VsockHeader Header(const GuestSocket& socket, Op op, uint32_t flags = 0) {
    virtio::VsockHeader header = driver_->Header(op, socket.guest_port, socket.host_port);
    header.fwd_cnt = socket.forwarded;
    header.flags = flags;
    return header;
  }
  // Sends a packet and lets the loop do what follows.
  void GuestSends(const GuestSocket& socket, Op op, uint32_t flags = 0) {
    ASSERT_OK(driver_->Send(Header(socket, op, flags)));
    Turn();
  }
  void GuestWrites(const GuestSocket& socket, absl::string_view bytes) {
    ASSERT_OK(driver_->Send(Header(socket, Op::kReadWrite), bytes));
    Turn();
  }
  // The REQUEST that waits, answered.
  GuestSocket GuestAccepts() {
    const std::vector<FakePacket> packets = driver_->Receive();
    MSB_CHECK(packets.size() == 1 && packets[0].header.op == Op::kRequest);
    const GuestSocket socket{packets[0].header.dst_port, packets[0].header.src_port};
    GuestSends(socket, Op::kResponse);
    return socket;
  }
  struct Pair {
    FakeClient client;
    GuestSocket guest;
  };
  // A client and the guest, connected.
  Pair Open(uint32_t port = kGuestPort) {
    FakeClient client = Connect(port);
    const GuestSocket guest = GuestAccepts();
    MSB_CHECK(client.Receive() == absl::StrCat("OK ", guest.host_port, "\n"));
    return {std::move(client), guest};
  }
  // The operations of all packets that have come.
  std::vector<Op> ReceivedOps() {
    std::vector<Op> ops;
    for (const FakePacket& packet : driver_->Receive()) ops.push_back(packet.header.op);
    return ops;
  }
  // All data that has come, by host port. Fails for any other packet.
  std::map<uint32_t, std::string> ReceivedData() {
    std::map<uint32_t, std::string> data;
    for (const FakePacket& packet : driver_->Receive()) {
      EXPECT_EQ(packet.header.op, Op::kReadWrite);
      data[packet.header.src_port] += packet.payload;
    }
    return data;
  }
  msb::vmm::v1::Stats Stats() {
    msb::vmm::v1::Stats stats;
    device_->FillStats(stats);
    return stats;
  }

  TempDir directory_;
  const std::string path_ = directory_.path() + "/v.sock";
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<FakeVsockDriver> driver_;  // outlives the device, whose queues it owns
  std::unique_ptr<VsockDevice> device_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_VSOCK_FIXTURE_H_
