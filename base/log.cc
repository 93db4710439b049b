// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/log.h"

#include <unistd.h>

#include <ctime>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"

namespace msb {
namespace {

constexpr size_t kMaxEscapedBytes = 512;

// Leaked on purpose: a line may be logged while statics are destroyed.
std::string& ProcessName() {
  static std::string& name = *new std::string("msb");
  return name;
}
LogLevel lowest_level = LogLevel::kInfo;

char LevelLetter(LogLevel level) { return "DIWE"[static_cast<int>(level)]; }

}  // namespace

void InitLog(absl::string_view process, LogLevel lowest) {
  ProcessName() = std::string(process);
  lowest_level = lowest;
}

bool LogEnabled(LogLevel level) { return level >= lowest_level; }

std::optional<LogLevel> ParseLogLevel(absl::string_view name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "info") return LogLevel::kInfo;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  return std::nullopt;
}

std::string EscapeForLog(absl::string_view text) {
  std::string escaped;
  for (const char byte : text.substr(0, kMaxEscapedBytes)) {
    if (absl::ascii_isprint(byte)) {
      escaped.push_back(byte);
    } else {
      absl::StrAppendFormat(&escaped, "\\x%02x", static_cast<unsigned char>(byte));
    }
  }
  if (text.size() > kMaxEscapedBytes) escaped += "...";
  return escaped;
}

LogLine::~LogLine() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  const std::string line = absl::StrFormat(
      "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ %c %s[%d] %s\n", utc.tm_year + 1900, utc.tm_mon + 1,
      utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1000, LevelLetter(level_),
      ProcessName(), ::getpid(), stream_.str());
  // A log that cannot be written has nowhere to complain to.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace msb
