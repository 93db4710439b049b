// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#ifndef MSB_IMAGE_WRITE_ERROR_H_
#define MSB_IMAGE_WRITE_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/error.h"

namespace msb::image {

// What a failed write is called: kNoSpace for a full disk, which somebody can mend, else
// kHostError. `what` was being written.
inline absl::Status WriteError(absl::string_view what, const absl::Status& status) {
  // ErrnoToStatus makes ENOSPC and EDQUOT ResourceExhausted.
  if (absl::IsResourceExhausted(status)) {
    return WithReason(Reason::kNoSpace, absl::StrCat(what, ": the disk is full"), status);
  }
  return WithReason(Reason::kHostError, what, status);
}

}  // namespace msb::image

#endif  // MSB_IMAGE_WRITE_ERROR_H_
