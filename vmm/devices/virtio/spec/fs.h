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

}  // namespace msb::virtio

#endif  // MSB_VMM_DEVICES_VIRTIO_SPEC_FS_H_
