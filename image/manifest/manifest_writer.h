// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The documents that we make ourselves: the same input makes the same bytes.

#ifndef MSB_IMAGE_MANIFEST_MANIFEST_WRITER_H_
#define MSB_IMAGE_MANIFEST_MANIFEST_WRITER_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "image/manifest/manifest.h"

namespace msb::image {

// An OCI image manifest.
std::string WriteManifest(const Manifest& manifest);

struct NamedImage {
  Descriptor descriptor;  // of its manifest
  Manifest manifest;
  std::vector<std::string> names;  // full ones: "docker.io/library/debian:12"
};

// index.json of an OCI layout: an entry a name, as docker and containerd have it.
std::string WriteLayoutIndex(absl::Span<const NamedImage> images);

// manifest.json of docker load, for blobs where an OCI layout has them.
std::string WriteDockerManifest(absl::Span<const NamedImage> images);

// "blobs/sha256/<hex>"
std::string LayoutPath(const Digest& digest);

}  // namespace msb::image

#endif  // MSB_IMAGE_MANIFEST_MANIFEST_WRITER_H_
