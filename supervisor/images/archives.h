// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Archives: one that comes in, one that goes out. Both are streams, and block.

#ifndef MSB_SUPERVISOR_IMAGES_ARCHIVES_H_
#define MSB_SUPERVISOR_IMAGES_ARCHIVES_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "msb/v1/image.pb.h"
#include "supervisor/images/image_house.h"

namespace msb {

class ArchiveSource {
 public:
  virtual ~ArchiveSource() = default;
  // The next piece; nullopt at the end. An error when it does not come whole. Blocks.
  virtual absl::StatusOr<std::optional<std::string>> Next() = 0;
  // From another thread: Next returns an error at once, now and from now on.
  virtual void Stop() = 0;
};

// False when nobody takes it any more.
using ArchiveSink = std::function<bool(std::string bytes)>;

struct LoadSpec {
  Caller caller;
  std::string name;  // instead of what an archive of one image calls it; may be empty
};

// `source` is read on a thread of its own, not after the return.
absl::StatusOr<msb::v1::LoadImageResponse> LoadImages(const ImageHouse& house, const LoadSpec& spec,
                                                      const Cancellation& cancel,
                                                      ArchiveSource& source);

// `images` as a caller names them.
absl::Status SaveImages(const ImageHouse& house, const Caller& caller,
                        const std::vector<std::string>& images, const Cancellation& cancel,
                        const ArchiveSink& sink);

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_ARCHIVES_H_
