// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/manifest/json.h"

#include <rapidjson/error/en.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb::image {
namespace {

constexpr unsigned kParseFlags =
    rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;

absl::StatusOr<rapidjson::Document> Parse(absl::string_view text, absl::string_view what) {
  rapidjson::Document document;
  document.Parse<kParseFlags>(text.data(), text.size());
  if (!document.HasParseError()) return document;
  return MakeError(
      Reason::kImageInvalid,
      absl::StrCat(what, " is no JSON: ", rapidjson::GetParseError_En(document.GetParseError()),
                   " At byte ", document.GetErrorOffset()));
}

}  // namespace

absl::StatusOr<rapidjson::Document> ParseJsonObject(absl::string_view text,
                                                    absl::string_view what) {
  MSB_ASSIGN_OR_RETURN(rapidjson::Document document, Parse(text, what));
  if (document.IsObject()) return document;
  return MakeError(Reason::kImageInvalid, absl::StrCat(what, " is no JSON object"));
}

absl::StatusOr<rapidjson::Document> ParseJsonList(absl::string_view text, absl::string_view what) {
  MSB_ASSIGN_OR_RETURN(rapidjson::Document document, Parse(text, what));
  if (document.IsArray()) return document;
  return MakeError(Reason::kImageInvalid, absl::StrCat(what, " is no JSON list"));
}

const Json* FindMember(const Json& json, const char* name) {
  if (!json.IsObject()) return nullptr;
  const auto member = json.FindMember(name);
  return member == json.MemberEnd() ? nullptr : &member->value;
}

std::string StringMember(const Json& json, const char* name) {
  const Json* member = FindMember(json, name);
  if (member == nullptr || !member->IsString()) return "";
  return std::string(member->GetString(), member->GetStringLength());
}

const Json* ListMember(const Json& json, const char* name) {
  const Json* member = FindMember(json, name);
  return member != nullptr && member->IsArray() ? member : nullptr;
}

}  // namespace msb::image
