// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What one job may take. The daemon's [images] settings arrive in the job; a 0 there stands for the
// default here.

#ifndef MSB_IMAGE_LIMITS_H_
#define MSB_IMAGE_LIMITS_H_

#include <cstdint>
#include <limits>

#include "absl/time/time.h"
#include "msb/image/v1/image.pb.h"

namespace msb::image {

inline constexpr uint64_t kMiB = 1024 * 1024;
inline constexpr uint64_t kGiB = 1024 * kMiB;
// A manifest and its index fit into one event beside what else stands there.
inline constexpr uint64_t kLargestManifestBytes = 4 * kMiB;

struct Limits {
  uint64_t max_manifest_bytes = kLargestManifestBytes;  // of a manifest, index or configuration
  uint64_t max_layers = 64;
  uint64_t max_blob_bytes = 16 * kGiB;   // of one compressed layer
  uint64_t max_image_bytes = 64 * kGiB;  // of all blobs, all entries of an archive, all layers
  uint64_t max_layer_bytes = 64 * kGiB;  // of one layer's file system
  uint64_t max_entries = 500'000;        // of one layer
  uint64_t max_archive_entries = 32'768;
  uint64_t room_bytes = std::numeric_limits<uint64_t>::max();  // in the daemon's store
  uint64_t max_name_bytes = 4095;                              // of a path in a layer
  uint64_t max_compression_ratio = 1100;
  uint64_t max_parallel_downloads = 4;
  absl::Duration connect_timeout = absl::Seconds(15);
  absl::Duration stall_timeout = absl::Seconds(30);  // in which at least 4 KiB must come
  uint64_t max_attempts = 5;                         // of one blob
};

Limits LimitsFrom(const v1::Limits& wire);

}  // namespace msb::image

#endif  // MSB_IMAGE_LIMITS_H_
