// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/utf8.h"

namespace msb {
namespace {

// The least code point that needs `size` bytes: a longer form of a smaller one is malformed.
constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
constexpr uint32_t kMost = 0x10FFFF;

size_t SizeOf(unsigned char lead) {
  if (lead < 0x80) return 1;
  if ((lead & 0xE0) == 0xC0) return 2;
  if ((lead & 0xF0) == 0xE0) return 3;
  if ((lead & 0xF8) == 0xF0) return 4;
  return 0;
}

Character FirstOf(absl::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t size = SizeOf(lead);
  const Character malformed{text.substr(0, 1), lead, false};
  if (size == 0 || size > text.size()) return malformed;
  uint32_t code = size == 1 ? lead : lead & (0x7Fu >> size);
  for (const char c : text.substr(1, size - 1)) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) != 0x80) return malformed;
    code = code << 6 | (byte & 0x3F);
  }
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < kLeast[size] || code > kMost || surrogate) return malformed;
  return {text.substr(0, size), code, true};
}

}  // namespace

void ForEachCharacter(absl::string_view text, absl::FunctionRef<void(const Character&)> take) {
  while (!text.empty()) {
    const Character first = FirstOf(text);
    take(first);
    text.remove_prefix(first.bytes.size());
  }
}

bool IsUtf8(absl::string_view text) {
  bool valid = true;
  ForEachCharacter(text, [&valid](const Character& character) { valid &= character.valid; });
  return valid;
}

bool IsInvisible(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x200E || code == 0x200F ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

size_t Columns(absl::string_view text) {
  size_t count = 0;
  ForEachCharacter(text, [&count](const Character&) { ++count; });
  return count;
}

}  // namespace msb
