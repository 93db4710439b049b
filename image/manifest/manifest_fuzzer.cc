// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Manifests, indexes and configurations: what is accepted keeps the limits.

#include <cstdint>
#include <variant>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "image/manifest/json.h"
#include "image/manifest/manifest.h"
#include "image/manifest/manifest_writer.h"

namespace msb::image {
namespace {

const Limits kLimits{.max_manifest_bytes = 1 << 16, .max_layers = 16, .max_blob_bytes = 1 << 20};

void CheckManifest(const Manifest& manifest) {
  MSB_CHECK(manifest.layers.size() <= kLimits.max_layers);
  for (const Descriptor& layer : manifest.layers) MSB_CHECK(layer.size <= kLimits.max_blob_bytes);
  // What we write of it is a manifest again.
  Manifest oci = manifest;
  const auto again = ParseManifest(WriteManifest(oci), media_type::kOciManifest, kLimits);
  MSB_CHECK(again.ok() && std::get<Manifest>(*again).layers.size() == manifest.layers.size());
}

void Fuzz(absl::string_view bytes) {
  const Platform platform{"linux", "amd64", ""};
  for (const char* type : {"", media_type::kOciIndex, media_type::kDockerManifest}) {
    const auto parsed = ParseManifest(bytes, type, kLimits);
    if (!parsed.ok()) continue;
    if (const auto* index = std::get_if<Index>(&*parsed); index != nullptr) {
      const auto entry = ChoosePlatform(*index, platform);
      MSB_CHECK(entry.ok() || !entry.status().message().empty());
    } else {
      CheckManifest(std::get<Manifest>(*parsed));
      CheckConfig(bytes, std::get<Manifest>(*parsed), platform).IgnoreError();
    }
  }
  CheckConfig(bytes, {.config = {"", Sha256::Of(""), 0}}, platform).IgnoreError();
  ParseJsonList(bytes, "it").status().IgnoreError();
}

}  // namespace
}  // namespace msb::image

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::image::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
