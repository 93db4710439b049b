// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// JSON that a registry or an archive sends: hostile. The parser keeps its own stack, what it makes
// is bounded by the size of the text, and every member is looked at before it is believed.

#ifndef MSB_IMAGE_MANIFEST_JSON_H_
#define MSB_IMAGE_MANIFEST_JSON_H_

#include <rapidjson/document.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb::image {

using Json = rapidjson::Value;

// An object. kImageInvalid for anything else; `what` names it for a person: "the manifest".
absl::StatusOr<rapidjson::Document> ParseJsonObject(absl::string_view text, absl::string_view what);
// The same, a list.
absl::StatusOr<rapidjson::Document> ParseJsonList(absl::string_view text, absl::string_view what);

// A member of `json`, nullptr when `json` is no object or has none of this name. Of several members
// of one name it is the first.
const Json* FindMember(const Json& json, const char* name);

// An absent member, or one of another type, is empty.
std::string StringMember(const Json& json, const char* name);
// nullptr when the member is absent or no list.
const Json* ListMember(const Json& json, const char* name);

}  // namespace msb::image

#endif  // MSB_IMAGE_MANIFEST_JSON_H_
