// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/manifest/manifest.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/manifest/json.h"

namespace msb::image {
namespace {

constexpr size_t kMaxIndexEntries = 1024;
constexpr size_t kMaxListedPlatforms = 12;

absl::Status Invalid(absl::string_view what) { return MakeError(Reason::kImageInvalid, what); }

absl::Status Unsupported(absl::string_view what) {
  return MakeError(Reason::kImageUnsupported, what);
}

bool IsLayerType(absl::string_view type) {
  return type == media_type::kOciLayer || type == media_type::kOciLayerGzip ||
         type == media_type::kOciLayerZstd || type == media_type::kDockerLayer ||
         type == media_type::kDockerLayerGzip || type == media_type::kDockerLayerZstd;
}

bool IsIndexType(absl::string_view type) {
  return type == media_type::kOciIndex || type == media_type::kDockerList;
}

bool IsManifestType(absl::string_view type) {
  return type == media_type::kOciManifest || type == media_type::kDockerManifest;
}

absl::StatusOr<Descriptor> ReadDescriptor(const Json& json, absl::string_view what) {
  if (!json.IsObject()) return Invalid(absl::StrCat(what, " is no descriptor"));
  const Json* size = FindMember(json, "size");
  if (size == nullptr || !size->IsUint64()) {
    return Invalid(absl::StrCat(what, " has no size"));
  }
  MSB_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(StringMember(json, "digest")));
  return Descriptor{.media_type = StringMember(json, "mediaType"),
                    .digest = std::move(digest),
                    .size = size->GetUint64()};
}

absl::StatusOr<Descriptor> ReadConfigDescriptor(const Json& manifest, const Limits& limits) {
  const Json* json = FindMember(manifest, "config");
  if (json == nullptr) return Invalid("the manifest names no configuration");
  MSB_ASSIGN_OR_RETURN(Descriptor config, ReadDescriptor(*json, "the configuration"));
  if (config.media_type != media_type::kOciConfig &&
      config.media_type != media_type::kDockerConfig) {
    return Unsupported(absl::StrCat("this is no container image but an artifact of type \"",
                                    EscapeForLog(config.media_type), "\""));
  }
  if (config.size > limits.max_manifest_bytes) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat("the image's configuration has ", config.size, " bytes, at most ",
                                  limits.max_manifest_bytes, " are allowed"));
  }
  return config;
}

absl::StatusOr<Descriptor> ReadLayerDescriptor(const Json& json, const Limits& limits) {
  MSB_ASSIGN_OR_RETURN(Descriptor layer, ReadDescriptor(json, "a layer"));
  const Json* urls = FindMember(json, "urls");
  if (absl::StrContains(layer.media_type, "nondistributable") ||
      absl::StrContains(layer.media_type, ".foreign.") ||
      (urls != nullptr && !(urls->IsArray() && urls->Empty()))) {
    return Unsupported(
        absl::StrCat("layer ", layer.digest.text(),
                     " is to be fetched from elsewhere (a foreign layer), which is refused"));
  }
  if (!IsLayerType(layer.media_type)) {
    return Unsupported(absl::StrCat("layer ", layer.digest.text(), " is of the unknown type \"",
                                    EscapeForLog(layer.media_type), "\""));
  }
  if (layer.size > limits.max_blob_bytes) {
    return MakeError(
        Reason::kImageTooLarge,
        absl::StrCat("layer ", layer.digest.text(), " has ", layer.size, " bytes, at most ",
                     limits.max_blob_bytes, " are allowed (images.max_blob_mib)"));
  }
  return layer;
}

absl::StatusOr<Manifest> ReadManifest(const Json& json, std::string type, const Limits& limits) {
  MSB_ASSIGN_OR_RETURN(Descriptor config, ReadConfigDescriptor(json, limits));
  const Json* layers = ListMember(json, "layers");
  if (layers == nullptr) return Invalid("the manifest has no list of layers");
  if (layers->Size() > limits.max_layers) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat("the image has ", layers->Size(), " layers, at most ",
                                  limits.max_layers, " are allowed (images.max_layers)"));
  }
  Manifest manifest{.media_type = std::move(type), .config = std::move(config)};
  uint64_t left = limits.max_image_bytes;
  for (const Json& item : layers->GetArray()) {
    MSB_ASSIGN_OR_RETURN(Descriptor layer, ReadLayerDescriptor(item, limits));
    if (layer.size > left) {
      return MakeError(Reason::kImageTooLarge,
                       absl::StrCat("the image's layers have more than ", limits.max_image_bytes,
                                    " bytes in all (images.max_image_mib)"));
    }
    left -= layer.size;
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

// What containerd and docker, and what the specification call the name of an entry of index.json.
std::vector<std::string> ReadNames(const Json& entry) {
  const Json* annotations = FindMember(entry, "annotations");
  if (annotations == nullptr) return {};
  for (const char* key : {"io.containerd.image.name", "org.opencontainers.image.ref.name"}) {
    std::string name = StringMember(*annotations, key);
    if (!name.empty()) return {std::move(name)};
  }
  return {};
}

absl::StatusOr<Index> ReadIndex(const Json& json, std::string type) {
  const Json* entries = ListMember(json, "manifests");
  if (entries == nullptr) return Invalid("the index has no list of manifests");
  if (entries->Size() > kMaxIndexEntries) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat("the index names ", entries->Size(), " manifests, at most ",
                                  kMaxIndexEntries, " are allowed"));
  }
  Index index{.media_type = std::move(type)};
  for (const Json& item : entries->GetArray()) {
    MSB_ASSIGN_OR_RETURN(Descriptor descriptor, ReadDescriptor(item, "an entry of the index"));
    Platform platform;
    if (const Json* json_platform = FindMember(item, "platform"); json_platform != nullptr) {
      platform = {.os = StringMember(*json_platform, "os"),
                  .architecture = StringMember(*json_platform, "architecture"),
                  .variant = StringMember(*json_platform, "variant")};
    }
    index.entries.push_back({.descriptor = std::move(descriptor),
                             .platform = std::move(platform),
                             .names = ReadNames(item)});
  }
  return index;
}

absl::Status RefuseOldSchemas(const Json& json, absl::string_view type) {
  const Json* version = FindMember(json, "schemaVersion");
  const bool old_type = absl::StartsWith(type, "application/vnd.docker.distribution.manifest.v1+");
  if (old_type || (version != nullptr && version->IsInt() && version->GetInt() == 1)) {
    return Unsupported(
        "the image has a manifest of schema 1, which was given up in 2017; push it again with a "
        "current tool");
  }
  if (version == nullptr || !version->IsInt() || version->GetInt() != 2) {
    return Invalid("the manifest's schemaVersion is not 2");
  }
  return absl::OkStatus();
}

// "amd64" without a variant and "v1" are the same, so are "arm64" and its "v8".
std::string NormalVariant(const Platform& platform) {
  if (platform.architecture == "amd64" && platform.variant == "v1") return "";
  if (platform.architecture == "arm64" && platform.variant == "v8") return "";
  return platform.variant;
}

bool IsSameKind(const Platform& a, const Platform& b) {
  return a.os == b.os && a.architecture == b.architecture;
}

std::string ListPlatforms(const Index& index) {
  std::vector<std::string> names;
  for (const IndexEntry& entry : index.entries) {
    // What builders attach to an image (attestations) runs nowhere.
    if (entry.platform.os.empty() || entry.platform.os == "unknown") continue;
    names.push_back(EscapeForLog(ToString(entry.platform)));
    if (names.size() == kMaxListedPlatforms) break;
  }
  return names.empty() ? "no platform at all" : absl::StrJoin(names, ", ");
}

}  // namespace

std::string ToString(const Platform& platform) {
  return absl::StrCat(platform.os, "/", platform.architecture, platform.variant.empty() ? "" : "/",
                      platform.variant);
}

absl::StatusOr<std::variant<Manifest, Index>> ParseManifest(absl::string_view bytes,
                                                            absl::string_view media_type,
                                                            const Limits& limits) {
  if (bytes.size() > limits.max_manifest_bytes) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat("the manifest has ", bytes.size(), " bytes, at most ",
                                  limits.max_manifest_bytes, " are allowed"));
  }
  MSB_ASSIGN_OR_RETURN(const rapidjson::Document json, ParseJsonObject(bytes, "the manifest"));
  MSB_RETURN_IF_ERROR(RefuseOldSchemas(json, media_type));
  const bool has_index = FindMember(json, "manifests") != nullptr;
  const bool has_manifest =
      FindMember(json, "layers") != nullptr || FindMember(json, "config") != nullptr;
  if (has_index && has_manifest) {
    return Invalid("the document is a manifest and an index at the same time");
  }
  std::string own_type = StringMember(json, "mediaType");
  // A registry that knows no better calls a document by a general name.
  const bool says_kind = IsIndexType(media_type) || IsManifestType(media_type);
  if (own_type.empty()) {
    own_type = says_kind   ? std::string(media_type)
               : has_index ? media_type::kOciIndex
                           : media_type::kOciManifest;
  } else if (says_kind && own_type != media_type) {
    return Invalid(absl::StrCat("the manifest calls itself \"", EscapeForLog(own_type),
                                "\" but was sent as \"", media_type, "\""));
  }
  if (IsIndexType(own_type) && has_index) {
    MSB_ASSIGN_OR_RETURN(Index index, ReadIndex(json, std::move(own_type)));
    return index;
  }
  if (IsManifestType(own_type) && has_manifest) {
    MSB_ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(json, std::move(own_type), limits));
    return manifest;
  }
  return Unsupported(
      absl::StrCat("a manifest of type \"", EscapeForLog(own_type), "\" is not understood"));
}

absl::StatusOr<IndexEntry> ChoosePlatform(const Index& index, const Platform& wanted) {
  const IndexEntry* best = nullptr;
  for (const IndexEntry& entry : index.entries) {
    if (!IsSameKind(entry.platform, wanted)) continue;
    if (NormalVariant(entry.platform) == NormalVariant(wanted)) return entry;
    // Without a wish, the plainest variant is the one that runs everywhere: they sort by their
    // names.
    const std::string variant = NormalVariant(entry.platform);
    const bool will_do = wanted.variant.empty() || variant.empty();
    if (will_do && (best == nullptr || variant < NormalVariant(best->platform))) best = &entry;
  }
  if (best != nullptr) return *best;
  // One entry that says nothing is checked by its configuration later.
  if (index.entries.size() == 1 && index.entries[0].platform.os.empty()) return index.entries[0];
  return Unsupported(
      absl::StrCat("the image is for ", ListPlatforms(index), ", not for ", ToString(wanted)));
}

absl::Status IndexInIndex() {
  return Unsupported("the image's index leads to another index, not to an image");
}

absl::Status CheckConfig(absl::string_view config, const Manifest& manifest,
                         const Platform& wanted) {
  MSB_ASSIGN_OR_RETURN(const rapidjson::Document json,
                       ParseJsonObject(config, "the image's configuration"));
  const Platform platform{.os = StringMember(json, "os"),
                          .architecture = StringMember(json, "architecture"),
                          .variant = StringMember(json, "variant")};
  if (!IsSameKind(platform, wanted)) {
    return Unsupported(absl::StrCat("the image is for ", EscapeForLog(ToString(platform)),
                                    ", not for ", ToString(wanted)));
  }
  const Json* root = FindMember(json, "rootfs");
  const Json* layers = root == nullptr ? nullptr : ListMember(*root, "diff_ids");
  if (layers == nullptr || layers->Size() != manifest.layers.size()) {
    return Invalid(absl::StrCat("the image's configuration names ",
                                layers == nullptr ? 0 : layers->Size(), " layers, its manifest ",
                                manifest.layers.size()));
  }
  return absl::OkStatus();
}

}  // namespace msb::image
