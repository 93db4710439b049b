// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/image_house.h"

#include <sys/statvfs.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb {
namespace {

uint32_t Milliseconds(absl::Duration duration) {
  return static_cast<uint32_t>(absl::ToInt64Milliseconds(duration));
}

}  // namespace

absl::StatusOr<Staging> StagingFolders::Acquire(const std::string& name, uint32_t uid) {
  absl::MutexLock lock(&mutex_);
  std::string path;
  for (int i = 1; path.empty(); ++i) {
    std::string free_name = i == 1 ? name : absl::StrCat(name, "-", i);
    if (busy_.insert(free_name).second) path = absl::StrCat(path_, "/", free_name);
  }
  auto staging = Staging::Open(path, uid);
  if (staging.ok()) return staging;
  busy_.erase(path.substr(path_.size() + 1));
  // Told by the mount: an error of the host's does not keep its number.
  struct statvfs mount {};
  if (::statvfs(path_.c_str(), &mount) == 0 && (mount.f_flag & ST_RDONLY) != 0) {
    return MakeError(
        Reason::kReadOnlyFileSystem,
        absl::StrCat(path_, " is on a file system that is mounted read-only, so that no image can ",
                     "be taken in: mount it writable, or set daemon.data_directory to a place "
                     "that is"));
  }
  return staging;
}

void StagingFolders::Release(const Staging& staging) {
  absl::MutexLock lock(&mutex_);
  busy_.erase(staging.path().substr(path_.size() + 1));
}

absl::Status StagingFolders::Expire() {
  absl::MutexLock lock(&mutex_);
  return ExpireStaging(path_, kept_, busy_);
}

ManifestLimits ManifestLimitsOf(const ImagesConfig& config) {
  return {.max_bytes = kMaxDocumentBytes,
          .max_layers = config.max_layers,
          .max_blob_bytes = config.max_blob_mib * kBytesPerMib};
}

msb::image::v1::Limits JobLimitsOf(const ImagesConfig& config) {
  msb::image::v1::Limits limits;
  limits.set_max_manifest_bytes(kMaxDocumentBytes);
  limits.set_max_layers(config.max_layers);
  limits.set_max_blob_bytes(config.max_blob_mib * kBytesPerMib);
  limits.set_max_image_bytes(config.max_image_mib * kBytesPerMib);
  limits.set_max_layer_bytes(config.max_layer_mib * kBytesPerMib);
  limits.set_max_entries(config.max_entries);
  limits.set_max_archive_entries(config.max_archive_entries);
  limits.set_max_parallel_downloads(config.parallel_downloads);
  limits.set_connect_timeout_ms(Milliseconds(config.connect_timeout));
  limits.set_stall_timeout_ms(Milliseconds(config.stall_timeout));
  limits.set_max_attempts(config.max_attempts);
  limits.set_max_compression_ratio(config.max_compression_ratio);
  return limits;
}

void LimitToRoom(const StoreSpace::Share& share, ImageJobRequest& request) {
  const uint64_t room = std::max<uint64_t>(share.Room(), 1);  // 0 would be no limit there
  request.spec.mutable_limits()->set_room_bytes(room);
  request.max_file_bytes = std::min(request.max_file_bytes, room);
}

}  // namespace msb
