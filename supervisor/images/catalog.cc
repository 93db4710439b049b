// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/catalog.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/images/reference.h"
#include "supervisor/sandbox/image_config.h"

namespace msb {
namespace {

absl::Status NotFound(absl::string_view text) {
  return MakeError(Reason::kImageNotFound,
                   absl::StrCat("there is no image '", EscapeForLog(text.substr(0, 256)),
                                "' here; msbctl image pull fetches it"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageCatalog>> ImageCatalog::Open(const ContentStore& content,
                                                                 std::string assets_directory,
                                                                 EventRing& events,
                                                                 size_t max_names) {
  MSB_ASSIGN_OR_RETURN(ImageIndex index, ImageIndex::Open(content.path() + "/index.db"));
  std::unique_ptr<ImageCatalog> catalog(
      new ImageCatalog(content, std::move(assets_directory), events, max_names, std::move(index)));
  absl::MutexLock lock(&catalog->mutex_);
  MSB_ASSIGN_OR_RETURN(std::vector<ImageRecord> images, catalog->index_.LoadImages());
  for (ImageRecord& image : images) {
    std::string digest = image.digest;
    catalog->images_.insert_or_assign(std::move(digest), std::move(image));
  }
  MSB_ASSIGN_OR_RETURN(std::vector<ImageName> names, catalog->index_.LoadNames());
  for (ImageName& name : names) {
    NameKey key(name.scope, name.name);
    catalog->names_.insert_or_assign(std::move(key), std::move(name));
  }
  return catalog;
}

bool ImageCatalog::IsBuiltIn(absl::string_view text) const {
  return IsPlainWord(text) && IsBuiltInImage(assets_directory_, text);
}

absl::Status ImageCatalog::CheckNewName(absl::string_view text) const {
  if (!IsBuiltIn(text)) return absl::OkStatus();
  return MakeError(
      Reason::kInvalidArgument,
      absl::StrCat("'", text, "' is a built-in image; give the name a tag: ", text, ":latest"));
}

bool ImageCatalog::SeesLocked(const Caller& caller, const ImageName& name) const {
  return name.scope == kEverybody || caller.sees_all || name.scope == int64_t{caller.uid};
}

bool ImageCatalog::SeesImageLocked(const Caller& caller, const std::string& digest) const {
  if (caller.sees_all) return true;
  for (const ImageName* name : NamesOfLocked(digest)) {
    if (SeesLocked(caller, *name)) return true;
  }
  const auto users = UsersOfLocked(digest);
  return std::any_of(users.begin(), users.end(),
                     [&](const Pinned* pinned) { return caller.MaySee(pinned->user.owner_uid); });
}

std::vector<const ImageName*> ImageCatalog::NamesOfLocked(absl::string_view digest) const {
  std::vector<const ImageName*> names;
  for (const auto& [key, name] : names_) {
    if (name.digest == digest) names.push_back(&name);
  }
  return names;
}

std::vector<const ImageCatalog::Pinned*> ImageCatalog::UsersOfLocked(
    absl::string_view digest) const {
  std::vector<const Pinned*> users;
  for (const auto& [sandbox, pinned] : pins_) {
    if (pinned.digest == digest) users.push_back(&pinned);
  }
  return users;
}

absl::StatusOr<ImageCatalog::Found> ImageCatalog::FindByDigestLocked(
    const Caller& caller, absl::string_view prefix) const {
  Found found;
  for (auto it = images_.lower_bound(prefix);
       it != images_.end() && absl::StartsWith(it->first, prefix); ++it) {
    if (!SeesImageLocked(caller, it->first)) continue;
    if (found.image != nullptr) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat("more than one image has a digest that begins with ", prefix));
    }
    found.image = &it->second;
  }
  if (found.image == nullptr) return NotFound(prefix);
  return found;
}

absl::StatusOr<ImageCatalog::Found> ImageCatalog::FindLocked(const Caller& caller,
                                                             absl::string_view text) const {
  if (IsDigestPrefix(text)) return FindByDigestLocked(caller, text);
  MSB_ASSIGN_OR_RETURN(const ImageReference reference, ParseReference(text));
  // Own names before everybody's.
  for (const int64_t scope : {int64_t{caller.uid}, kEverybody}) {
    const auto it = names_.find({scope, reference.Name()});
    if (it != names_.end()) return Found{&images_.find(it->second.digest)->second, &it->second};
  }
  if (reference.digest.empty()) return NotFound(text);
  // An image that came by a tag is found by its digest too, or by that of its index.
  const std::string repository = absl::StrCat(reference.registry, "/", reference.repository);
  for (const auto& [key, name] : names_) {
    const bool same = name.digest == reference.digest || name.index_digest == reference.digest;
    if (!same || !SeesLocked(caller, name)) continue;
    if (absl::StartsWith(name.name, repository + ":") ||
        absl::StartsWith(name.name, repository + "@")) {
      return Found{&images_.find(name.digest)->second, &name};
    }
  }
  return NotFound(text);
}

absl::StatusOr<ImageCatalog::Resolved> ImageCatalog::Resolve(const Caller& caller,
                                                             absl::string_view text) const {
  if (IsBuiltIn(text)) return Resolved{.name = std::string(text), .digest = ""};
  absl::MutexLock lock(&mutex_);
  MSB_ASSIGN_OR_RETURN(const Found found, FindLocked(caller, text));
  if (IsDigestPrefix(text)) return Resolved{found.image->digest, found.image->digest};
  return Resolved{ParseReference(text)->ShortName(), found.image->digest};
}

absl::StatusOr<ImageRecord> ImageCatalog::Record(absl::string_view digest) const {
  absl::MutexLock lock(&mutex_);
  const auto it = images_.find(digest);
  if (it == images_.end()) return NotFound(digest);
  return it->second;
}

std::vector<std::string> ImageCatalog::BlobsOf(int64_t scope, size_t max) const {
  absl::MutexLock lock(&mutex_);
  std::set<std::string> blobs;
  for (const auto& [key, name] : names_) {
    if (name.scope != kEverybody && name.scope != scope) continue;
    const ImageRecord& image = images_.find(name.digest)->second;
    blobs.insert(image.config_digest);
    for (const ImageLayerRecord& layer : image.layers) blobs.insert(layer.blob_digest);
    if (blobs.size() >= max) break;
  }
  return std::vector<std::string>(blobs.begin(), blobs.end());
}

absl::Status ImageCatalog::Pin(const std::string& sandbox_id, const ImageUser& user,
                               const std::string& digest) {
  if (digest.empty()) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  if (!images_.contains(digest)) return NotFound(digest);
  pins_[sandbox_id] = {user, digest};
  return absl::OkStatus();
}

void ImageCatalog::Unpin(const std::string& sandbox_id) {
  absl::MutexLock lock(&mutex_);
  pins_.erase(sandbox_id);
}

absl::StatusOr<msb::v1::Image> ImageCatalog::Add(const Caller& caller, const ImageRecord& image,
                                                 std::vector<ImageName> names,
                                                 msb::v1::ImageEvent::Kind kind) {
  absl::MutexLock lock(&mutex_);
  return AddLocked(caller, image, std::move(names), kind);
}

absl::Status ImageCatalog::CheckRoomLocked(const Caller& caller,
                                           const std::vector<ImageName>& names) const {
  std::set<NameKey> added;
  for (const ImageName& name : names) {
    NameKey key(name.scope, name.name);
    if (!names_.contains(key)) added.insert(std::move(key));
  }
  if (added.empty()) return absl::OkStatus();
  const auto own =
      static_cast<size_t>(std::count_if(names_.begin(), names_.end(), [&](const auto& entry) {
        return entry.second.owner_uid == caller.uid;
      }));
  if (own + added.size() <= max_names_) return absl::OkStatus();
  return MakeError(Reason::kLimitExceeded,
                   absl::StrCat("you have ", own, " names of images and would have ", added.size(),
                                " more; one user may have ", max_names_,
                                " (images.max_names); msbctl image rm takes one away"));
}

absl::StatusOr<msb::v1::Image> ImageCatalog::AddLocked(const Caller& caller,
                                                       const ImageRecord& image,
                                                       std::vector<ImageName> names,
                                                       msb::v1::ImageEvent::Kind kind) {
  MSB_RETURN_IF_ERROR(CheckRoomLocked(caller, names));
  for (ImageName& name : names) {
    name.digest = image.digest;
    name.at = absl::Now();
    const auto it = names_.find({name.scope, name.name});
    name.owner_uid = it == names_.end() ? caller.uid : it->second.owner_uid;
  }
  const auto known = images_.find(image.digest);
  const ImageRecord& record = known == images_.end() ? image : known->second;
  MSB_RETURN_IF_ERROR(index_.Put(record, names));
  const auto stored = images_.insert_or_assign(image.digest, ImageRecord(record)).first;
  Found found{&stored->second, nullptr};
  for (const ImageName& name : names) {
    const auto it = names_.insert_or_assign({name.scope, name.name}, name).first;
    found.name = &it->second;
    Announce(kind, name);
  }
  return ViewLocked(caller, found);
}

void ImageCatalog::Announce(msb::v1::ImageEvent::Kind kind, const ImageName& name) const {
  msb::v1::Event event;
  event.mutable_image()->set_kind(kind);
  event.mutable_image()->set_name(name.name);
  event.mutable_image()->set_digest(name.digest);
  if (name.scope == kEverybody) {
    events_.PublishToAll(std::move(event));
  } else {
    events_.Publish(std::move(event), static_cast<uint32_t>(name.scope));
  }
}

absl::StatusOr<msb::v1::Image> ImageCatalog::Tag(const Caller& caller, absl::string_view text,
                                                 absl::string_view name) {
  if (IsBuiltIn(text)) {
    return MakeError(Reason::kInvalidArgument,
                     "a built-in image has its own name alone: it is no image of the store");
  }
  MSB_RETURN_IF_ERROR(CheckNewName(name));
  MSB_ASSIGN_OR_RETURN(const ImageReference reference, ParseReference(name));
  if (!reference.digest.empty()) {
    return MakeError(Reason::kInvalidArgument, "a new name has a tag and no digest");
  }
  absl::MutexLock lock(&mutex_);
  MSB_ASSIGN_OR_RETURN(const Found found, FindLocked(caller, text));
  const ImageRecord image = *found.image;
  return AddLocked(
      caller, image,
      {{.scope = caller.sees_all ? kEverybody : int64_t{caller.uid}, .name = reference.Name()}},
      msb::v1::ImageEvent::KIND_TAGGED);
}

}  // namespace msb
