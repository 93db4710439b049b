// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#ifndef MSB_IMAGE_JOB_JOB_H_
#define MSB_IMAGE_JOB_JOB_H_

#include "absl/status/statusor.h"
#include "image/job/event_channel.h"
#include "msb/image/v1/image.pb.h"

namespace msb::image {

// Does what `spec` says and tells `channel` of it, all but the last event. Takes the descriptors
// that the job names.
absl::StatusOr<v1::JobDone> RunJob(const v1::JobSpec& spec, EventChannel& channel);

}  // namespace msb::image

#endif  // MSB_IMAGE_JOB_JOB_H_
