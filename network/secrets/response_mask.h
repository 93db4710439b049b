// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Overwrites what was sent for a secret where the host's answers repeat it in the same spelling:
// by as many asterisks, so that no length changes and nothing of HTTP has to be understood. A help
// against error messages and debug pages, no wall: a host that may have a secret can always tell
// it.

#ifndef MSB_NETWORK_SECRETS_RESPONSE_MASK_H_
#define MSB_NETWORK_SECRETS_RESPONSE_MASK_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace msb::net {

class ResponseMask {
 public:
  // Shorter ones would blot out what only looks like them.
  static constexpr size_t kMinBytes = 8;
  // Different spellings on one connection; further ones are not looked for.
  static constexpr size_t kMaxPatterns = 64;

  ~ResponseMask();

  void Add(absl::string_view sent);
  // Appends to `out` what is decided; holds back what may be the beginning of a pattern.
  void Feed(absl::string_view piece, std::string& out);
  void Finish(std::string& out);

 private:
  struct Pattern {
    std::string text;
    std::vector<size_t> fallback;  // Knuth, Morris, Pratt: state behind a mismatch
    size_t state = 0;              // how much of `text` the stream ends with
  };

  std::vector<Pattern> patterns_;
  std::string held_;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_SECRETS_RESPONSE_MASK_H_
