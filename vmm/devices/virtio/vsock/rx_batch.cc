// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/rx_batch.h"

#include <limits.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb {

using virtio::VsockHeader;

namespace {

absl::Span<const uint8_t> BytesOf(const VsockHeader& header) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&header), sizeof(header));
}

}  // namespace

absl::StatusOr<DescriptorChain> RxBatch::PopBuffer() {
  MSB_ASSIGN_OR_RETURN(DescriptorChain chain, queue_.Pop());
  if (chain.readable().empty() && chain.writable_bytes() > sizeof(VsockHeader)) return chain;
  return MakeError(Reason::kGuestViolation,
                   absl::StrCat("vsock: a receive buffer of ", chain.writable_bytes(),
                                " writable and ", chain.readable_bytes(), " readable bytes"));
}

absl::Status RxBatch::WritePacket(const VsockHeader& header) {
  MSB_ASSIGN_OR_RETURN(DescriptorChain chain, PopBuffer());
  chain.CopyIn(0, BytesOf(header));
  return queue_.Complete(std::move(chain), sizeof(header));
}

absl::StatusOr<absl::Span<const iovec>> RxBatch::Reserve(size_t goal, size_t limit) {
  MSB_CHECK(reserved_.empty() && 0 < goal && goal <= limit);
  room_.clear();
  size_t total = 0;
  while (true) {
    MSB_ASSIGN_OR_RETURN(DescriptorChain chain, PopBuffer());
    const size_t first = room_.size();
    AppendPart(chain.writable(), sizeof(VsockHeader), limit - total, room_);
    if (room_.size() > IOV_MAX) room_.resize(IOV_MAX);
    const size_t room = TotalBytes(absl::MakeConstSpan(room_).subspan(first));
    reserved_.push_back({std::move(chain), room});
    total += room;
    if (total >= goal || room_.size() == IOV_MAX) break;
    MSB_ASSIGN_OR_RETURN(const bool more, queue_.HasNext());
    if (!more) break;
  }
  return absl::MakeConstSpan(room_);
}

absl::StatusOr<size_t> RxBatch::Commit(VsockHeader header, size_t bytes) {
  size_t packets = 0;
  for (size_t filled = 0; filled < bytes; ++packets) filled += reserved_[packets].room;
  while (reserved_.size() > packets) {
    queue_.Return(std::move(reserved_.back().chain));
    reserved_.pop_back();
  }
  for (Reserved& buffer : reserved_) {
    header.length = static_cast<uint32_t>(std::min(bytes, buffer.room));
    bytes -= header.length;
    buffer.chain.CopyIn(0, BytesOf(header));
    MSB_RETURN_IF_ERROR(
        queue_.Complete(std::move(buffer.chain), sizeof(VsockHeader) + header.length));
  }
  reserved_.clear();
  return packets;
}

}  // namespace msb
