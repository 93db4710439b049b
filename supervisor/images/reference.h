// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Names of images as Docker's users write them (the grammar of github.com/distribution/reference).

#ifndef MSB_SUPERVISOR_IMAGES_REFERENCE_H_
#define MSB_SUPERVISOR_IMAGES_REFERENCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb {

inline constexpr absl::string_view kDockerHub = "docker.io";

struct ImageReference {
  std::string registry;    // "docker.io", "localhost:5000", "[::1]:5000"
  std::string repository;  // "library/debian"
  std::string tag;         // "latest" unless there is a digest; may stand beside one
  std::string digest;      // "sha256:..." or empty

  // What a registry is asked for: the digest where there is one.
  const std::string& Wanted() const { return digest.empty() ? tag : digest; }
  // The full name that the store knows it by. A tag beside a digest says nothing any more.
  std::string Name() const;
  // The same as short as it can be written: "debian:12".
  std::string ShortName() const;
};

// kInvalidArgument with what is wrong and how a name looks.
absl::StatusOr<ImageReference> ParseReference(absl::string_view text);

// A word that may be a built-in image's: no registry, tag or digest. As a sandbox's name.
bool IsPlainWord(absl::string_view text);

// "sha256:" and 12 to 64 digits: an image of the store by its digest, or the beginning of it.
bool IsDigestPrefix(absl::string_view text);

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_REFERENCE_H_
