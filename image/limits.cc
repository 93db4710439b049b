// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/limits.h"

#include <algorithm>

namespace msb::image {
namespace {

void Take(uint64_t wire, uint64_t& limit) {
  if (wire != 0) limit = wire;
}

void Take(uint32_t wire_ms, absl::Duration& limit) {
  if (wire_ms != 0) limit = absl::Milliseconds(wire_ms);
}

}  // namespace

Limits LimitsFrom(const v1::Limits& wire) {
  Limits limits;
  Take(wire.max_manifest_bytes(), limits.max_manifest_bytes);
  limits.max_manifest_bytes = std::min(limits.max_manifest_bytes, kLargestManifestBytes);
  Take(uint64_t{wire.max_layers()}, limits.max_layers);
  Take(wire.max_blob_bytes(), limits.max_blob_bytes);
  Take(wire.max_image_bytes(), limits.max_image_bytes);
  Take(wire.max_layer_bytes(), limits.max_layer_bytes);
  Take(wire.max_entries(), limits.max_entries);
  Take(uint64_t{wire.max_archive_entries()}, limits.max_archive_entries);
  Take(wire.room_bytes(), limits.room_bytes);
  Take(uint64_t{wire.max_name_bytes()}, limits.max_name_bytes);
  Take(uint64_t{wire.max_compression_ratio()}, limits.max_compression_ratio);
  Take(uint64_t{wire.max_parallel_downloads()}, limits.max_parallel_downloads);
  Take(wire.connect_timeout_ms(), limits.connect_timeout);
  Take(wire.stall_timeout_ms(), limits.stall_timeout);
  Take(uint64_t{wire.max_attempts()}, limits.max_attempts);
  return limits;
}

}  // namespace msb::image
