// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A hostile driver and a hostile wire against the network card: the input is what the driver puts
// into its buffers and what comes over the link.

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/event_loop.h"
#include "tests/support/fuzz_input.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/devices/virtio/net/checksum.h"
#include "vmm/devices/virtio/net/tx_frame.h"

namespace msb {
namespace {

std::string Text(absl::Span<const uint8_t> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

void Fuzz(FuzzInput input) {
  FakeGuest guest({.queue_sizes = {16}, .memory_bytes = 1 << 20});
  Virtqueue& queue = guest.queue().device();
  for (int frames = 0; !input.empty() && frames < 8; ++frames) {
    std::vector<FakeBuffer> buffers;
    const int parts = 1 + input.Take<uint8_t>() % 4;
    for (int i = 0; i < parts; ++i) {
      const absl::Span<const uint8_t> bytes = input.TakeBytes(1 + input.Take<uint8_t>());
      if (!bytes.empty()) buffers.push_back(guest.Readable(Text(bytes)));
    }
    if (buffers.empty()) return;
    guest.queue().AddChain(buffers);
    MSB_CHECK(*queue.HasNext());
    absl::StatusOr<DescriptorChain> chain = queue.Pop();
    MSB_CHECK(chain.ok());
    const uint64_t readable = chain->readable_bytes();
    absl::StatusOr<TxFrame> frame = TxFrame::Read(*std::move(chain));
    if (!frame.ok()) return;
    MSB_CHECK(frame->wire_bytes() == readable - 12 + 4);
    const size_t offset = input.Take<uint16_t>() % (frame->wire_bytes() + 1);
    std::vector<iovec> wire;
    frame->AppendTo(offset, wire);
    size_t bytes = 0;
    ChecksumAdder touch;
    for (const iovec& part : wire) {
      bytes += part.iov_len;
      touch.Add(absl::MakeConstSpan(static_cast<const uint8_t*>(part.iov_base), part.iov_len));
    }
    (void)touch.Fold();
    MSB_CHECK(bytes == frame->wire_bytes() - offset);
    MSB_CHECK(queue.Complete(frame->TakeChain(), 0).ok());
    guest.queue().Used();
  }
}

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::Fuzz(msb::FuzzInput(data, size));
  return 0;
}
