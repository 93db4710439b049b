// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// An image's documents as whoever made it wrote them: the first byte says which one.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "supervisor/images/digest.h"
#include "supervisor/images/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view json(reinterpret_cast<const char*>(data + 1), size - 1);
  const msb::ManifestLimits limits{
      .max_bytes = 1u << 20, .max_layers = 8, .max_blob_bytes = 1u << 30};
  if (data[0] == 'm') {
    const auto manifest = msb::ParseManifest(json, limits);
    if (!manifest.ok()) return 0;
    MSB_CHECK(!manifest->layers.empty() && manifest->layers.size() <= limits.max_layers);
    for (const msb::BlobDescriptor& layer : manifest->layers) {
      MSB_CHECK(msb::IsDigest(layer.digest) && layer.size <= limits.max_blob_bytes);
    }
  } else if (data[0] == 'i') {
    msb::IndexHas(json, msb::Sha256("x"), limits).IgnoreError();
  } else {
    const auto config = msb::ParseOciConfig(json, limits);
    if (!config.ok()) return 0;
    for (const std::string& diff_id : config->diff_ids) MSB_CHECK(msb::IsDigest(diff_id));
    for (const auto& [name, value] : config->env) {
      MSB_CHECK(!name.empty() && name.find('=') == std::string::npos);
    }
  }
  return 0;
}
