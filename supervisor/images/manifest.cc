// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/manifest.h"

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/images/digest.h"

namespace msb {
namespace {

using Json = rapidjson::Value;

// The parser recurses on the stack of the calling thread unless it is told not to.
constexpr unsigned kParseFlags =
    rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;
// Linux takes no argument block larger than this by far; a configuration beyond it is no honest
// one.
constexpr size_t kMaxEnvVariables = 1024;
constexpr size_t kMaxWords = 1024;
constexpr size_t kMaxLabels = 1024;
constexpr size_t kMaxEmbedded = 1024;  // manifests of an index

absl::Status Invalid(absl::string_view document, absl::string_view what) {
  return MakeError(Reason::kImageInvalid, absl::StrCat("the image's ", document, ": ", what));
}

absl::StatusOr<rapidjson::Document> Parse(absl::string_view document, absl::string_view json,
                                          const ManifestLimits& limits) {
  if (json.size() > limits.max_bytes) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat("the image's ", document, " has ", json.size(),
                                  " bytes; at most ", limits.max_bytes, " are taken"));
  }
  rapidjson::Document parsed;
  parsed.Parse<kParseFlags>(json.data(), json.size());
  if (parsed.HasParseError()) {
    return Invalid(document, absl::StrCat(rapidjson::GetParseError_En(parsed.GetParseError()),
                                          " (byte ", parsed.GetErrorOffset(), ")"));
  }
  if (!parsed.IsObject()) return Invalid(document, "is no object");
  return parsed;
}

std::string ToString(const Json& json) {
  return std::string(json.GetString(), json.GetStringLength());
}

// nullptr when it is not there, or null: Go's tools write nil slices so.
const Json* Member(const Json& object, const char* key) {
  const auto member = object.FindMember(key);
  return member == object.MemberEnd() || member->value.IsNull() ? nullptr : &member->value;
}

bool HasNul(absl::string_view text) { return text.find('\0') != absl::string_view::npos; }

absl::Status ReadString(const Json& object, const char* key, std::string& out) {
  const Json* json = Member(object, key);
  if (json == nullptr) return absl::OkStatus();
  if (!json->IsString()) return Invalid("configuration", absl::StrCat(key, " is no string"));
  out = ToString(*json);
  if (HasNul(out)) return Invalid("configuration", absl::StrCat(key, " has a NUL"));
  return absl::OkStatus();
}

absl::Status ReadStrings(const Json& object, const char* key, size_t max,
                         std::vector<std::string>& out) {
  const Json* json = Member(object, key);
  if (json == nullptr) return absl::OkStatus();
  if (!json->IsArray()) return Invalid("configuration", absl::StrCat(key, " is no list"));
  if (json->Size() > max) {
    return Invalid("configuration", absl::StrCat(key, " has more than ", max, " items"));
  }
  for (const Json& item : json->GetArray()) {
    if (!item.IsString()) {
      return Invalid("configuration", absl::StrCat(key, " has an item that is no string"));
    }
    out.push_back(ToString(item));
    if (HasNul(out.back())) return Invalid("configuration", absl::StrCat(key, " has a NUL"));
  }
  return absl::OkStatus();
}

absl::Status ReadEnv(const Json& object, std::map<std::string, std::string>& env) {
  std::vector<std::string> list;
  MSB_RETURN_IF_ERROR(ReadStrings(object, "Env", kMaxEnvVariables, list));
  for (const std::string& variable : list) {
    const size_t equals = variable.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return Invalid("configuration", "Env has an item that is no NAME=value");
    }
    env[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  return absl::OkStatus();
}

absl::Status ReadLabels(const Json& object, std::map<std::string, std::string>& labels) {
  const Json* json = Member(object, "Labels");
  if (json == nullptr) return absl::OkStatus();
  if (!json->IsObject()) return Invalid("configuration", "Labels is no object");
  if (json->MemberCount() > kMaxLabels) {
    return Invalid("configuration", absl::StrCat("more than ", kMaxLabels, " labels"));
  }
  for (const auto& label : json->GetObject()) {
    if (!label.value.IsString()) return Invalid("configuration", "a label is no string");
    labels[ToString(label.name)] = ToString(label.value);
  }
  return absl::OkStatus();
}

absl::Status ReadDiffIds(const Json& root, const ManifestLimits& limits,
                         std::vector<std::string>& diff_ids) {
  const Json* rootfs = Member(root, "rootfs");
  if (rootfs == nullptr || !rootfs->IsObject()) return Invalid("configuration", "no rootfs");
  MSB_RETURN_IF_ERROR(ReadStrings(*rootfs, "diff_ids", limits.max_layers, diff_ids));
  for (const std::string& diff_id : diff_ids) {
    if (!IsDigest(diff_id)) return Invalid("configuration", "a diff id is no sha256 digest");
  }
  return absl::OkStatus();
}

absl::StatusOr<BlobDescriptor> ReadDescriptor(const Json& json, const ManifestLimits& limits) {
  if (!json.IsObject()) return Invalid("manifest", "a descriptor is no object");
  const Json* digest = Member(json, "digest");
  const Json* size = Member(json, "size");
  if (digest == nullptr || !digest->IsString() || size == nullptr || !size->IsUint64()) {
    return Invalid("manifest", "a descriptor has no digest or no size");
  }
  BlobDescriptor blob{.digest = ToString(*digest), .size = size->GetUint64()};
  if (!IsDigest(blob.digest)) {
    return MakeError(Reason::kImageUnsupported,
                     absl::StrCat("the image's manifest: '",
                                  EscapeForLog(absl::string_view(blob.digest).substr(0, 80)),
                                  "' is no sha256 digest, and no other kind is known"));
  }
  if (blob.size > limits.max_blob_bytes) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat(blob.digest, " has ", blob.size, " bytes; at most ",
                                  limits.max_blob_bytes, " are taken (images.max_blob_mib)"));
  }
  return blob;
}

// A layer that the registry may not hand out is somewhere else, and nobody can say what it is.
bool IsForeign(const Json& layer) {
  const Json* type = Member(layer, "mediaType");
  return type != nullptr && type->IsString() &&
         (absl::StrContains(type->GetString(), "nondistributable") ||
          absl::StrContains(type->GetString(), ".foreign."));
}

}  // namespace

absl::StatusOr<ImageManifest> ParseManifest(absl::string_view json, const ManifestLimits& limits) {
  MSB_ASSIGN_OR_RETURN(const rapidjson::Document document, Parse("manifest", json, limits));
  const Json* version = Member(document, "schemaVersion");
  if (version == nullptr || !version->IsInt() || version->GetInt() != 2) {
    return MakeError(Reason::kImageUnsupported,
                     "the image's manifest is not of schema version 2; push the image again with a "
                     "current tool");
  }
  ImageManifest manifest;
  const Json* config = Member(document, "config");
  if (config == nullptr) return Invalid("manifest", "no config");
  MSB_ASSIGN_OR_RETURN(manifest.config, ReadDescriptor(*config, limits));
  const Json* layers = Member(document, "layers");
  if (layers == nullptr || !layers->IsArray()) return Invalid("manifest", "no layers");
  if (layers->Size() > limits.max_layers) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat("the image has ", layers->Size(), " layers; at most ",
                                  limits.max_layers, " are taken (images.max_layers)"));
  }
  for (const Json& layer : layers->GetArray()) {
    MSB_ASSIGN_OR_RETURN(BlobDescriptor blob, ReadDescriptor(layer, limits));
    if (IsForeign(layer)) {
      return MakeError(Reason::kImageUnsupported,
                       absl::StrCat("layer ", blob.digest, " may not be distributed"));
    }
    manifest.layers.push_back(std::move(blob));
  }
  if (manifest.layers.empty()) {
    return MakeError(Reason::kImageUnsupported, "the image has no layer: there is nothing to run");
  }
  return manifest;
}

absl::StatusOr<bool> IndexHas(absl::string_view json, absl::string_view manifest_digest,
                              const ManifestLimits& limits) {
  MSB_ASSIGN_OR_RETURN(const rapidjson::Document document, Parse("index", json, limits));
  const Json* manifests = Member(document, "manifests");
  if (manifests == nullptr || !manifests->IsArray()) return Invalid("index", "no manifests");
  if (manifests->Size() > kMaxEmbedded) {
    return Invalid("index", absl::StrCat("more than ", kMaxEmbedded, " manifests"));
  }
  for (const Json& manifest : manifests->GetArray()) {
    const Json* digest = manifest.IsObject() ? Member(manifest, "digest") : nullptr;
    if (digest != nullptr && digest->IsString() && ToString(*digest) == manifest_digest)
      return true;
  }
  return false;
}

absl::StatusOr<OciConfig> ParseOciConfig(absl::string_view json, const ManifestLimits& limits) {
  MSB_ASSIGN_OR_RETURN(const rapidjson::Document document, Parse("configuration", json, limits));
  OciConfig config;
  MSB_RETURN_IF_ERROR(ReadString(document, "architecture", config.architecture));
  MSB_RETURN_IF_ERROR(ReadString(document, "os", config.os));
  MSB_RETURN_IF_ERROR(ReadDiffIds(document, limits, config.diff_ids));
  std::string created;
  MSB_RETURN_IF_ERROR(ReadString(document, "created", created));
  std::string ignored;
  absl::Time time;
  if (absl::ParseTime(absl::RFC3339_full, created, &time, &ignored)) config.created = time;
  const Json* settings = Member(document, "config");
  if (settings == nullptr) return config;
  if (!settings->IsObject()) return Invalid("configuration", "config is no object");
  MSB_RETURN_IF_ERROR(ReadEnv(*settings, config.env));
  MSB_RETURN_IF_ERROR(ReadStrings(*settings, "Entrypoint", kMaxWords, config.entrypoint));
  MSB_RETURN_IF_ERROR(ReadStrings(*settings, "Cmd", kMaxWords, config.cmd));
  MSB_RETURN_IF_ERROR(ReadString(*settings, "User", config.user));
  MSB_RETURN_IF_ERROR(ReadString(*settings, "WorkingDir", config.workdir));
  MSB_RETURN_IF_ERROR(ReadString(*settings, "StopSignal", config.stop_signal));
  MSB_RETURN_IF_ERROR(ReadLabels(*settings, config.labels));
  return config;
}

}  // namespace msb
