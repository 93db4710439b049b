// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/job/job.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"

namespace msb::image {

absl::StatusOr<v1::JobDone> RunJob(const v1::JobSpec& spec, EventChannel&) {
  return MakeError(Reason::kImageUnsupported,
                   absl::StrCat("this msb-image knows no job of kind ", spec.job_case()));
}

}  // namespace msb::image
