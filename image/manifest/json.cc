// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/manifest/json.h"

#include <rapidjson/error/en.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"

namespace msb::image {
namespace {

constexpr unsigned kParseFlags =
    rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;

}  // namespace

absl::StatusOr<rapidjson::Document> ParseJsonObject(absl::string_view text,
                                                    absl::string_view what) {
  rapidjson::Document document;
  document.Parse<kParseFlags>(text.data(), text.size());
  if (document.HasParseError()) {
    return MakeError(
        Reason::kImageInvalid,
        absl::StrCat(what, " is no JSON: ", rapidjson::GetParseError_En(document.GetParseError()),
                     " At byte ", document.GetErrorOffset()));
  }
  if (!document.IsObject()) {
    return MakeError(Reason::kImageInvalid, absl::StrCat(what, " is no JSON object"));
  }
  return document;
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
