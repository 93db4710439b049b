// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/json.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "sdks/msbctl/utf8.h"

namespace msb {
namespace {

using google::protobuf::Duration;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::Timestamp;

constexpr int kIndent = 2;

std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  ForEachCharacter(text, [&out](const Character& character) {
    if (character.bytes == "\"" || character.bytes == "\\") {
      absl::StrAppend(&out, "\\", character.bytes);
    } else if (character.bytes == "\n") {
      out += "\\n";
    } else if (!character.valid) {
      out += "\\ufffd";
    } else if (IsInvisible(character.code)) {
      absl::StrAppendFormat(&out, "\\u%04x", character.code);
    } else {
      absl::StrAppend(&out, character.bytes);
    }
  });
  return out + "\"";
}

// "SANDBOX_STATE_" of SandboxState.
std::string PrefixOf(const EnumDescriptor& type) {
  std::string prefix;
  for (const char c : type.name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return prefix + "_";
}

std::string ToText(const Timestamp& time) {
  return Quoted(
      absl::FormatTime("%Y-%m-%d%ET%H:%M:%E*SZ",
                       absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos()),
                       absl::UTCTimeZone()));
}

// As proto3 has it: 0, 3, 6 or 9 digits behind the point.
std::string ToText(const Duration& duration) {
  const int64_t nanos = std::abs(int64_t{duration.nanos()});
  const bool negative = duration.seconds() < 0 || duration.nanos() < 0;
  std::string out = absl::StrCat(negative ? "-" : "", std::abs(duration.seconds()));
  if (nanos % 1'000'000 == 0 && nanos != 0) {
    absl::StrAppendFormat(&out, ".%03d", nanos / 1'000'000);
  } else if (nanos % 1'000 == 0 && nanos != 0) {
    absl::StrAppendFormat(&out, ".%06d", nanos / 1'000);
  } else if (nanos != 0) {
    absl::StrAppendFormat(&out, ".%09d", nanos);
  }
  return Quoted(out + "s");
}

class Printer {
 public:
  explicit Printer(bool pretty) : pretty_(pretty) {}

  std::string Print(const Message& message, int depth) const {
    if (const auto* time = dynamic_cast<const Timestamp*>(&message)) return ToText(*time);
    if (const auto* duration = dynamic_cast<const Duration*>(&message)) return ToText(*duration);
    std::vector<std::string> members;
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor& field = *message.GetDescriptor()->field(i);
      // What is not set: a message, an optional field, one of several that exclude each other.
      if (field.has_presence() && !message.GetReflection()->HasField(message, &field)) continue;
      members.push_back(absl::StrCat(Quoted(field.name()), pretty_ ? ": " : ":",
                                     Field(message, field, depth + 1)));
    }
    return Enclosed('{', members, '}', depth);
  }

 private:
  std::string Field(const Message& message, const FieldDescriptor& field, int depth) const {
    if (field.is_map()) return Map(message, field, depth);
    if (!field.is_repeated()) return Scalar(message, field, -1, depth);
    std::vector<std::string> elements;
    for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
      elements.push_back(Scalar(message, field, i, depth + 1));
    }
    return Enclosed('[', elements, ']', depth);
  }

  // Sorted, so that the same answer is the same text.
  std::string Map(const Message& message, const FieldDescriptor& field, int depth) const {
    std::map<std::string, std::string> sorted;
    for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
      const Message& entry = message.GetReflection()->GetRepeatedMessage(message, &field, i);
      std::string key = Scalar(entry, *field.message_type()->map_key(), -1, depth + 1);
      if (key.front() != '"') key = Quoted(key);
      sorted[key] = Scalar(entry, *field.message_type()->map_value(), -1, depth + 1);
    }
    std::vector<std::string> members;
    for (const auto& [key, value] : sorted) {
      members.push_back(absl::StrCat(key, pretty_ ? ": " : ":", value));
    }
    return Enclosed('{', members, '}', depth);
  }

  // `index` below 0: of a field that is not repeated.
  std::string Scalar(const Message& message, const FieldDescriptor& field, int index,
                     int depth) const {
    const Reflection& reader = *message.GetReflection();
    const auto get = [&](auto one, auto of_many) {
      return index < 0 ? (reader.*one)(message, &field) : (reader.*of_many)(message, &field, index);
    };
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return absl::StrCat(get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32));
      case FieldDescriptor::CPPTYPE_INT64:
        return absl::StrCat(get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64));
      case FieldDescriptor::CPPTYPE_UINT32:
        return absl::StrCat(get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32));
      case FieldDescriptor::CPPTYPE_UINT64:
        return absl::StrCat(get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64));
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return absl::StrFormat("%.17g",
                               get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble));
      case FieldDescriptor::CPPTYPE_FLOAT:
        return absl::StrFormat("%.9g", get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat));
      case FieldDescriptor::CPPTYPE_BOOL:
        return get(&Reflection::GetBool, &Reflection::GetRepeatedBool) ? "true" : "false";
      case FieldDescriptor::CPPTYPE_ENUM:
        return Quoted(WordOf(*get(&Reflection::GetEnum, &Reflection::GetRepeatedEnum)));
      case FieldDescriptor::CPPTYPE_STRING: {
        const std::string text = get(&Reflection::GetString, &Reflection::GetRepeatedString);
        const bool bytes = field.type() == FieldDescriptor::TYPE_BYTES;
        return Quoted(bytes ? absl::Base64Escape(text) : text);
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Print(index < 0 ? reader.GetMessage(message, &field)
                               : reader.GetRepeatedMessage(message, &field, index),
                     depth);
    }
    return "null";
  }

  std::string Enclosed(char open, const std::vector<std::string>& items, char close,
                       int depth) const {
    std::string out(1, open);
    absl::string_view separator;
    for (const std::string& item : items) {
      absl::StrAppend(&out, separator, NewLine(depth + 1), item);
      separator = ",";
    }
    if (!items.empty()) absl::StrAppend(&out, NewLine(depth));
    out += close;
    return out;
  }

  std::string NewLine(int depth) const {
    return pretty_ ? absl::StrCat("\n", std::string(static_cast<size_t>(depth * kIndent), ' '))
                   : "";
  }

  const bool pretty_;
};

}  // namespace

std::string WordOf(const EnumValueDescriptor& value) {
  absl::string_view word = value.name();
  const std::string prefix = PrefixOf(*value.type());
  if (word.substr(0, prefix.size()) == prefix) word.remove_prefix(prefix.size());
  if (word == "UNSPECIFIED") return "";
  return value.type()->name() == "Reason" ? std::string(word) : absl::AsciiStrToLower(word);
}

std::string ToJson(const Message& message) { return Printer(true).Print(message, 0) + "\n"; }

std::string ToJsonLine(const Message& message) { return Printer(false).Print(message, 0) + "\n"; }

}  // namespace msb
