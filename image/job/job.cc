// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/job/job.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "image/archive/load.h"
#include "image/archive/save.h"
#include "image/layer/build_layer.h"
#include "image/limits.h"
#include "image/registry/pull.h"

namespace msb::image {
namespace {

ByteLimit LargestLayer(const Limits& limits) {
  return Nearest(
      {limits.max_layer_bytes, "images.max_layer_mib"},
      {limits.max_image_bytes, "what the image's other layers leave of images.max_image_mib"});
}

absl::StatusOr<v1::JobDone> RunBuildLayer(const v1::BuildLayerJob& job, const Limits& limits,
                                          EventChannel& channel) {
  const UniqueFd tar(job.tar_fd());
  const UniqueFd erofs(job.erofs_fd());
  const LayerLimits layer_limits{.max_bytes = LargestLayer(limits),
                                 .room_bytes = limits.room_bytes,
                                 .max_entries = limits.max_entries,
                                 .max_name_bytes = limits.max_name_bytes,
                                 .max_compression_ratio = limits.max_compression_ratio};
  uint64_t tar_file_bytes = 0;
  MSB_ASSIGN_OR_RETURN(const LayerSummary summary,
                       BuildLayer(tar.get(), erofs.get(), job.diff_id(), layer_limits,
                                  [&](uint64_t done_bytes, uint64_t total_bytes) {
                                    tar_file_bytes = done_bytes;
                                    channel.Progress(job.diff_id(), done_bytes, total_bytes);
                                    return absl::OkStatus();
                                  }));
  v1::JobDone done;
  done.set_bytes(tar_file_bytes);
  done.mutable_layer()->set_diff_id(summary.diff_id);
  done.mutable_layer()->set_entries(summary.entries);
  done.mutable_layer()->set_erofs_bytes(summary.erofs_bytes);
  return done;
}

}  // namespace

absl::StatusOr<v1::JobDone> RunJob(const v1::JobSpec& spec, EventChannel& channel) {
  const Limits limits = LimitsFrom(spec.limits());
  switch (spec.job_case()) {
    case v1::JobSpec::kPull:
      return PullImage(spec.pull(), limits, channel);
    case v1::JobSpec::kBuildLayer:
      return RunBuildLayer(spec.build_layer(), limits, channel);
    case v1::JobSpec::kLoad:
      return LoadArchive(spec.load(), limits, channel);
    case v1::JobSpec::kSave:
      return SaveArchive(spec.save(), limits, channel);
    default:
      return MakeError(Reason::kImageUnsupported,
                       absl::StrCat("this msb-image knows no job of kind ", spec.job_case()));
  }
}

}  // namespace msb::image
