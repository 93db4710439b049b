// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One request of the guest's block driver (VIRTIO 1.2, 5.2.6): taken apart, judged, carried out.
//
// The driver may cut a request into buffers as it likes (2.7.4): what counts is the position of a
// byte, not the descriptor that it stands in.

#ifndef MSB_VMM_DEVICES_VIRTIO_BLOCK_BLOCK_REQUEST_H_
#define MSB_VMM_DEVICES_VIRTIO_BLOCK_BLOCK_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/devices/virtio/block/disk_file.h"
#include "vmm/devices/virtio/spec/block.h"
#include "vmm/devices/virtio/virtqueue.h"

namespace msb {

// More than a driver asks for at a time (Linux: 254 segments of up to 64 KiB, 1.25 MiB as it
// comes), and little enough for the disk's thread to be free again soon.
inline constexpr uint64_t kMaxBlockDataBytes = uint64_t{32} << 20;
// Segments of one discard or write-zeroes request, and sectors of one segment: 2 GiB, since a hole
// costs little, and 32 MiB, since zeroes may have to be written.
inline constexpr uint32_t kMaxBlockSegments = 16;
inline constexpr uint32_t kMaxDiscardSectors = 1u << 22;
inline constexpr uint32_t kMaxWriteZeroesSectors = 1u << 16;

struct BlockRequest {
  DescriptorChain chain;
  virtio::BlockRequestHeader header;
  // The bytes between header and status, on the side that `header.type` moves them from or to.
  std::vector<absl::Span<uint8_t>> data;
  uint64_t data_bytes = 0;
  DiskFile::Durability durability = DiskFile::Durability::kOnFlush;

  virtio::BlockRequestType type() const { return virtio::BlockRequestType{header.type}; }
  uint64_t offset() const { return header.sector * virtio::kSectorBytes; }
};

// kGuestViolation for a chain without room for a status; everything else can be answered.
absl::StatusOr<BlockRequest> ParseBlockRequest(DescriptorChain chain);

// The answer to a request that is refused unseen: malformed, out of range, unknown, or a write to a
// read-only disk. nullopt for one that may be carried out.
std::optional<virtio::BlockStatus> RefuseBlockRequest(const BlockRequest& request,
                                                      const DiskFile& disk);

// Carries out a request that was not refused. `id` is what the guest reads as the disk's serial. On
// any thread.
virtio::BlockStatus ExecuteBlockRequest(const BlockRequest& request, const DiskFile& disk,
                                        const std::string& id);

// Writes the status byte; how many bytes the request has written into the chain (2.7.8.2).
uint32_t WriteBlockStatus(const BlockRequest& request, virtio::BlockStatus status);

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_BLOCK_BLOCK_REQUEST_H_
