// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A LoadJob: an archive becomes blobs and manifests.

#ifndef MSB_IMAGE_ARCHIVE_LOAD_H_
#define MSB_IMAGE_ARCHIVE_LOAD_H_

#include "absl/status/statusor.h"
#include "image/job/event_channel.h"
#include "image/limits.h"
#include "msb/image/v1/image.pb.h"

namespace msb::image {

// Tells `channel` of progress, of each blob and then of each image. What belongs to no image does
// not stay in the directory, and nothing does after an error. Takes the descriptors that the job
// names.
absl::StatusOr<v1::JobDone> LoadArchive(const v1::LoadJob& job, const Limits& limits,
                                        EventChannel& channel);

}  // namespace msb::image

#endif  // MSB_IMAGE_ARCHIVE_LOAD_H_
