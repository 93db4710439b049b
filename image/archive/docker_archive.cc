// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/archive/archive_images.h"
#include "image/manifest/json.h"
#include "image/manifest/manifest_writer.h"

namespace msb::image {
namespace {

constexpr size_t kMaxImages = 1024;

absl::StatusOr<const StoredBlob*> FindFile(const ArchiveContents& contents, const Json& name,
                                           absl::string_view what) {
  if (!name.IsString()) {
    return MakeError(Reason::kImageInvalid, absl::StrCat("manifest.json does not name ", what));
  }
  const absl::string_view path(name.GetString(), name.GetStringLength());
  const StoredBlob* blob = contents.Find(path);
  if (blob == nullptr) {
    return MakeError(Reason::kImageInvalid, absl::StrCat("the archive lacks ", what, " \"",
                                                         EscapeForLog(path.substr(0, 200)),
                                                         "\", which manifest.json names"));
  }
  return blob;
}

// docker save leaves layers as they are: mostly plain, sometimes compressed.
absl::StatusOr<std::string> LayerType(const ArchiveContents& contents, const StoredBlob& layer) {
  const absl::StatusOr<std::string> start = contents.ReadStart(layer, 4);
  MSB_RETURN_IF_ERROR(start.status());
  if (absl::StartsWith(*start, "\x1f\x8b")) return media_type::kOciLayerGzip;
  if (absl::StartsWith(*start, "\x28\xb5\x2f\xfd")) return media_type::kOciLayerZstd;
  return media_type::kOciLayer;
}

absl::StatusOr<Manifest> MakeManifest(const ArchiveContents& contents, const Json& item,
                                      const Limits& limits) {
  const Json none;
  const Json* config_name = FindMember(item, "Config");
  MSB_ASSIGN_OR_RETURN(
      const StoredBlob* config,
      FindFile(contents, config_name == nullptr ? none : *config_name, "a configuration"));
  const Json* layers = ListMember(item, "Layers");
  if (layers == nullptr || layers->Size() > limits.max_layers) {
    return MakeError(
        layers == nullptr ? Reason::kImageInvalid : Reason::kImageTooLarge,
        absl::StrCat("manifest.json lists no layers, or more than ", limits.max_layers));
  }
  Manifest manifest{.media_type = media_type::kOciManifest,
                    .config = {media_type::kOciConfig, config->digest, config->size}};
  for (const Json& name : layers->GetArray()) {
    MSB_ASSIGN_OR_RETURN(const StoredBlob* layer, FindFile(contents, name, "layer"));
    MSB_ASSIGN_OR_RETURN(std::string type, LayerType(contents, *layer));
    manifest.layers.push_back({std::move(type), layer->digest, layer->size});
  }
  return manifest;
}

absl::StatusOr<std::vector<std::string>> ReadTags(const Json& item) {
  std::vector<std::string> tags;
  const Json* list = ListMember(item, "RepoTags");
  if (list == nullptr) return tags;
  MSB_RETURN_IF_ERROR(CheckNameCount(list->Size()));
  for (const Json& tag : list->GetArray()) {
    if (!tag.IsString()) continue;
    std::string name(tag.GetString(), tag.GetStringLength());
    if (IsPlausibleName(name)) tags.push_back(std::move(name));
  }
  return tags;
}

}  // namespace

absl::StatusOr<std::vector<ArchivedImage>> FindDockerImages(const ArchiveContents& contents,
                                                            const Platform& platform,
                                                            const Limits& limits) {
  MSB_ASSIGN_OR_RETURN(const std::string text,
                       contents.ReadText(*contents.Find("manifest.json"), "manifest.json", limits));
  MSB_ASSIGN_OR_RETURN(const rapidjson::Document json, ParseJsonList(text, "manifest.json"));
  if (json.Empty() || json.Size() > kMaxImages) {
    return MakeError(Reason::kImageInvalid,
                     absl::StrCat("manifest.json lists no image, or more than ", kMaxImages));
  }
  std::vector<ArchivedImage> images;
  absl::Status last;
  for (const Json& item : json.GetArray()) {
    MSB_ASSIGN_OR_RETURN(Manifest manifest, MakeManifest(contents, item, limits));
    last = CheckBlobs(contents, manifest, platform, limits);
    if (ReasonOf(last) == Reason::kImageUnsupported) continue;
    MSB_RETURN_IF_ERROR(last);
    MSB_ASSIGN_OR_RETURN(std::vector<std::string> tags, ReadTags(item));
    std::string bytes = WriteManifest(manifest);
    images.push_back({.manifest_bytes = bytes,
                      .manifest = std::move(manifest),
                      .digest = Sha256::Of(bytes),
                      .names = std::move(tags)});
  }
  if (images.empty()) return last;
  return images;
}

}  // namespace msb::image
