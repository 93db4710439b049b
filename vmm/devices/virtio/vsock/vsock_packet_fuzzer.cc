// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Any bytes as packets of the guest, cut into descriptors anywhere: the device answers or breaks,
// and what it answers is well-formed.

#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "tests/support/fuzz_input.h"
#include "vmm/devices/virtio/vsock/fake_vsock_driver.h"
#include "vmm/devices/virtio/vsock/mark_service.h"
#include "vmm/devices/virtio/vsock/vsock_device.h"

namespace msb {
namespace {

using virtio::VsockHeader;

constexpr int kMaxPackets = 100;

class Observer final : public BootMarkObserver {
  void OnBootMark(const agent::v1::BootMark& mark) override {
    MSB_CHECK(agent::v1::BootMark::Stage_IsValid(mark.stage()));
  }
};

EventLoop& Loop() {
  static EventLoop* const loop = EventLoop::Create()->release();
  return *loop;
}

// Input of a packet: how many pieces, the length of each, their bytes.
void QueuePacket(FuzzInput& input, FakeVsockDriver& driver) {
  std::vector<FakeBuffer> buffers;
  const int pieces = 1 + input.Take<uint8_t>() % 4;
  for (int i = 0; i < pieces; ++i) {
    const size_t length = input.Take<uint8_t>();
    const absl::Span<const uint8_t> bytes = input.TakeBytes(length);
    buffers.push_back(driver.guest().Readable(
        absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
  }
  driver.guest().queue(virtio::kVsockTxQueue).AddChain(buffers);
}

void CheckAnswers(FakeVsockDriver& driver) {
  for (const FakePacket& packet : driver.Receive()) {
    const VsockHeader& header = packet.header;
    MSB_CHECK(header.dst_cid == 3);
    MSB_CHECK(header.op >= virtio::VsockOp::kRequest &&
              header.op <= virtio::VsockOp::kCreditRequest);
    MSB_CHECK(header.length == 0 || header.op == virtio::VsockOp::kReadWrite);
    MSB_CHECK(header.op == virtio::VsockOp::kReset || header.src_cid == virtio::kVsockHostCid);
  }
}

void Run(FuzzInput input) {
  Observer observer;
  MarkService marks(observer);
  FakeVsockDriver driver({.rx_payload_bytes = 64, .rx_buffers = 16, .memory_bytes = 1 << 20});
  VsockDevice device(Loop(), 3);
  device.RegisterHostService(MarkService::kPort, marks);
  MSB_CHECK(driver.Attach(device).ok());
  for (int i = 0; i < kMaxPackets && !input.empty(); ++i) {
    QueuePacket(input, driver);
    const absl::Status status = driver.Kick(virtio::kVsockTxQueue);
    MSB_CHECK(status.ok() || ReasonOf(status) == Reason::kGuestViolation);
    if (!status.ok()) return device.Reset();
    driver.guest().queue(virtio::kVsockTxQueue).Used();
    CheckAnswers(driver);
  }
}

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::Run(msb::FuzzInput(data, size));
  return 0;
}
