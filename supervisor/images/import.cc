// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/import.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "supervisor/images/digest.h"
#include "supervisor/sandbox/validate.h"

namespace msb {
namespace {

using msb::v1::PullProgress;

absl::StatusOr<uint64_t> SizeOf(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return StoreError("the image store", absl::ErrnoToStatus(errno, path));
  }
  return static_cast<uint64_t>(info.st_size);
}

}  // namespace

Import::Import(const ImageHouse& house, const Staging& staging, const Cancellation& cancel,
               std::set<std::string> visible, Tell tell)
    : house_(house),
      staging_(staging),
      visible_(std::move(visible)),
      tell_(std::move(tell)),
      builds_(house, staging, cancel,
              {.progress =
                   [this](const std::string& blob, uint64_t done, uint64_t total) {
                     TellPhase(blob, PullProgress::PHASE_UNPACKING, done, total);
                   },
               .done =
                   [this](const std::string& blob) {
                     TellPhase(blob, PullProgress::PHASE_DONE, 0, 0);
                   }}) {}

void Import::TellPhase(const std::string& blob, PullProgress::Phase phase, uint64_t done,
                       uint64_t total) const {
  PullProgress progress;
  progress.set_digest(blob);
  progress.set_phase(phase);
  progress.set_done_bytes(done);
  progress.set_total_bytes(total);
  tell_(progress);
}

bool Import::Has(const std::string& blob) const {
  return staging_.HasBlob(blob) || (visible_.contains(blob) && house_.content.HasBlob(blob));
}

absl::Status Import::TakeManifest(const msb::image::v1::ManifestFound& found) {
  if (has_manifest()) return MakeError(Reason::kImageJobFailed, "msb-image found two manifests");
  const ManifestLimits limits = ManifestLimitsOf(house_.config);
  MSB_ASSIGN_OR_RETURN(manifest_, ParseManifest(found.manifest(), limits));
  std::string digest = Sha256(found.manifest());
  if (!found.index().empty()) {
    MSB_ASSIGN_OR_RETURN(const bool has, IndexHas(found.index(), digest, limits));
    if (!has)
      return MakeError(Reason::kImageDigestMismatch, "the index does not name the manifest");
  }
  uint64_t bytes = 0;
  uint64_t missing = 0;  // of them, what is not on the disk
  std::vector<BlobDescriptor> blobs = manifest_.layers;
  blobs.push_back(manifest_.config);
  for (const BlobDescriptor& blob : blobs) {
    if (Has(blob.digest)) continue;
    bytes += blob.size;
    missing += blob.size - std::min(blob.size, staging_.FetchedBytes(blob.digest));
  }
  if (bytes > house_.config.max_image_mib * kBytesPerMib) {
    return MakeError(
        Reason::kImageTooLarge,
        absl::StrCat("the image has ", bytes / kBytesPerMib, " MiB of layers; at most ",
                     house_.config.max_image_mib, " are taken (images.max_image_mib)"));
  }
  MSB_ASSIGN_OR_RETURN(downloads_,
                       house_.space.Reserve(missing, [this] { return staging_.FetchedBytes(); }));
  MSB_RETURN_IF_ERROR(staging_.PutBlob(digest, found.manifest()));
  digest_ = std::move(digest);
  for (const BlobDescriptor& layer : manifest_.layers) {
    TellPhase(layer.digest, PullProgress::PHASE_WAITING, 0, layer.size);
  }
  return absl::OkStatus();
}

absl::Status Import::ReadConfig() {
  const std::string& digest = manifest_.config.digest;
  MSB_ASSIGN_OR_RETURN(const std::string json,
                       staging_.HasBlob(digest)
                           ? staging_.ReadBlob(digest, kMaxDocumentBytes)
                           : house_.content.ReadBlob(digest, kMaxDocumentBytes));
  MSB_ASSIGN_OR_RETURN(const OciConfig config,
                       ParseOciConfig(json, ManifestLimitsOf(house_.config)));
  if (config.diff_ids.size() != manifest_.layers.size()) {
    return MakeError(Reason::kImageInvalid,
                     absl::StrCat("the manifest has ", manifest_.layers.size(),
                                  " layers, the configuration ", config.diff_ids.size()));
  }
  if (const absl::Status user = ValidateUser(config.user); !user.ok()) {
    return MakeError(Reason::kImageInvalid,
                     absl::StrCat("the image's configuration: ", user.message()));
  }
  for (size_t i = 0; i < config.diff_ids.size(); ++i) {
    layers_.push_back({config.diff_ids[i], manifest_.layers[i].digest});
  }
  return absl::OkStatus();
}

absl::Status Import::TakeBlob(const std::string& blob) {
  if (layers_.empty() && Has(manifest_.config.digest)) {
    MSB_RETURN_IF_ERROR(ReadConfig());
    for (const LayerKey& key : layers_) {
      if (Has(key.blob_digest)) builds_.Begin(key);
    }
    return absl::OkStatus();
  }
  for (const LayerKey& key : layers_) {
    if (key.blob_digest == blob) builds_.Begin(key);
  }
  return absl::OkStatus();
}

absl::Status Import::TakePresent() {
  for (const BlobDescriptor& layer : manifest_.layers) {
    if (Has(layer.digest)) TellPhase(layer.digest, PullProgress::PHASE_PRESENT, 0, layer.size);
  }
  return Has(manifest_.config.digest) ? TakeBlob(manifest_.config.digest) : absl::OkStatus();
}

std::vector<std::string> Import::Blobs() const {
  std::vector<std::string> blobs = {digest_, manifest_.config.digest};
  for (const BlobDescriptor& layer : manifest_.layers) blobs.push_back(layer.digest);
  return blobs;
}

// Into the store, where nothing leads to them yet.
absl::Status Import::Publish() {
  for (const std::string& blob : Blobs()) {
    if (!staging_.HasBlob(blob)) continue;
    MSB_RETURN_IF_ERROR(house_.content.AddBlob(blob, staging_.BlobPath(blob)));
  }
  for (const LayerKey& key : layers_) {
    if (!staging_.HasLayer(key)) continue;
    MSB_RETURN_IF_ERROR(house_.content.AddLayer(key, staging_.LayerPath(key)));
  }
  return house_.content.Sync();
}

absl::StatusOr<msb::v1::Image> Import::Finish(const Caller& caller, std::vector<ImageName> names,
                                              msb::v1::ImageEvent::Kind kind) {
  for (const BlobDescriptor& layer : manifest_.layers) {
    if (Has(layer.digest)) continue;
    return MakeError(Reason::kImageJobFailed,
                     absl::StrCat("msb-image ended without the layer ", layer.digest));
  }
  if (layers_.empty()) {
    return MakeError(Reason::kImageJobFailed, "msb-image ended without the configuration");
  }
  downloads_ = {};  // all is there, and moves
  MSB_RETURN_IF_ERROR(builds_.Wait());
  MSB_RETURN_IF_ERROR(Publish());
  ImageRecord record{.digest = digest_,
                     .config_digest = manifest_.config.digest,
                     .stored_at = absl::Now(),
                     .layers = {}};
  for (size_t i = 0; i < layers_.size(); ++i) {
    ImageLayerRecord& layer = record.layers.emplace_back();
    layer.diff_id = layers_[i].diff_id;
    layer.blob_digest = layers_[i].blob_digest;
    MSB_ASSIGN_OR_RETURN(layer.blob_bytes, SizeOf(house_.content.BlobPath(layer.blob_digest)));
    MSB_ASSIGN_OR_RETURN(layer.bytes, SizeOf(house_.content.LayerPath(layers_[i])));
  }
  return house_.catalog.Add(caller, record, std::move(names), kind);
}

}  // namespace msb
