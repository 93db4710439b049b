// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/archive/archive_images.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb::image {
namespace {

constexpr size_t kMaxImageNameBytes = 512;

absl::Status CheckBlob(const ArchiveContents& contents, const Descriptor& descriptor) {
  const StoredBlob* blob = contents.FindDigest(descriptor.digest);
  if (blob == nullptr) {
    return MakeError(Reason::kImageInvalid,
                     absl::StrCat("the archive lacks blob ", descriptor.digest.text(),
                                  ", which its manifest names"));
  }
  if (blob->size != descriptor.size) {
    return MakeError(Reason::kImageInvalid,
                     absl::StrCat("blob ", descriptor.digest.text(), " has ", blob->size,
                                  " bytes, the manifest says ", descriptor.size));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<ArchivedImage>> FindImages(const ArchiveContents& contents,
                                                      const Platform& platform,
                                                      const Limits& limits) {
  if (contents.Find("index.json") != nullptr) return FindOciImages(contents, platform, limits);
  if (contents.Find("manifest.json") != nullptr) {
    return FindDockerImages(contents, platform, limits);
  }
  if (contents.Find("repositories") != nullptr) {
    return MakeError(Reason::kImageUnsupported,
                     "the archive is of a docker older than 1.10; save it again with a newer one");
  }
  return MakeError(Reason::kImageInvalid,
                   "the archive holds no image: it has neither index.json (OCI) nor manifest.json "
                   "(docker save)");
}

absl::Status CheckBlobs(const ArchiveContents& contents, const Manifest& manifest,
                        const Platform& platform, const Limits& limits) {
  MSB_RETURN_IF_ERROR(CheckBlob(contents, manifest.config));
  const StoredBlob* config = contents.FindDigest(manifest.config.digest);
  MSB_ASSIGN_OR_RETURN(const std::string bytes,
                       contents.ReadText(*config, "the configuration", limits));
  MSB_RETURN_IF_ERROR(CheckConfig(bytes, manifest, platform));
  for (const Descriptor& layer : manifest.layers) {
    MSB_RETURN_IF_ERROR(CheckBlob(contents, layer));
  }
  return absl::OkStatus();
}

absl::Status CheckNameCount(size_t count) {
  if (count <= kMaxNames) return absl::OkStatus();
  return MakeError(Reason::kImageTooLarge,
                   absl::StrCat("the archive gives an image more than ", kMaxNames,
                                " names: save it under fewer, docker save IMAGE:TAG"));
}

bool IsPlausibleName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxImageNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace msb::image
