// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What is read of an image's manifest, index and configuration (OCI image-spec 1.1, docker's
// schema 2). The bytes come from whoever made the image; their hash was checked before, their
// contents are not to be trusted. Errors: kImageInvalid, kImageUnsupported, kImageTooLarge.

#ifndef MSB_SUPERVISOR_IMAGES_MANIFEST_H_
#define MSB_SUPERVISOR_IMAGES_MANIFEST_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace msb {

struct BlobDescriptor {
  std::string digest;
  uint64_t size = 0;
};

struct ImageManifest {
  BlobDescriptor config;
  std::vector<BlobDescriptor> layers;  // lowest first; the same may come twice
};

struct ManifestLimits {
  size_t max_bytes = 4u << 20;  // of each document
  size_t max_layers = 64;
  uint64_t max_blob_bytes = 0;
};

absl::StatusOr<ImageManifest> ParseManifest(absl::string_view json, const ManifestLimits& limits);

// Whether the index, by whatever platform, names the manifest.
absl::StatusOr<bool> IndexHas(absl::string_view json, absl::string_view manifest_digest,
                              const ManifestLimits& limits);

// What the image's configuration says of the commands that run in it, and of its layers.
struct OciConfig {
  std::string architecture;
  std::string os;
  absl::Time created = absl::UnixEpoch();  // the epoch: not said
  std::map<std::string, std::string> env;
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::string user;
  std::string workdir;
  std::string stop_signal;
  std::map<std::string, std::string> labels;
  std::vector<std::string> diff_ids;  // lowest first
};

absl::StatusOr<OciConfig> ParseOciConfig(absl::string_view json, const ManifestLimits& limits);

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_MANIFEST_H_
