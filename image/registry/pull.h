// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A PullJob: which endpoints, which manifest, then its blobs.

#ifndef MSB_IMAGE_REGISTRY_PULL_H_
#define MSB_IMAGE_REGISTRY_PULL_H_

#include "absl/status/statusor.h"
#include "image/job/event_channel.h"
#include "image/limits.h"
#include "msb/image/v1/image.pb.h"

namespace msb::image {

// Tells `channel` of the manifest, of progress and of each blob that is whole. Takes the
// descriptors that the job names.
absl::StatusOr<v1::JobDone> PullImage(const v1::PullJob& job, const Limits& limits,
                                      EventChannel& channel);

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_PULL_H_
