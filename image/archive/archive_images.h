// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Which images an archive's files make up.

#ifndef MSB_IMAGE_ARCHIVE_ARCHIVE_IMAGES_H_
#define MSB_IMAGE_ARCHIVE_ARCHIVE_IMAGES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "image/archive/archive_contents.h"
#include "image/blob/digest.h"
#include "image/limits.h"
#include "image/manifest/manifest.h"

namespace msb::image {

struct ArchivedImage {
  std::string manifest_bytes;
  Manifest manifest;
  Digest digest;      // of the index, when there is one, else of the manifest
  std::string index;  // empty without one
  std::vector<std::string> names;
};

// All images of an archive for `platform`; at least one. All blobs that they name are there and
// have the size that the manifest says. An archive that is an OCI layout and docker's at once
// (docker save's, ours) is read as the former.
absl::StatusOr<std::vector<ArchivedImage>> FindImages(const ArchiveContents& contents,
                                                      const Platform& platform,
                                                      const Limits& limits);

// index.json and the blobs that it leads to (image-spec, "image-layout.md").
absl::StatusOr<std::vector<ArchivedImage>> FindOciImages(const ArchiveContents& contents,
                                                         const Platform& platform,
                                                         const Limits& limits);

// manifest.json of docker save (moby, image/spec/v1.2.md): configuration and layers as files of any
// name. The manifest is made here.
absl::StatusOr<std::vector<ArchivedImage>> FindDockerImages(const ArchiveContents& contents,
                                                            const Platform& platform,
                                                            const Limits& limits);

// Holds what `manifest` names against what is there.
absl::Status CheckBlobs(const ArchiveContents& contents, const Manifest& manifest,
                        const Platform& platform, const Limits& limits);

// As many names as one image may have; the daemon holds this too.
inline constexpr size_t kMaxNames = 64;

// kImageTooLarge for a list of names that is longer. Before they are looked at one by one: a list
// of 4 MiB has hundreds of thousands.
absl::Status CheckNameCount(size_t count);

// Whether `name` may be one of an image: visible ASCII, not too long.
bool IsPlausibleName(absl::string_view name);

}  // namespace msb::image

#endif  // MSB_IMAGE_ARCHIVE_ARCHIVE_IMAGES_H_
