// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/packet.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/error.h"

namespace msb {

using virtio::VsockHeader;

uint64_t TotalBytes(absl::Span<const iovec> pieces) {
  uint64_t total = 0;
  for (const iovec& piece : pieces) total += piece.iov_len;
  return total;
}

void AppendPart(absl::Span<const absl::Span<uint8_t>> buffers, uint64_t offset, uint64_t length,
                Iovecs& out) {
  for (const absl::Span<uint8_t> buffer : buffers) {
    if (length == 0) return;
    if (offset >= buffer.size()) {
      offset -= buffer.size();
      continue;
    }
    const uint64_t taken = std::min<uint64_t>(buffer.size() - offset, length);
    out.push_back({.iov_base = buffer.data() + offset, .iov_len = taken});
    length -= taken;
    offset = 0;
  }
}

absl::StatusOr<TxPacket> ReadPacket(const DescriptorChain& chain) {
  if (!chain.writable().empty()) {
    return MakeError(Reason::kGuestViolation, "vsock: a sent packet has writable buffers");
  }
  TxPacket packet;
  const size_t copied = chain.CopyOut(
      0, absl::MakeSpan(reinterpret_cast<uint8_t*>(&packet.header), sizeof(VsockHeader)));
  if (copied < sizeof(VsockHeader)) {
    return MakeError(Reason::kGuestViolation, absl::StrCat("vsock: a packet of ", copied,
                                                           " bytes is shorter than a header"));
  }
  const uint64_t present = chain.readable_bytes() - sizeof(VsockHeader);
  const uint32_t length = packet.header.length;
  if (length > present) {
    return MakeError(Reason::kGuestViolation, absl::StrCat("vsock: a packet says ", length,
                                                           " bytes of payload and has ", present));
  }
  AppendPart(chain.readable(), sizeof(VsockHeader), length, packet.payload);
  return packet;
}

}  // namespace msb
