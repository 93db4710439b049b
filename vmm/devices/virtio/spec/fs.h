// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// VIRTIO 1.2, section 5.11: file system device. Values and layouts only.

#ifndef MSB_VMM_DEVICES_VIRTIO_SPEC_FS_H_
#define MSB_VMM_DEVICES_VIRTIO_SPEC_FS_H_

#include <cstddef>
#include <cstdint>

namespace msb::virtio {

inline constexpr size_t kFsTagBytes = 36;

// 5.11.2: what cannot wait behind data (FUSE_FORGET, FUSE_INTERRUPT), then the first request queue.
inline constexpr uint16_t kFsHighPriorityQueue = 0;
inline constexpr uint16_t kFsRequestQueue = 1;

// 5.11.4, without the field of the notification queue, which is a feature.
struct [[gnu::packed]] FsConfig {
  char tag[kFsTagBytes];  // UTF-8, padded with NUL, not terminated when it fills the field
  uint32_t num_request_queues;
};
static_assert(sizeof(FsConfig) == 40);

// 5.11.6: what every request begins with, fuse_in_header of <linux/fuse.h>.
struct FuseRequestHeader {
  uint32_t length;
  uint32_t opcode;
  uint64_t unique;
  uint64_t node;
  uint32_t uid;
  uint32_t gid;
  uint32_t pid;
  uint32_t padding;
};
static_assert(sizeof(FuseRequestHeader) == 40);

// The same of a reply, fuse_out_header.
struct FuseReplyHeader {
  uint32_t length;
  int32_t error;  // 0 or a negated errno
  uint64_t unique;
};
static_assert(sizeof(FuseReplyHeader) == 16);

}  // namespace msb::virtio

#endif  // MSB_VMM_DEVICES_VIRTIO_SPEC_FS_H_
