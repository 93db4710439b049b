// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What people read: tables, quantities, errors. What programs read is in json.h.

#ifndef MSB_SDKS_MSBCTL_OUTPUT_H_
#define MSB_SDKS_MSBCTL_OUTPUT_H_

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sdks/msbctl/json.h"

namespace msb {

enum class Format { kTable, kJson };

// Columns as wide as their widest cell; no line ends in blanks.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // The last column is cut where a line would be longer than `columns`, but not below its header
  // or kLeastCut; 0: nothing is cut.
  std::string ToString(size_t columns = 0) const;
  // On standard output, cut to the terminal when it is one.
  void Print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// The width of the terminal that `fd` is; 0 when it is none.
size_t TerminalColumns(int fd);
// Whether `fd` is a terminal that knows escape sequences (TERM is not "dumb").
bool IsSmartTerminal(int fd);
// The same for colours, which NO_COLOR (https://no-color.org) forbids.
bool TakesColour(int fd);

// "3 minutes ago", "2 days ago"; "-" for no time.
std::string Ago(const google::protobuf::Timestamp& time);
// "1.5 GiB", "312 B".
std::string Bytes(uint64_t bytes);
// "1.2 s", "380 ms", "2 h 5 min".
std::string ForPeople(const google::protobuf::Duration& duration);

// "90", "1.5s", "300ms", "10m", "2h", "1d"; a bare number is seconds. kInvalidArgument otherwise,
// and for what is negative.
absl::StatusOr<google::protobuf::Duration> ParseDuration(absl::string_view text);
// "512", "512M", "2G", "1.5GiB" in MiB; a bare number is MiB.
absl::StatusOr<uint32_t> ParseMebibytes(absl::string_view text);

// "python3 -c 'print(6*7)'" as a shell would take it.
std::string CommandLine(const google::protobuf::RepeatedPtrField<std::string>& argv);

// `text`, or as much of it as fits `columns` with "..." behind it; 0: no limit.
std::string Cut(absl::string_view text, size_t columns);

// `text` without what a terminal would obey (control characters, changes of direction) and what is
// no UTF-8, as escapes: names, details and command lines may be a guest's.
std::string Printable(absl::string_view text);

// "msbctl: <message> [<REASON>]" on stderr and, where there is one, the next step below it.
void PrintError(const absl::Status& status);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_OUTPUT_H_
