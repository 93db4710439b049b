// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/tar/number.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"

namespace msb::image::tar {
namespace {

constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
constexpr size_t kNanosecondDigits = 9;

// The first byte's highest bit says that this is no text; the next one is the sign, of two's
// complement over the whole field.
std::optional<int64_t> ParseBase256(absl::string_view field) {
  const bool negative = (static_cast<uint8_t>(field[0]) & 0x40) != 0;
  const uint8_t fill = negative ? 0xff : 0;
  uint64_t value = 0;
  for (size_t i = 0; i < field.size(); ++i) {
    // Complemented when negative: what overflows then is what overflows when positive.
    uint8_t byte = static_cast<uint8_t>(field[i]) ^ fill;
    if (i == 0) byte &= 0x7f;
    if ((value >> 55) != 0) return std::nullopt;
    value = (value << 8) | byte;
  }
  if (value > kMax) return std::nullopt;
  const auto positive = static_cast<int64_t>(value);
  return negative ? -positive - 1 : positive;
}

std::optional<uint64_t> ParseDigits(absl::string_view text, uint64_t base) {
  if (text.empty()) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || static_cast<uint64_t>(c - '0') >= base) return std::nullopt;
    const auto digit = static_cast<uint64_t>(c - '0');
    if (value > (kMax - digit) / base) return std::nullopt;
    value = value * base + digit;
  }
  return value;
}

}  // namespace

std::optional<int64_t> ParseField(absl::string_view field) {
  if (!field.empty() && (static_cast<uint8_t>(field[0]) & 0x80) != 0) return ParseBase256(field);
  const auto is_filling = [](char c) { return c == ' ' || c == '\0'; };
  while (!field.empty() && is_filling(field.front())) field.remove_prefix(1);
  while (!field.empty() && is_filling(field.back())) field.remove_suffix(1);
  if (field.empty()) return 0;
  const std::optional<uint64_t> value = ParseDigits(field, 8);
  if (!value) return std::nullopt;
  return static_cast<int64_t>(*value);
}

std::optional<uint64_t> ParseDecimal(absl::string_view text) { return ParseDigits(text, 10); }

std::optional<FileTime> ParseTime(absl::string_view text) {
  const bool negative = absl::ConsumePrefix(&text, "-");
  const size_t point = text.find('.');
  const std::optional<uint64_t> seconds = ParseDecimal(text.substr(0, point));
  if (!seconds) return std::nullopt;
  uint32_t nanoseconds = 0;
  if (point != absl::string_view::npos) {
    const absl::string_view fraction = text.substr(point + 1);
    if (!std::all_of(fraction.begin(), fraction.end(), absl::ascii_isdigit)) return std::nullopt;
    for (size_t i = 0; i < kNanosecondDigits; ++i) {
      const uint32_t digit = i < fraction.size() ? static_cast<uint32_t>(fraction[i] - '0') : 0;
      nanoseconds = nanoseconds * 10 + digit;
    }
  }
  FileTime time = {.seconds = static_cast<int64_t>(*seconds), .nanoseconds = nanoseconds};
  if (!negative) return time;
  time.seconds = -time.seconds;
  if (nanoseconds != 0) {
    --time.seconds;
    time.nanoseconds = 1'000'000'000 - nanoseconds;
  }
  return time;
}

}  // namespace msb::image::tar
