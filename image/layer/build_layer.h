// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One OCI layer (a tar, plain or compressed with gzip or zstd) becomes one EROFS file that a guest
// stacks with overlayfs: docs/adr/0010-write-erofs-ourselves.md says how and why.

#ifndef MSB_IMAGE_LAYER_BUILD_LAYER_H_
#define MSB_IMAGE_LAYER_BUILD_LAYER_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/byte_limit.h"

namespace msb::image {

struct LayerLimits {
  // Of the layer's file system: all files with their whole size (holes count), and what describes
  // them. Of the uncompressed tar it is the limit too.
  ByteLimit max_bytes = {uint64_t{64} << 30, "images.max_layer_mib"};
  // Of the layer's file alone, which has no holes.
  uint64_t room_bytes = std::numeric_limits<uint64_t>::max();
  uint64_t max_entries = 500'000;  // of the tar, and of the tree with the parents it leaves out
  uint64_t max_name_bytes = 4095;  // of a path
  // Uncompressed bytes to one compressed byte, beyond which a layer is a bomb; the first MiB is
  // free.
  uint64_t max_compression_ratio = 1100;
};

struct LayerSummary {
  std::string diff_id;       // "sha256:<hex>" of the uncompressed tar
  uint64_t entries = 0;      // of the tree: files, directories, whiteouts, names of hard links
  uint64_t erofs_bytes = 0;  // size of the file, a multiple of 4096
  uint64_t tar_bytes = 0;    // uncompressed
};

// Bytes of `tar_fd` that have been read, and all that it has. Called about each MiB. An error ends
// the work and becomes its result.
using LayerProgress = std::function<absl::Status(uint64_t done_bytes, uint64_t total_bytes)>;

// Reads the regular file `tar_fd` from its beginning, once, and writes the empty regular file
// `erofs_fd`, which holds garbage when the result is an error. The same tar makes the same bytes.
// Memory is bounded by limits.max_entries and max_bytes / 1024, not by what the files hold.
// `diff_id`: what the layer must have, or empty.
//
// kImageInvalid: malformed, truncated, or what cannot be a layer; the message names the entry.
// kImageDigestMismatch: another diff id. kImageTooLarge: beyond a limit, ours or the format's.
// kNoSpace: beyond room_bytes, or the disk is full.
// kImageUnsupported: a compression that is not known. kHostError: reading or writing failed.
absl::StatusOr<LayerSummary> BuildLayer(int tar_fd, int erofs_fd, absl::string_view diff_id,
                                        const LayerLimits& limits, const LayerProgress& progress);

}  // namespace msb::image

#endif  // MSB_IMAGE_LAYER_BUILD_LAYER_H_
