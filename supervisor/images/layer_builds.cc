// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/layer_builds.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "supervisor/store/ids.h"

namespace msb {
namespace {

constexpr int kTarFd = kFirstImageJobFd;
constexpr int kErofsFd = kFirstImageJobFd + 1;
// What a file system needs beside the data of its files.
constexpr uint64_t kErofsSlackBytes = 256 * kBytesPerMib;

// 0 when that is not known.
uint64_t DiskBytes(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * kStatBlockBytes : 0;
}

}  // namespace

LayerBuilds::~LayerBuilds() { Wait().IgnoreError(); }

void LayerBuilds::Begin(const LayerKey& key) {
  const bool there = house_.content.HasLayer(key) || staging_.HasLayer(key);
  {
    absl::MutexLock lock(&mutex_);
    if (!failure_.ok() || !begun_.insert(key).second) return;
    if (!there) ++running_;
  }
  if (there) return observer_.done(key.blob_digest);
  house_.unpackers.Run([this, key] { Run(key); });
}

void LayerBuilds::Run(const LayerKey& key) {
  const absl::Status built = Build(key);
  if (built.ok()) observer_.done(key.blob_digest);
  absl::MutexLock lock(&mutex_);
  if (!built.ok() && failure_.ok()) {
    failure_ = built;
    cancel_.Cancel();  // whoever waits for more of the image
  }
  --running_;
}

absl::Status LayerBuilds::Wait() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &LayerBuilds::IsIdle));
  return failure_;
}

absl::Status LayerBuilds::failure() const {
  absl::MutexLock lock(&mutex_);
  return failure_;
}

absl::Status LayerBuilds::Build(const LayerKey& key) {
  if (cancel_.cancelled()) return absl::CancelledError("the call was ended");
  const std::string blob = staging_.HasBlob(key.blob_digest)
                               ? staging_.BlobPath(key.blob_digest)
                               : house_.content.BlobPath(key.blob_digest);
  const UniqueFd tar(::open(blob.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!tar.valid()) return StoreError("the image store", absl::ErrnoToStatus(errno, blob));
  MSB_ASSIGN_OR_RETURN(const UniqueFd erofs, staging_.NewLayer(key));
  // Half a file system is of use to nobody, while its blob stays for the next attempt.
  const absl::Cleanup drop = [&] { staging_.DropLayer(key); };  // not what is kept by then
  MSB_ASSIGN_OR_RETURN(const StoreSpace::Share share,
                       house_.space.Reserve(0, [&] { return DiskBytes(erofs.get()); }));
  MSB_RETURN_IF_ERROR(share.Follow());
  MSB_RETURN_IF_ERROR(RunJob(key, tar.get(), erofs.get(), share));
  MSB_RETURN_IF_ERROR(CountLayer(erofs.get()));
  // The job is gone: nobody writes any more.
  return staging_.KeepLayer(key, erofs);
}

uint64_t LayerBuilds::RoomInImage() const {
  const uint64_t of_image = house_.config.max_image_mib * kBytesPerMib;
  absl::MutexLock lock(&mutex_);
  return of_image - std::min(of_image, built_bytes_);
}

absl::Status LayerBuilds::CountLayer(int erofs_fd) {
  struct stat info {};
  if (::fstat(erofs_fd, &info) != 0) {
    return StoreError("the image store", absl::ErrnoToStatus(errno, "fstat"));
  }
  absl::MutexLock lock(&mutex_);
  built_bytes_ += static_cast<uint64_t>(info.st_size);
  if (built_bytes_ <= house_.config.max_image_mib * kBytesPerMib) return absl::OkStatus();
  return MakeError(
      Reason::kImageTooLarge,
      absl::StrCat("the image's layers unpack to ", built_bytes_ / kBytesPerMib, " MiB; at most ",
                   house_.config.max_image_mib, " are taken (images.max_image_mib)"));
}

absl::Status LayerBuilds::RunJob(const LayerKey& key, int tar_fd, int erofs_fd,
                                 const StoreSpace::Share& share) {
  const uint64_t of_layer = house_.config.max_layer_mib * kBytesPerMib;
  ImageJobRequest request;
  request.spec.set_id(NewId());
  request.spec.mutable_build_layer()->set_tar_fd(kTarFd);
  request.spec.mutable_build_layer()->set_erofs_fd(kErofsFd);
  request.spec.mutable_build_layer()->set_diff_id(key.diff_id);
  *request.spec.mutable_limits() = JobLimitsOf(house_.config);
  // 0 would be no limit there.
  const uint64_t in_image = std::max<uint64_t>(RoomInImage(), 1);
  request.spec.mutable_limits()->set_max_image_bytes(in_image);
  request.fds = {{kTarFd, tar_fd}, {kErofsFd, erofs_fd}};
  request.max_file_bytes = std::min(of_layer + kErofsSlackBytes, in_image);
  LimitToRoom(share, request);
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<ImageJob> job, house_.jobs.Start(request, cancel_));
  while (true) {
    MSB_ASSIGN_OR_RETURN(const msb::image::v1::JobEvent event, job->Next());
    MSB_RETURN_IF_ERROR(share.Follow());
    if (event.has_progress()) {
      observer_.progress(key.blob_digest, event.progress().done_bytes(),
                         event.progress().total_bytes());
    }
    if (!event.has_done()) continue;
    if (event.done().layer().diff_id() == key.diff_id) return absl::OkStatus();
    return MakeError(Reason::kImageDigestMismatch,
                     absl::StrCat("the layer is not ", key.diff_id, ", as the configuration says"));
  }
}

}  // namespace msb
