// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What people read (tables) and what programs read (JSON).

#ifndef MSB_SDKS_MSBCTL_OUTPUT_H_
#define MSB_SDKS_MSBCTL_OUTPUT_H_

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb {

enum class Format { kTable, kJson };

// Columns as wide as their widest cell; no line ends in blanks.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// The message in proto3's JSON form with the field names of the .proto; 64-bit integers are
// strings.
std::string ToJson(const google::protobuf::Message& message);
// One object a line, for streams.
std::string ToJsonLine(const google::protobuf::Message& message);

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

// "python3 -c 'print(6*7)'" as a shell would take it, cut to `width` columns.
std::string CommandLine(const google::protobuf::RepeatedPtrField<std::string>& argv, size_t width);

// `text` without what a terminal would obey: names, details and command lines may be a guest's.
std::string Printable(absl::string_view text);

// "msbctl: <message> [<REASON>]" on stderr.
void PrintError(const absl::Status& status);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_OUTPUT_H_
