// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The WWW-Authenticate header (RFC 9110, 11.6.1). Pure; what cannot be understood is left out.

#ifndef MSB_IMAGE_REGISTRY_CHALLENGE_H_
#define MSB_IMAGE_REGISTRY_CHALLENGE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace msb::image {

struct Challenge {
  std::string scheme;                                           // "bearer", in lower case
  std::vector<std::pair<std::string, std::string>> parameters;  // names in lower case

  // The first parameter of this name, or empty.
  absl::string_view Get(absl::string_view name) const;
};

// Of one header, which may hold several challenges.
std::vector<Challenge> ParseChallenges(absl::string_view header);

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_CHALLENGE_H_
