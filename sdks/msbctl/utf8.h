// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Text that others made, a character at a time.

#ifndef MSB_SDKS_MSBCTL_UTF8_H_
#define MSB_SDKS_MSBCTL_UTF8_H_

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace msb {

struct Character {
  absl::string_view bytes;  // 1 to 4
  uint32_t code = 0;        // its code point; the byte itself when it is not `valid`
  bool valid = false;  // well-formed UTF-8 (RFC 3629); otherwise one byte that is no part of any
};

// Every byte of `text` is in exactly one character.
void ForEachCharacter(absl::string_view text, absl::FunctionRef<void(const Character&)> take);

bool IsUtf8(absl::string_view text);

// What a terminal obeys rather than shows: C0 and C1 controls, and what turns the order of a line
// round (the bidirectional controls) or breaks it.
bool IsInvisible(uint32_t code);

// How many characters `text` has, which is how many columns it takes for most scripts.
size_t Columns(absl::string_view text);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_UTF8_H_
