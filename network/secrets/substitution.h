// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Placeholders found in text, and values put in their place. Pure.

#ifndef MSB_NETWORK_SECRETS_SUBSTITUTION_H_
#define MSB_NETWORK_SECRETS_SUBSTITUTION_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace msb::net {

// How a value is written, so that it stays one value where it stands.
enum class Spelling {
  kPlain,    // header fields, text
  kPercent,  // request targets, application/x-www-form-urlencoded
  kJson,     // inside of a JSON string
};
std::string Spell(absl::string_view value, Spelling spelling);

// What a connection may do with each placeholder that the sandbox has.
struct Substitute {
  std::string name;
  std::string placeholder;
  absl::string_view value;  // outlives whoever has the substitute
  bool allowed = false;     // to the host of this connection
};

// Replaces in a stream that comes in pieces: holds back what may be the beginning of a placeholder.
class Substitution {
 public:
  // Told of each placeholder found; returns what stands in its place.
  using OnFound = std::function<std::string(const Substitute&)>;

  // `substitutes` outlive the object.
  Substitution(const std::vector<Substitute>& substitutes, OnFound on_found)
      : substitutes_(substitutes), on_found_(std::move(on_found)) {}

  // Appends to `out`.
  void Feed(absl::string_view piece, std::string& out);
  // Nothing more comes: what was held back.
  void Finish(std::string& out);

 private:
  const std::vector<Substitute>& substitutes_;
  const OnFound on_found_;
  std::string held_;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_SECRETS_SUBSTITUTION_H_
