// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/block/block_request.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/error.h"
#include "base/log.h"

namespace msb {

using virtio::BlockRequestHeader;
using virtio::BlockRequestType;
using virtio::BlockSegment;
using virtio::BlockStatus;
using virtio::kSectorBytes;

namespace {

using Segments = absl::InlinedVector<BlockSegment, kMaxBlockSegments>;

// `length` bytes of `buffers` from `skip` on; there are as many.
std::vector<absl::Span<uint8_t>> Slice(absl::Span<const absl::Span<uint8_t>> buffers, uint64_t skip,
                                       uint64_t length) {
  std::vector<absl::Span<uint8_t>> slice;
  for (absl::Span<uint8_t> buffer : buffers) {
    if (length == 0) break;
    const uint64_t dropped = std::min<uint64_t>(skip, buffer.size());
    skip -= dropped;
    buffer.remove_prefix(dropped);
    buffer = buffer.first(std::min<uint64_t>(length, buffer.size()));
    length -= buffer.size();
    if (!buffer.empty()) slice.push_back(buffer);
  }
  return slice;
}

bool ReadsFromDevice(BlockRequestType type) {
  return type == BlockRequestType::kRead || type == BlockRequestType::kGetId;
}

bool Changes(BlockRequestType type) {
  return type == BlockRequestType::kWrite || type == BlockRequestType::kDiscard ||
         type == BlockRequestType::kWriteZeroes;
}

bool IsOnDisk(uint64_t sector, uint64_t sectors, const DiskFile& disk) {
  return sector <= disk.sectors() && sectors <= disk.sectors() - sector;
}

// The host's errors (no space, a failing disk) are for its operator to know. The first ones only:
// each request of the guest may bring another.
constexpr int kMaxLoggedIoErrors = 10;

BlockStatus StatusOfIo(const absl::Status& status, absl::string_view what) {
  if (status.ok()) return BlockStatus::kOk;
  static std::atomic<int> logged = 0;
  if (logged.fetch_add(1, std::memory_order_relaxed) < kMaxLoggedIoErrors) {
    MSB_LOG(kWarning) << "disk " << what << ": " << status.message();
  }
  return BlockStatus::kIoError;
}

// The segments of a discard or write-zeroes request, copied once: they are checked and used from
// here.
Segments CopySegments(const BlockRequest& request) {
  Segments segments(request.data_bytes / sizeof(BlockSegment));
  request.chain.CopyOut(sizeof(BlockRequestHeader),
                        absl::MakeSpan(reinterpret_cast<uint8_t*>(segments.data()),
                                       segments.size() * sizeof(BlockSegment)));
  return segments;
}

BlockStatus CheckSegment(const BlockSegment& segment, BlockRequestType type, const DiskFile& disk) {
  const bool is_discard = type == BlockRequestType::kDiscard;
  const uint32_t known_flags = is_discard ? 0 : virtio::kBlockSegmentUnmap;
  if ((segment.flags & ~known_flags) != 0) return BlockStatus::kUnsupported;  // 5.2.6.2
  if (segment.sectors > (is_discard ? kMaxDiscardSectors : kMaxWriteZeroesSectors)) {
    return BlockStatus::kIoError;
  }
  return IsOnDisk(segment.sector, segment.sectors, disk) ? BlockStatus::kOk : BlockStatus::kIoError;
}

absl::Status ApplySegment(const BlockSegment& segment, BlockRequestType type,
                          const DiskFile& disk) {
  if (segment.sectors == 0) return absl::OkStatus();
  const uint64_t offset = segment.sector * kSectorBytes;
  const uint64_t bytes = segment.sectors * kSectorBytes;
  if (type == BlockRequestType::kDiscard) return disk.Discard(offset, bytes);
  return disk.WriteZeroes(offset, bytes,
                          (segment.flags & virtio::kBlockSegmentUnmap) != 0
                              ? DiskFile::Allocation::kMayDrop
                              : DiskFile::Allocation::kKeep);
}

BlockStatus ExecuteSegments(const BlockRequest& request, const DiskFile& disk) {
  const Segments segments = CopySegments(request);
  for (const BlockSegment& segment : segments) {
    const BlockStatus checked = CheckSegment(segment, request.type(), disk);
    if (checked != BlockStatus::kOk) return checked;
  }
  for (const BlockSegment& segment : segments) {
    const absl::Status applied = ApplySegment(segment, request.type(), disk);
    if (!applied.ok()) return StatusOfIo(applied, "discard");
  }
  if (request.durability == DiskFile::Durability::kAtOnce) {
    return StatusOfIo(disk.Flush(), "flush");
  }
  return BlockStatus::kOk;
}

BlockStatus GetId(const BlockRequest& request, const std::string& id) {
  std::array<uint8_t, virtio::kBlockIdBytes> bytes = {};  // zero-padded, 5.2.6.1
  std::memcpy(bytes.data(), id.data(), std::min(id.size(), bytes.size()));
  request.chain.CopyIn(
      0, absl::MakeConstSpan(bytes).first(std::min<uint64_t>(bytes.size(), request.data_bytes)));
  return BlockStatus::kOk;
}

}  // namespace

absl::StatusOr<BlockRequest> ParseBlockRequest(DescriptorChain chain) {
  if (chain.writable_bytes() == 0) {
    return MakeError(Reason::kGuestViolation, "block: request without a status byte");
  }
  // A type that does not exist stands for a header that is cut short: both are answered.
  BlockRequest request{.chain = std::move(chain), .header = {.type = ~uint32_t{0}}, .data = {}};
  const DescriptorChain& bytes = request.chain;
  if (bytes.readable_bytes() < sizeof(request.header)) return request;
  bytes.CopyOut(
      0, absl::MakeSpan(reinterpret_cast<uint8_t*>(&request.header), sizeof(request.header)));
  if (ReadsFromDevice(request.type())) {
    request.data_bytes = bytes.writable_bytes() - 1;
    request.data = Slice(bytes.writable(), 0, request.data_bytes);
  } else {
    request.data_bytes = bytes.readable_bytes() - sizeof(request.header);
    request.data = Slice(bytes.readable(), sizeof(request.header), request.data_bytes);
  }
  return request;
}

std::optional<BlockStatus> RefuseBlockRequest(const BlockRequest& request, const DiskFile& disk) {
  if (Changes(request.type()) && disk.read_only()) return BlockStatus::kIoError;
  switch (request.type()) {
    case BlockRequestType::kRead:
    case BlockRequestType::kWrite: {
      const bool good = request.data_bytes % kSectorBytes == 0 &&
                        request.data_bytes <= kMaxBlockDataBytes &&
                        IsOnDisk(request.header.sector, request.data_bytes / kSectorBytes, disk);
      if (!good) return BlockStatus::kIoError;
      return std::nullopt;
    }
    case BlockRequestType::kDiscard:
    case BlockRequestType::kWriteZeroes: {
      const bool good = request.data_bytes > 0 && request.data_bytes % sizeof(BlockSegment) == 0 &&
                        request.data_bytes <= kMaxBlockSegments * sizeof(BlockSegment);
      if (!good) return BlockStatus::kIoError;
      return std::nullopt;
    }
    case BlockRequestType::kFlush:
    case BlockRequestType::kGetId:
      return std::nullopt;
  }
  return BlockStatus::kUnsupported;
}

BlockStatus ExecuteBlockRequest(const BlockRequest& request, const DiskFile& disk,
                                const std::string& id) {
  switch (request.type()) {
    case BlockRequestType::kRead:
      return StatusOfIo(disk.Read(request.offset(), request.data), "read");
    case BlockRequestType::kWrite:
      return StatusOfIo(disk.Write(request.offset(), request.data, request.durability), "write");
    case BlockRequestType::kFlush:
      return StatusOfIo(disk.Flush(), "flush");
    case BlockRequestType::kGetId:
      return GetId(request, id);
    case BlockRequestType::kDiscard:
    case BlockRequestType::kWriteZeroes:
      return ExecuteSegments(request, disk);
  }
  return BlockStatus::kUnsupported;
}

uint32_t WriteBlockStatus(const BlockRequest& request, BlockStatus status) {
  const uint64_t position = request.chain.writable_bytes() - 1;
  const auto byte = static_cast<uint8_t>(status);
  request.chain.CopyIn(position, absl::MakeConstSpan(&byte, 1));
  // The length promises that everything before the status was written too, which only a read does.
  const bool all = status == BlockStatus::kOk && request.type() == BlockRequestType::kRead;
  return all ? static_cast<uint32_t>(position + 1) : 1;
}

}  // namespace msb
