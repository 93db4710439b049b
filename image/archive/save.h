// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A SaveJob: blobs become one archive that is an OCI layout and one of docker's at the same time.

#ifndef MSB_IMAGE_ARCHIVE_SAVE_H_
#define MSB_IMAGE_ARCHIVE_SAVE_H_

#include "absl/status/statusor.h"
#include "image/job/event_channel.h"
#include "image/limits.h"
#include "msb/image/v1/image.pb.h"

namespace msb::image {

// The manifests are among the job's blobs. Each blob is hashed as it is written:
// kImageDigestMismatch when the store is damaged, and the archive is then cut short. The same job
// makes the same bytes. Takes the descriptors that the job names.
absl::StatusOr<v1::JobDone> SaveArchive(const v1::SaveJob& job, const Limits& limits,
                                        EventChannel& channel);

}  // namespace msb::image

#endif  // MSB_IMAGE_ARCHIVE_SAVE_H_
