// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "image/archive/archive_images.h"
#include "image/manifest/json.h"

namespace msb::image {
namespace {

absl::StatusOr<std::string> ReadBlob(const ArchiveContents& contents, const Digest& digest,
                                     const Limits& limits) {
  const StoredBlob* blob = contents.FindDigest(digest);
  if (blob == nullptr) {
    return MakeError(Reason::kImageInvalid, absl::StrCat("the archive lacks blob ", digest.text(),
                                                         ", which its index names"));
  }
  return contents.ReadText(*blob, "the manifest", limits);
}

// From an entry of index.json to a manifest, by way of one index at most.
absl::StatusOr<ArchivedImage> Resolve(const ArchiveContents& contents, const IndexEntry& top,
                                      const Platform& platform, const Limits& limits) {
  IndexEntry entry = top;
  std::string index;
  while (true) {
    MSB_ASSIGN_OR_RETURN(std::string bytes, ReadBlob(contents, entry.descriptor.digest, limits));
    MSB_ASSIGN_OR_RETURN(auto parsed, ParseManifest(bytes, entry.descriptor.media_type, limits));
    if (auto* manifest = std::get_if<Manifest>(&parsed); manifest != nullptr) {
      MSB_RETURN_IF_ERROR(CheckBlobs(contents, *manifest, platform, limits));
      return ArchivedImage{
          .manifest_bytes = std::move(bytes),
          .manifest = std::move(*manifest),
          .digest = index.empty() ? entry.descriptor.digest : top.descriptor.digest,
          .index = std::move(index)};
    }
    if (!index.empty()) return IndexInIndex();
    MSB_ASSIGN_OR_RETURN(entry, ChoosePlatform(std::get<Index>(parsed), platform));
    index = std::move(bytes);
  }
}

absl::Status AddNames(const std::vector<std::string>& names, ArchivedImage& image) {
  MSB_RETURN_IF_ERROR(CheckNameCount(names.size()));
  for (const std::string& name : names) {
    const bool known = std::find(image.names.begin(), image.names.end(), name) != image.names.end();
    if (!known && IsPlausibleName(name)) image.names.push_back(name);
  }
  return CheckNameCount(image.names.size());
}

// docker save writes its own names beside the layout: by the path of the configuration.
absl::Status AddDockerNames(const rapidjson::Document& docker, std::vector<ArchivedImage>& images) {
  for (const Json& item : docker.GetArray()) {
    const std::string config = StringMember(item, "Config");
    const Json* tags = ListMember(item, "RepoTags");
    if (tags == nullptr) continue;
    MSB_RETURN_IF_ERROR(CheckNameCount(tags->Size()));
    std::vector<std::string> names;
    for (const Json& tag : tags->GetArray()) {
      if (tag.IsString()) names.emplace_back(tag.GetString(), tag.GetStringLength());
    }
    for (ArchivedImage& image : images) {
      // What the layout itself says is the fuller form.
      if (image.names.empty() && absl::EndsWith(config, image.manifest.config.digest.hex())) {
        MSB_RETURN_IF_ERROR(AddNames(names, image));
      }
    }
  }
  return absl::OkStatus();
}

ArchivedImage* FindSame(std::vector<ArchivedImage>& images, const ArchivedImage& image) {
  const auto found = std::find_if(images.begin(), images.end(), [&](const ArchivedImage& known) {
    return known.digest == image.digest;
  });
  return found == images.end() ? nullptr : &*found;
}

// Of an entry that says its platform, and is for another one.
bool IsForAnother(const IndexEntry& entry, const Platform& platform) {
  return !entry.platform.os.empty() &&
         (entry.platform.os != platform.os || entry.platform.architecture != platform.architecture);
}

}  // namespace

absl::StatusOr<std::vector<ArchivedImage>> FindOciImages(const ArchiveContents& contents,
                                                         const Platform& platform,
                                                         const Limits& limits) {
  MSB_ASSIGN_OR_RETURN(const std::string bytes,
                       contents.ReadText(*contents.Find("index.json"), "index.json", limits));
  MSB_ASSIGN_OR_RETURN(auto parsed, ParseManifest(bytes, media_type::kOciIndex, limits));
  const Index* index = std::get_if<Index>(&parsed);
  if (index == nullptr) return MakeError(Reason::kImageInvalid, "index.json is no index");
  std::vector<ArchivedImage> images;
  absl::Status last = MakeError(Reason::kImageInvalid, "the archive's index.json names no image");
  for (const IndexEntry& entry : index->entries) {
    if (IsForAnother(entry, platform)) {
      last = MakeError(Reason::kImageUnsupported,
                       absl::StrCat("the archive has no image for ", ToString(platform)));
      continue;
    }
    absl::StatusOr<ArchivedImage> image = Resolve(contents, entry, platform, limits);
    if (!image.ok()) {
      // An image for another platform, beside one for this: only that nothing is left is an error.
      if (ReasonOf(image.status()) != Reason::kImageUnsupported) return image.status();
      last = image.status();
      continue;
    }
    ArchivedImage* same = FindSame(images, *image);
    if (same == nullptr) same = &images.emplace_back(*std::move(image));
    MSB_RETURN_IF_ERROR(AddNames(entry.names, *same));
  }
  if (images.empty()) return last;
  if (const StoredBlob* docker = contents.Find("manifest.json"); docker != nullptr) {
    MSB_ASSIGN_OR_RETURN(const std::string text,
                         contents.ReadText(*docker, "manifest.json", limits));
    MSB_ASSIGN_OR_RETURN(const rapidjson::Document json, ParseJsonList(text, "manifest.json"));
    MSB_RETURN_IF_ERROR(AddDockerNames(json, images));
  }
  return images;
}

}  // namespace msb::image
