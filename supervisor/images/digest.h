// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// "sha256:" and 64 hexadecimal digits: what a blob, a layer and an image are called by.

#ifndef MSB_SUPERVISOR_IMAGES_DIGEST_H_
#define MSB_SUPERVISOR_IMAGES_DIGEST_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb {

inline constexpr absl::string_view kDigestPrefix = "sha256:";
inline constexpr size_t kDigestHexBytes = 64;

// Lower-case digits alone, so that a digest is fit for a file's name.
bool IsDigest(absl::string_view text);
// Of a digest.
absl::string_view HexOf(absl::string_view digest);

std::string Sha256(absl::string_view bytes);
// Of a whole file, whatever its offset is. kHostError; blocks.
absl::StatusOr<std::string> Sha256OfFile(int fd);

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_DIGEST_H_
