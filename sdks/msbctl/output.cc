// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "sdks/msbctl/suggestion.h"
#include "sdks/msbctl/utf8.h"

namespace msb {
namespace {

constexpr size_t kGap = 3;        // between columns
constexpr size_t kLeastCut = 12;  // of a column that is cut

struct Unit {
  absl::string_view name;
  double factor;
};

// Splits "1.5GiB" into 1.5 and the factor of "GiB"; false when it is neither.
bool ParseWithUnit(absl::string_view text, absl::Span<const Unit> units, double& value) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  if (!absl::SimpleAtod(text.substr(0, digits), &value)) return false;
  const std::string unit = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text.substr(digits)));
  for (const Unit& known : units) {
    if (unit != known.name) continue;
    value *= known.factor;
    return std::isfinite(value);
  }
  return false;
}

bool IsPlain(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
    constexpr std::string_view kPlain = "_-./=:,@%+";
    return absl::ascii_isalnum(c) || kPlain.find(static_cast<char>(c)) != kPlain.npos;
  });
}

std::string Quoted(const std::string& word) {
  if (IsPlain(word)) return word;
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

std::string Table::ToString(size_t columns) const {
  std::vector<size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Columns(row[i]));
  }
  size_t before = 0;  // of the last column
  for (size_t i = 0; i + 1 < widths.size(); ++i) before += widths[i] + kGap;
  const size_t least = std::max(kLeastCut, Columns(rows_.front().back()));
  const size_t last = columns == 0 ? 0 : std::max(columns - std::min(columns, before), least);
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      line += row[i];
      line.append(widths[i] - Columns(row[i]) + kGap, ' ');
    }
    line += Cut(row.back(), last);
    absl::StrAppend(&out, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return out;
}

void Table::Print() const { std::fputs(ToString(TerminalColumns(STDOUT_FILENO)).c_str(), stdout); }

size_t TerminalColumns(int fd) {
  winsize size{};
  return ::isatty(fd) != 0 && ::ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

bool IsSmartTerminal(int fd) {
  const char* term = std::getenv("TERM");
  return ::isatty(fd) != 0 && term != nullptr && std::string_view(term) != "dumb";
}

bool TakesColour(int fd) {
  const char* forbidden = std::getenv("NO_COLOR");
  return IsSmartTerminal(fd) && (forbidden == nullptr || *forbidden == '\0');
}

std::string Ago(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0) return "-";
  const absl::Duration since = absl::Now() - absl::FromUnixSeconds(time.seconds());
  const auto say = [](int64_t count, absl::string_view unit) {
    return absl::StrCat(count, " ", unit, count == 1 ? "" : "s", " ago");
  };
  if (since < absl::Minutes(1))
    return say(std::max<int64_t>(absl::ToInt64Seconds(since), 0), "second");
  if (since < absl::Hours(1)) return say(absl::ToInt64Minutes(since), "minute");
  if (since < absl::Hours(48)) return say(absl::ToInt64Hours(since), "hour");
  return say(absl::ToInt64Hours(since) / 24, "day");
}

std::string Bytes(uint64_t bytes) {
  static constexpr absl::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat(unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
}

std::string ForPeople(const google::protobuf::Duration& duration) {
  const double seconds = static_cast<double>(duration.seconds()) + duration.nanos() / 1e9;
  if (seconds < 1) return absl::StrFormat("%.0f ms", seconds * 1000);
  if (seconds < 60) return absl::StrFormat("%.1f s", seconds);
  const int64_t minutes = duration.seconds() / 60;
  if (minutes < 60) return absl::StrFormat("%d min %d s", minutes, duration.seconds() % 60);
  return absl::StrFormat("%d h %d min", minutes / 60, minutes % 60);
}

absl::StatusOr<google::protobuf::Duration> ParseDuration(absl::string_view text) {
  static constexpr Unit kUnits[] = {{"", 1},   {"s", 1},    {"sec", 1},  {"ms", 1e-3}, {"us", 1e-6},
                                    {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
  double seconds = 0;
  if (!ParseWithUnit(text, kUnits, seconds) || seconds > 1e10) {
    return MakeError(
        Reason::kInvalidArgument,
        absl::StrCat("'", text, "' is no duration; write 90, 1.5s, 300ms, 10m, 2h or 1d"));
  }
  google::protobuf::Duration duration;
  duration.set_seconds(static_cast<int64_t>(seconds));
  duration.set_nanos(static_cast<int32_t>((seconds - std::floor(seconds)) * 1e9));
  return duration;
}

absl::StatusOr<uint32_t> ParseMebibytes(absl::string_view text) {
  static constexpr Unit kUnits[] = {{"", 1},       {"m", 1},           {"mb", 1},
                                    {"mib", 1},    {"g", 1024},        {"gb", 1024},
                                    {"gib", 1024}, {"t", 1024 * 1024}, {"tib", 1024 * 1024}};
  double mebibytes = 0;
  if (!ParseWithUnit(text, kUnits, mebibytes) || mebibytes > 4e9) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("'", text, "' is no size; write 512, 512M or 2G"));
  }
  return static_cast<uint32_t>(mebibytes);
}

std::string CommandLine(const google::protobuf::RepeatedPtrField<std::string>& argv) {
  return Printable(absl::StrJoin(
      argv, " ", [](std::string* out, const std::string& word) { out->append(Quoted(word)); }));
}

std::string Cut(absl::string_view text, size_t columns) {
  constexpr absl::string_view kMore = "...";
  if (columns == 0 || Columns(text) <= columns) return std::string(text);
  std::string out;
  size_t taken = 0;
  ForEachCharacter(text, [&](const Character& character) {
    if (taken++ + kMore.size() < columns) absl::StrAppend(&out, character.bytes);
  });
  return absl::StrCat(out, kMore.substr(0, columns));
}

std::string Printable(absl::string_view text) {
  std::string out;
  ForEachCharacter(text, [&out](const Character& character) {
    if (character.code == '\n') {
      out += "\\n";
    } else if (!character.valid || character.code < 0x80) {
      const bool shown = character.valid && !IsInvisible(character.code);
      absl::StrAppend(
          &out, shown ? std::string(character.bytes) : absl::StrFormat("\\x%02x", character.code));
    } else if (IsInvisible(character.code)) {
      absl::StrAppendFormat(&out, "\\u%04x", character.code);
    } else {
      absl::StrAppend(&out, character.bytes);
    }
  });
  return out;
}

void PrintError(const absl::Status& status) {
  const Reason reason = ReasonOf(status);
  std::string text = absl::StrCat("msbctl: ", Printable(status.message()));
  if (reason != Reason::kUnspecified) absl::StrAppend(&text, " [", ReasonName(reason), "]");
  if (const std::string step = NextStep(status); !step.empty()) {
    absl::StrAppend(&text, "\n  -> ", step);
  }
  std::fprintf(stderr, "%s\n", text.c_str());
}

}  // namespace msb
