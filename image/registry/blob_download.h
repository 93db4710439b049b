// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One request's worth of a blob.

#ifndef MSB_IMAGE_REGISTRY_BLOB_DOWNLOAD_H_
#define MSB_IMAGE_REGISTRY_BLOB_DOWNLOAD_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "image/blob/blob_directory.h"
#include "image/manifest/manifest.h"
#include "image/registry/registry_client.h"

namespace msb::image {

// Appends to `part` what it lacks of `blob`, from where it ends; from the beginning when the server
// does not know ranges. `on_progress` is called with each piece. kImageDigestMismatch when the
// server has another number of bytes than the manifest says: the hash is the caller's to look at.
// Transient when the stream broke off; what had come by then is in `part`.
absl::Status DownloadBlob(RegistryClient& client, const Descriptor& blob, PartialBlob& part,
                          const std::function<void()>& on_progress);

// Where a 206's bytes belong (RFC 9110, 14.4): "bytes 5-9/10" or "bytes 5-9/*". Pure.
struct ContentRange {
  uint64_t first = 0;
  std::optional<uint64_t> total;
};
std::optional<ContentRange> ParseContentRange(absl::string_view value);

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_BLOB_DOWNLOAD_H_
