// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What programs read: messages of the API as JSON, in the words that people read elsewhere.
//
// The shape is the .proto's, with its field names. Unlike proto3's own mapping an enum is the word
// that tables and documents use ("running", "qemu", "VMM_DIED"; "" for none) and a 64-bit integer
// is a number. Times are RFC 3339 in UTC, durations "1.500s", bytes base64. Scalars, lists and maps
// are always there; a message, or an optional field, that is not set is left out.

#ifndef MSB_SDKS_MSBCTL_JSON_H_
#define MSB_SDKS_MSBCTL_JSON_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/generated_enum_reflection.h>
#include <google/protobuf/message.h>

#include <string>

#include "absl/strings/string_view.h"

namespace msb {

// Over several lines, for one answer.
std::string ToJson(const google::protobuf::Message& message);
// One object a line, for streams.
std::string ToJsonLine(const google::protobuf::Message& message);

// The value's name without that of its type: "running" of SANDBOX_STATE_RUNNING; a reason keeps its
// capitals, since that is how docs/errors.md spells it. "" for what is unspecified.
std::string WordOf(const google::protobuf::EnumValueDescriptor& value);

// The same; the number in digits for a value that a newer daemon knows.
template <typename Enum>
std::string WordOf(Enum value) {
  const auto* found = google::protobuf::GetEnumDescriptor<Enum>()->FindValueByNumber(value);
  return found != nullptr ? WordOf(*found) : std::to_string(static_cast<int>(value));
}

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_JSON_H_
