// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One line per event on stderr: time, level, process, message. Thread-safe: each line is one
// write(2).
//
//   MSB_LOG(kInfo) << "sandbox " << id << " is ready";
//
// Never log what a guest or a client sent without EscapeForLog: a control character forges lines.

#ifndef MSB_BASE_LOG_H_
#define MSB_BASE_LOG_H_

#include <optional>
#include <sstream>
#include <string>

#include "absl/strings/string_view.h"

namespace msb {

enum class LogLevel { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

// Called once, before threads: the process's name in each line, and the lowest level that is
// written.
void InitLog(absl::string_view process, LogLevel lowest);
bool LogEnabled(LogLevel level);

// "debug", "info", "warning", "error"; nullopt for anything else.
std::optional<LogLevel> ParseLogLevel(absl::string_view name);

// `text` with control characters and non-ASCII bytes as \xNN, cut to 512 bytes. What was escaped
// already stays as it is: a message that passes several processes reads the same at its end.
std::string EscapeForLog(absl::string_view text);

class LogLine {
 public:
  explicit LogLine(LogLevel level) : level_(level) {}
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;
  ~LogLine();
  std::ostream& stream() { return stream_; }

 private:
  LogLevel level_;
  std::ostringstream stream_;
};

}  // namespace msb

#define MSB_LOG(level)                              \
  if (!::msb::LogEnabled(::msb::LogLevel::level)) { \
  } else /* NOLINT */                               \
    ::msb::LogLine(::msb::LogLevel::level).stream()

#endif  // MSB_BASE_LOG_H_
