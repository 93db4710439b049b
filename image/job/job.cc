// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/job/job.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "image/archive/load.h"
#include "image/archive/save.h"
#include "image/limits.h"
#include "image/registry/pull.h"

namespace msb::image {

absl::StatusOr<v1::JobDone> RunJob(const v1::JobSpec& spec, EventChannel& channel) {
  const Limits limits = LimitsFrom(spec.limits());
  switch (spec.job_case()) {
    case v1::JobSpec::kPull:
      return PullImage(spec.pull(), limits, channel);
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
