// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Manifests and indexes: OCI's (image-spec v1.1, "manifest.md", "image-index.md") and docker's
// schema 2 with its manifest list, which are the same but for the names of their types.
//
// Pure functions of bytes.

#ifndef MSB_IMAGE_MANIFEST_MANIFEST_H_
#define MSB_IMAGE_MANIFEST_MANIFEST_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/blob/digest.h"
#include "image/limits.h"

namespace msb::image {

namespace media_type {
inline constexpr char kOciManifest[] = "application/vnd.oci.image.manifest.v1+json";
inline constexpr char kOciIndex[] = "application/vnd.oci.image.index.v1+json";
inline constexpr char kOciConfig[] = "application/vnd.oci.image.config.v1+json";
inline constexpr char kOciLayer[] = "application/vnd.oci.image.layer.v1.tar";
inline constexpr char kOciLayerGzip[] = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr char kOciLayerZstd[] = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr char kDockerManifest[] = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr char kDockerList[] = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr char kDockerConfig[] = "application/vnd.docker.container.image.v1+json";
inline constexpr char kDockerLayer[] = "application/vnd.docker.image.rootfs.diff.tar";
inline constexpr char kDockerLayerGzip[] = "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr char kDockerLayerZstd[] = "application/vnd.docker.image.rootfs.diff.tar.zstd";
}  // namespace media_type

struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t size = 0;
};

struct Platform {
  std::string os;            // "linux"
  std::string architecture;  // "amd64"
  std::string variant;
};

struct Manifest {
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // the lowest first
};

struct IndexEntry {
  Descriptor descriptor;
  Platform platform;               // empty when the index does not say
  std::vector<std::string> names;  // from annotations, of an OCI layout's index.json
};

struct Index {
  std::string media_type;
  std::vector<IndexEntry> entries;
};

// `media_type` is what the sender calls the document; empty when it does not say. kImageUnsupported
// for schema 1, artifacts that are no image, foreign layers and media types that are not known;
// kImageTooLarge beyond `limits`; kImageInvalid for what the specification forbids, above all a
// document that is a manifest to one reader and an index to another (CVE-2021-41190).
absl::StatusOr<std::variant<Manifest, Index>> ParseManifest(absl::string_view bytes,
                                                            absl::string_view media_type,
                                                            const Limits& limits);

// The entry for `wanted`. kImageUnsupported, with what there is, when there is none.
absl::StatusOr<IndexEntry> ChoosePlatform(const Index& index, const Platform& wanted);

// kImageUnsupported: who is told of an image holds its manifest against the one index that names
// it, and nobody makes trees of them.
absl::Status IndexInIndex();

// Holds an image's configuration against its manifest: kImageUnsupported when it is for another
// platform, kImageInvalid when it does not name as many layers.
absl::Status CheckConfig(absl::string_view config, const Manifest& manifest,
                         const Platform& wanted);

// "linux/arm64/v8"
std::string ToString(const Platform& platform);

}  // namespace msb::image

#endif  // MSB_IMAGE_MANIFEST_MANIFEST_H_
