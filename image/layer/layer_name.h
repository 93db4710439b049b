// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Names in a layer's tar.

#ifndef MSB_IMAGE_LAYER_LAYER_NAME_H_
#define MSB_IMAGE_LAYER_LAYER_NAME_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb::image {

// The components of a path; none for the root itself. A leading '/' and "./" count for nothing, as
// in every tool that reads layers. kImageInvalid for "..", kImageTooLarge for more than `max_bytes`
// or a component of more than 255 bytes.
absl::StatusOr<std::vector<std::string>> SplitLayerName(absl::string_view name, uint64_t max_bytes);

// OCI image specification, "Layer Filesystem Changeset", "Whiteouts".
enum class NameKind {
  kOrdinary,
  kWhiteout,  // ".wh.NAME": what lower layers have of this name is gone
  kOpaque,    // ".wh..wh..opq": what lower layers have in this directory is gone
  kIgnored,   // ".wh..wh.*": a driver's own notes
};
struct LayerName {
  NameKind kind = NameKind::kOrdinary;
  std::vector<std::string> path;  // of a whiteout's NAME, of the directory that is opaque
};

// kImageInvalid for a whiteout of nothing, and for what is below one.
absl::StatusOr<LayerName> ClassifyLayerName(std::vector<std::string> path);

}  // namespace msb::image

#endif  // MSB_IMAGE_LAYER_LAYER_NAME_H_
