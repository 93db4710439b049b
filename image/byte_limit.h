// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A number of bytes that nothing may pass, and whose it is: somebody is to be told what to change.

#ifndef MSB_IMAGE_BYTE_LIMIT_H_
#define MSB_IMAGE_BYTE_LIMIT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/error.h"

namespace msb::image {

struct ByteLimit {
  uint64_t bytes = 0;
  absl::string_view setting;  // a literal
  Reason reason = Reason::kImageTooLarge;

  // `what`: "the layer's tar has".
  absl::Status Exceeded(absl::string_view what) const {
    return MakeError(reason, absl::StrCat(what, " more than ", bytes, " bytes (", setting, ")"));
  }
};

// The one that is met first.
inline const ByteLimit& Nearest(const ByteLimit& one, const ByteLimit& other) {
  return other.bytes < one.bytes ? other : one;
}

// What the daemon's store has room for beside what else is under way.
inline ByteLimit RoomInStore(uint64_t bytes) {
  return {bytes, "all that the store has left of images.store_mib", Reason::kNoSpace};
}

}  // namespace msb::image

#endif  // MSB_IMAGE_BYTE_LIMIT_H_
