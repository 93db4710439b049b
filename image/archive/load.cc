// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/archive/load.h"

#include <sys/stat.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "image/archive/archive_contents.h"
#include "image/archive/archive_images.h"
#include "image/archive/archive_stream.h"
#include "image/blob/blob_directory.h"

namespace msb::image {
namespace {

// 0 for a pipe.
uint64_t SizeOf(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : 0;
}

std::set<Digest> BlobsOf(const std::vector<ArchivedImage>& images) {
  std::set<Digest> blobs;
  for (const ArchivedImage& image : images) {
    blobs.insert(image.manifest.config.digest);
    for (const Descriptor& layer : image.manifest.layers) blobs.insert(layer.digest);
  }
  return blobs;
}

absl::Status SendBlob(const Digest& digest, EventChannel& channel) {
  v1::JobEvent event;
  event.set_blob_done(digest.text());
  return channel.Send(event);
}

absl::Status SendImage(const ArchivedImage& image, EventChannel& channel) {
  v1::JobEvent event;
  v1::ManifestFound& found = *event.mutable_manifest();
  found.set_manifest(image.manifest_bytes);
  found.set_media_type(image.manifest.media_type);
  found.set_digest(image.digest.text());
  found.set_index(image.index);
  for (const std::string& name : image.names) found.add_names(name);
  return channel.Send(event);
}

}  // namespace

absl::StatusOr<v1::JobDone> LoadArchive(const v1::LoadJob& job, const Limits& limits,
                                        EventChannel& channel) {
  BlobDirectory directory{UniqueFd(job.blob_directory_fd())};
  const uint64_t size = SizeOf(job.archive_fd());
  ArchiveStream stream(UniqueFd(job.archive_fd()), limits);
  const Platform platform{
      .os = job.os(), .architecture = job.architecture(), .variant = job.variant()};
  ArchiveContents contents(directory);
  std::set<Digest> blobs;
  const absl::Cleanup discard = [&] {
    contents.Discard([&](const Digest& digest) { return blobs.contains(digest); });
  };
  MSB_RETURN_IF_ERROR(
      contents.ReadAll(stream, limits, [&] { channel.Progress("", stream.taken_bytes(), size); }));
  MSB_ASSIGN_OR_RETURN(const std::vector<ArchivedImage> images,
                       FindImages(contents, platform, limits));
  blobs = BlobsOf(images);
  for (const Digest& digest : blobs) MSB_RETURN_IF_ERROR(SendBlob(digest, channel));
  for (const ArchivedImage& image : images) MSB_RETURN_IF_ERROR(SendImage(image, channel));
  v1::JobDone done;
  done.set_bytes(stream.taken_bytes());
  return done;
}

}  // namespace msb::image
