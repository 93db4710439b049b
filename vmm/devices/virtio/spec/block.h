// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// VIRTIO 1.2, section 5.2: block device. Values and layouts only; all fields little-endian.

#ifndef MSB_VMM_DEVICES_VIRTIO_SPEC_BLOCK_H_
#define MSB_VMM_DEVICES_VIRTIO_SPEC_BLOCK_H_

#include <cstddef>
#include <cstdint>

namespace msb::virtio {

// 5.2.3.
inline constexpr uint64_t kBlockFeatureSegmentMax = uint64_t{1} << 2;
inline constexpr uint64_t kBlockFeatureReadOnly = uint64_t{1} << 5;
inline constexpr uint64_t kBlockFeatureFlush = uint64_t{1} << 9;
inline constexpr uint64_t kBlockFeatureConfigWriteback = uint64_t{1} << 11;
inline constexpr uint64_t kBlockFeatureDiscard = uint64_t{1} << 13;
inline constexpr uint64_t kBlockFeatureWriteZeroes = uint64_t{1} << 14;

// 5.2.6: the unit of sectors, whatever the block size.
inline constexpr uint64_t kSectorBytes = 512;
inline constexpr size_t kBlockIdBytes = 20;

// 5.2.4.
struct [[gnu::packed]] BlockConfig {
  uint64_t capacity;  // sectors
  uint32_t size_max;
  uint32_t segment_max;  // data segments of a request
  struct [[gnu::packed]] {
    uint16_t cylinders;
    uint8_t heads;
    uint8_t sectors;
  } geometry;
  uint32_t block_size;
  struct [[gnu::packed]] {
    uint8_t physical_block_exponent;
    uint8_t alignment_offset;
    uint16_t min_io_size;
    uint32_t optimal_io_size;
  } topology;
  uint8_t writeback;
  uint8_t unused0;
  uint16_t queues;
  uint32_t max_discard_sectors;
  uint32_t max_discard_segments;
  uint32_t discard_sector_alignment;
  uint32_t max_write_zeroes_sectors;
  uint32_t max_write_zeroes_segments;
  uint8_t write_zeroes_may_unmap;
  uint8_t unused1[3];
};
static_assert(sizeof(BlockConfig) == 60);

// 5.2.6: the types of a request. Any other is answered with kUnsupported.
enum class BlockRequestType : uint32_t {
  kRead = 0,
  kWrite = 1,
  kFlush = 4,
  kGetId = 8,
  kDiscard = 11,
  kWriteZeroes = 13,
};

// A request: this header, readable data, writable data, and one writable byte for the status.
struct BlockRequestHeader {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};
static_assert(sizeof(BlockRequestHeader) == 16);

// The data of kDiscard and kWriteZeroes is a list of these.
struct BlockSegment {
  uint64_t sector;
  uint32_t sectors;
  uint32_t flags;
};
static_assert(sizeof(BlockSegment) == 16);
inline constexpr uint32_t kBlockSegmentUnmap = 1;

enum class BlockStatus : uint8_t { kOk = 0, kIoError = 1, kUnsupported = 2 };

}  // namespace msb::virtio

#endif  // MSB_VMM_DEVICES_VIRTIO_SPEC_BLOCK_H_
