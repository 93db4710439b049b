// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// ImageCatalog: what it shows, and how images go.

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/images/catalog.h"
#include "supervisor/images/digest.h"
#include "supervisor/images/reference.h"
#include "supervisor/sandbox/image_config.h"

namespace msb {
namespace {

constexpr size_t kMaxNamedUsers = 5;  // in an error

void SetTime(absl::Time time, google::protobuf::Timestamp& out) {
  const int64_t nanos = absl::ToUnixNanos(time);
  out.set_seconds(nanos / 1'000'000'000);
  out.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

bool MayTakeAway(const Caller& caller, const ImageName& name) {
  return caller.MaySee(name.owner_uid);
}

LayerKey KeyOf(const ImageLayerRecord& layer) { return {layer.diff_id, layer.blob_digest}; }

msb::v1::Image BuiltInView(const ImageConfig& config) {
  msb::v1::Image image;
  image.set_name(config.name);
  image.add_names(config.name);
  image.set_digest(config.digest);
  image.set_built_in(true);
  image.set_shared(true);
  image.set_size_bytes(config.size_bytes);
  msb::v1::ImageSettings& settings = *image.mutable_settings();
  settings.mutable_env()->insert(config.env.begin(), config.env.end());
  settings.mutable_entrypoint()->Assign(config.entrypoint.begin(), config.entrypoint.end());
  settings.mutable_cmd()->Assign(config.cmd.begin(), config.cmd.end());
  settings.set_user(config.user);
  settings.set_workdir(config.workdir);
  return image;
}

}  // namespace

ImageCatalog::Sight ImageCatalog::SightOfLocked(const Caller& caller) const {
  Sight sight;
  for (const auto& [key, name] : names_) {
    if (!SeesLocked(caller, name)) continue;
    sight.names[name.digest].push_back(&name);
    sight.images.insert(name.digest);
  }
  for (const auto& [sandbox, pinned] : pins_) {
    sight.users[pinned.digest].push_back(&pinned);
    if (caller.MaySee(pinned.user.owner_uid)) sight.images.insert(pinned.digest);
  }
  for (const auto& [digest, image] : images_) {
    if (caller.sees_all) sight.images.insert(digest);
    if (!sight.images.contains(digest)) continue;
    std::set<LayerKey> layers;
    for (const ImageLayerRecord& layer : image.layers) layers.insert(KeyOf(layer));
    for (const LayerKey& layer : layers) ++sight.sharers[layer];
  }
  return sight;
}

msb::v1::Image ImageCatalog::ViewLocked(const Caller& caller, const Found& found) const {
  const Sight sight = SightOfLocked(caller);
  const auto names = sight.names.find(found.image->digest);
  Found shown = found;
  if (shown.name == nullptr && names != sight.names.end()) shown.name = names->second.front();
  msb::v1::Image image = DescribeLocked(caller, shown, sight);
  image.clear_names();
  if (names == sight.names.end()) return image;
  for (const ImageName* name : names->second) image.add_names(name->name);
  return image;
}

msb::v1::Image ImageCatalog::DescribeLocked(const Caller& caller, const Found& found,
                                            const Sight& sight) const {
  const ImageRecord& record = *found.image;
  msb::v1::Image image;
  image.set_digest(record.digest);
  image.set_config_digest(record.config_digest);
  SetTime(record.stored_at, *image.mutable_stored_at());
  if (const ImageName* name = found.name; name != nullptr) {
    image.set_name(name->name);
    image.add_names(name->name);
    image.set_shared(name->scope == kEverybody);
    image.set_owner_uid(name->owner_uid);
    image.set_index_digest(name->index_digest);
  }
  std::set<LayerKey> counted;
  for (const ImageLayerRecord& layer : record.layers) {
    const LayerKey key = KeyOf(layer);
    msb::v1::ImageLayer& out = *image.add_layers();
    out.set_diff_id(layer.diff_id);
    out.set_blob_digest(layer.blob_digest);
    out.set_blob_bytes(layer.blob_bytes);
    out.set_bytes(layer.bytes);
    const auto sharers = sight.sharers.find(key);
    if (sharers != sight.sharers.end()) out.set_images(sharers->second);
    if (!counted.insert(key).second) continue;
    image.set_size_bytes(image.size_bytes() + layer.bytes);
    image.set_download_bytes(image.download_bytes() + layer.blob_bytes);
  }
  const auto users = sight.users.find(record.digest);
  if (users == sight.users.end()) return image;
  image.set_users(static_cast<uint32_t>(users->second.size()));
  for (const Pinned* user : users->second) {
    if (caller.MaySee(user->user.owner_uid)) image.add_used_by(user->user.sandbox);
  }
  return image;
}

msb::v1::ListImagesResponse ImageCatalog::List(const Caller& caller) const {
  msb::v1::ListImagesResponse response;
  const auto built_in = ListImages(assets_directory_);
  if (!built_in.ok()) {
    MSB_LOG(kWarning) << built_in.status().message();
  }
  for (const ImageConfig& image : built_in.value_or(std::vector<ImageConfig>())) {
    *response.add_images() = BuiltInView(image);
    response.mutable_images()->rbegin()->clear_settings();
  }
  absl::MutexLock lock(&mutex_);
  const Sight sight = SightOfLocked(caller);
  std::vector<const ImageName*> names;
  for (const auto& [digest, of_image] : sight.names) {
    names.insert(names.end(), of_image.begin(), of_image.end());
  }
  std::sort(names.begin(), names.end(), [](const ImageName* a, const ImageName* b) {
    return a->name != b->name ? a->name < b->name : a->scope < b->scope;
  });
  for (const ImageName* name : names) {
    *response.add_images() =
        DescribeLocked(caller, {&images_.find(name->digest)->second, name}, sight);
  }
  for (const auto& [digest, image] : images_) {
    if (sight.names.contains(digest) || !sight.images.contains(digest)) continue;
    *response.add_images() = DescribeLocked(caller, {&image, nullptr}, sight);
  }
  return response;
}

absl::StatusOr<msb::v1::Image> ImageCatalog::Get(const Caller& caller,
                                                 absl::string_view text) const {
  if (IsBuiltIn(text)) {
    MSB_ASSIGN_OR_RETURN(const ImageConfig config, LoadImage(assets_directory_, text));
    return BuiltInView(config);
  }
  absl::MutexLock lock(&mutex_);
  MSB_ASSIGN_OR_RETURN(const Found found, FindLocked(caller, text));
  return ViewLocked(caller, found);
}

absl::Status ImageCatalog::InUseLocked(const Caller& caller, absl::string_view what,
                                       const std::string& digest) const {
  const std::vector<const Pinned*> users = UsersOfLocked(digest);
  if (users.empty()) return absl::OkStatus();
  std::vector<std::string> own;
  for (const Pinned* user : users) {
    if (caller.MaySee(user->user.owner_uid) && own.size() < kMaxNamedUsers) {
      own.push_back(user->user.sandbox);
    }
  }
  const size_t others = users.size() - own.size();
  return MakeError(
      Reason::kImageInUse,
      absl::StrCat(what, " is needed by ", own.empty() ? "" : "the sandbox ",
                   absl::StrJoin(own, ", "), own.empty() || others == 0 ? "" : " and ",
                   others == 0 ? "" : absl::StrCat(others, own.empty() ? " sandboxes" : " more")));
}

absl::StatusOr<msb::v1::RemoveImageResponse> ImageCatalog::Remove(const Caller& caller,
                                                                  absl::string_view text) {
  if (IsBuiltIn(text)) {
    return MakeError(Reason::kPermissionDenied,
                     "a built-in image belongs to the installation (daemon.assets_directory)");
  }
  msb::v1::RemoveImageResponse response;
  {
    absl::MutexLock lock(&mutex_);
    MSB_ASSIGN_OR_RETURN(const Found found, FindLocked(caller, text));
    const std::string digest = found.image->digest;
    std::vector<ImageName> taken;
    bool left = false;
    for (const ImageName* name : NamesOfLocked(digest)) {
      const bool meant = found.name == nullptr || found.name == name;
      if (meant && MayTakeAway(caller, *name)) {
        taken.push_back(*name);
      } else {
        left = true;
      }
    }
    const bool nameless = !left && taken.empty();
    if (taken.empty() && !(nameless && caller.sees_all)) {
      return MakeError(
          Reason::kPermissionDenied,
          absl::StrCat("the image belongs to another user: only they, and root, take '",
                       EscapeForLog(text.substr(0, 256)), "' away"));
    }
    if (!left) {
      MSB_RETURN_IF_ERROR(InUseLocked(caller, text, digest));
      response.set_removed_image(true);
      response.set_freed_bytes(OwnBytesLocked({digest}));
    }
    for (const ImageName& name : taken) response.add_removed_names(name.name);
    MSB_RETURN_IF_ERROR(
        DeleteLocked(taken, left ? std::vector<std::string>() : std::vector<std::string>{digest}));
  }
  Sweep();
  return response;
}

absl::StatusOr<msb::v1::PruneImagesResponse> ImageCatalog::Prune(const Caller& caller, bool all) {
  msb::v1::PruneImagesResponse response;
  {
    absl::MutexLock lock(&mutex_);
    std::vector<ImageName> names;
    std::set<NameKey> going;
    for (const auto& [key, name] : names_) {
      if (all && MayTakeAway(caller, name) && UsersOfLocked(name.digest).empty()) {
        names.push_back(name);
        going.insert(key);
        response.add_removed(name.name);
      }
    }
    std::vector<std::string> digests;
    for (const auto& [digest, image] : images_) {
      const std::vector<const ImageName*> of_image = NamesOfLocked(digest);
      const bool named = std::any_of(of_image.begin(), of_image.end(), [&](const ImageName* name) {
        return !going.contains({name->scope, name->name});
      });
      if (named || !UsersOfLocked(digest).empty()) continue;
      // Of what had lost its names before only root is told: it may have been another user's.
      if (of_image.empty() && caller.sees_all) response.add_removed(digest);
      digests.push_back(digest);
    }
    response.set_freed_bytes(OwnBytesLocked(digests));
    MSB_RETURN_IF_ERROR(DeleteLocked(names, digests));
  }
  Sweep();
  return response;
}

// Of files that no other image shares.
uint64_t ImageCatalog::OwnBytesLocked(const std::vector<std::string>& digests) const {
  const std::set<std::string> going(digests.begin(), digests.end());
  std::map<std::string, uint64_t> own;
  std::set<std::string> shared;
  for (const auto& [digest, image] : images_) {
    for (const ImageLayerRecord& layer : image.layers) {
      const std::string file = KeyOf(layer).FileName();
      if (going.contains(digest)) {
        own[file] = layer.bytes;
        own[layer.blob_digest] = layer.blob_bytes;
      } else {
        shared.insert(file);
        shared.insert(layer.blob_digest);
      }
    }
  }
  uint64_t bytes = 0;
  for (const auto& [file, size] : own) {
    if (!shared.contains(file)) bytes += size;
  }
  return bytes;
}

absl::Status ImageCatalog::DeleteLocked(const std::vector<ImageName>& names,
                                        const std::vector<std::string>& digests) {
  if (names.empty() && digests.empty()) return absl::OkStatus();
  MSB_RETURN_IF_ERROR(index_.Delete(names, digests));
  for (const ImageName& name : names) {
    Announce(msb::v1::ImageEvent::KIND_REMOVED, name);
    names_.erase({name.scope, name.name});
  }
  for (const std::string& digest : digests) images_.erase(digest);
  return absl::OkStatus();
}

ContentStore::Kept ImageCatalog::KeptLocked() const {
  ContentStore::Kept kept;
  for (const auto& [digest, image] : images_) {
    kept.blobs.emplace(HexOf(digest));
    kept.blobs.emplace(HexOf(image.config_digest));
    for (const ImageLayerRecord& layer : image.layers) {
      kept.blobs.emplace(HexOf(layer.blob_digest));
      kept.layers.insert(KeyOf(layer).FileName());
    }
  }
  return kept;
}

void ImageCatalog::BeginOperation() {
  absl::MutexLock lock(&mutex_);
  ++operations_;
}

void ImageCatalog::EndOperation() {
  {
    absl::MutexLock lock(&mutex_);
    if (--operations_ > 0 || !sweep_wanted_) return;
  }
  Sweep();
}

void ImageCatalog::Sweep() {
  {
    absl::MutexLock lock(&mutex_);
    sweep_wanted_ = operations_ > 0;
    if (sweep_wanted_) return;
    // Renames alone: the lock is held for a moment.
    if (const absl::Status swept = content_.DiscardAllBut(KeptLocked()); !swept.ok()) {
      MSB_LOG(kError) << "deleting images: " << swept.message();
    }
  }
  content_.EmptyTrash();
}

}  // namespace msb
