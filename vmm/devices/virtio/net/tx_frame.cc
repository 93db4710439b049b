// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/net/tx_frame.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "vmm/backends/net/frame_link.h"
#include "vmm/devices/virtio/net/checksum.h"
#include "vmm/devices/virtio/spec/net.h"

namespace msb {
namespace {

constexpr size_t kLengthBytes = FrameLink::kLengthBytes;
// Headers of every kind that Linux sends lie within; a checksum behind them makes the head longer.
constexpr size_t kUsualHeadBytes = 128;

absl::Status Violation(absl::string_view what) {
  return MakeError(Reason::kGuestViolation, absl::StrCat("net: ", what));
}

void StoreLength(uint32_t length, uint8_t* out) {
  out[0] = static_cast<uint8_t>(length >> 24);
  out[1] = static_cast<uint8_t>(length >> 16);
  out[2] = static_cast<uint8_t>(length >> 8);
  out[3] = static_cast<uint8_t>(length);
}

}  // namespace

absl::StatusOr<TxFrame> TxFrame::Read(DescriptorChain chain) {
  virtio::NetHeader header;
  if (!chain.writable().empty()) return Violation("a frame to send in writable buffers");
  const uint64_t total = chain.readable_bytes();
  if (total < sizeof(header) + FrameLink::kMinFrameBytes ||
      total > sizeof(header) + FrameLink::kMaxFrameBytes) {
    return Violation(absl::StrCat("a frame of ", total, " bytes"));
  }
  chain.CopyOut(0, absl::MakeSpan(reinterpret_cast<uint8_t*>(&header), sizeof(header)));
  if (header.gso_type != virtio::kNetGsoNone) return Violation("segmentation was not offered");
  const size_t length = total - sizeof(header);
  size_t head_bytes = std::min(length, kUsualHeadBytes);
  const bool checksum = (header.flags & virtio::kNetHeaderNeedsChecksum) != 0;
  if (checksum) {
    const size_t field_end =
        size_t{header.checksum_start} + header.checksum_offset + sizeof(uint16_t);
    if (field_end > length) return Violation("a checksum outside of its frame");
    head_bytes = std::max(head_bytes, field_end);
  }
  TxFrame frame;
  frame.head_.resize(kLengthBytes + head_bytes);
  StoreLength(static_cast<uint32_t>(length), frame.head_.data());
  chain.CopyOut(sizeof(header), absl::MakeSpan(frame.head_).subspan(kLengthBytes));
  size_t skip = sizeof(header) + head_bytes;
  for (const absl::Span<uint8_t> buffer : chain.readable()) {
    const size_t skipped = std::min(skip, buffer.size());
    skip -= skipped;
    if (skipped < buffer.size()) frame.rest_.push_back(buffer.subspan(skipped));
  }
  frame.rest_bytes_ = length - head_bytes;
  frame.chain_.emplace(std::move(chain));
  if (checksum) {
    MSB_RETURN_IF_ERROR(frame.CompleteChecksum(header.checksum_start, header.checksum_offset));
  }
  return frame;
}

// The field holds the sum of the pseudo header; what follows from `start` on is added to it.
absl::Status TxFrame::CompleteChecksum(uint32_t start, uint32_t offset) {
  ChecksumAdder adder;
  const auto head = absl::MakeConstSpan(head_).subspan(kLengthBytes);
  if (start < head.size()) adder.Add(head.subspan(start));
  for (const absl::Span<const uint8_t> part : rest_) adder.Add(part);
  uint16_t sum = adder.Fold();
  // A UDP checksum of zero means none (RFC 768); for TCP both zeroes are the same.
  if (sum == 0) sum = 0xffff;
  std::memcpy(head_.data() + kLengthBytes + start + offset, &sum, sizeof(sum));
  return absl::OkStatus();
}

void TxFrame::AppendTo(size_t offset, std::vector<iovec>& out) const {
  const auto append = [&](absl::Span<const uint8_t> part) {
    const size_t skipped = std::min(offset, part.size());
    offset -= skipped;
    part.remove_prefix(skipped);
    if (!part.empty()) out.push_back({const_cast<uint8_t*>(part.data()), part.size()});
  };
  append(head_);
  for (const absl::Span<const uint8_t> part : rest_) append(part);
}

}  // namespace msb
