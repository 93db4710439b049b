// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/archive/save.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "image/archive/archive_images.h"
#include "image/archive/tar_writer.h"
#include "image/blob/digest.h"
#include "image/manifest/manifest.h"
#include "image/manifest/manifest_writer.h"

namespace msb::image {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;
constexpr char kLayoutVersion[] = R"({"imageLayoutVersion":"1.0.0"})";

struct OpenBlob {
  UniqueFd file;
  uint64_t size = 0;
};
using OpenBlobs = std::map<Digest, OpenBlob>;

absl::StatusOr<OpenBlobs> TakeBlobs(const v1::SaveJob& job) {
  OpenBlobs blobs;
  for (const v1::Blob& blob : job.blobs()) {
    UniqueFd file(blob.fd());
    MSB_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(blob.digest()));
    struct stat info {};
    MSB_RETURN_IF_ERROR(Syscall("fstat of a blob", [&] { return ::fstat(file.get(), &info); }));
    if (!S_ISREG(info.st_mode)) {
      return MakeError(Reason::kInvalidArgument, absl::StrCat(digest.text(), " is no file"));
    }
    blobs.insert_or_assign(
        std::move(digest),
        OpenBlob{.file = std::move(file), .size = static_cast<uint64_t>(info.st_size)});
  }
  return blobs;
}

// Hands all bytes of a blob to `sink`; they are those that its digest names, or it is an error.
absl::Status ReadBlob(const Digest& digest, const OpenBlob& blob,
                      const std::function<absl::Status(absl::string_view)>& sink) {
  std::vector<char> piece(kPieceBytes);
  Sha256 hash;
  uint64_t offset = 0;
  while (offset < blob.size) {
    const size_t wanted = std::min<uint64_t>(piece.size(), blob.size - offset);
    MSB_ASSIGN_OR_RETURN(const ssize_t count, Syscall("reading a blob", [&] {
                           return ::pread(blob.file.get(), piece.data(), wanted,
                                          static_cast<off_t>(offset));
                         }));
    if (count == 0) break;
    const absl::string_view bytes(piece.data(), static_cast<size_t>(count));
    hash.Update(bytes);
    offset += bytes.size();
    MSB_RETURN_IF_ERROR(sink(bytes));
  }
  if (offset == blob.size && hash.Finish() == digest) return absl::OkStatus();
  return MakeError(
      Reason::kImageDigestMismatch,
      absl::StrCat("blob ", digest.text(),
                   " of the image store is damaged; remove the image and pull it again"));
}

absl::StatusOr<const OpenBlob*> Find(const OpenBlobs& blobs, const Digest& digest) {
  const auto found = blobs.find(digest);
  if (found != blobs.end()) return &found->second;
  return MakeError(Reason::kInvalidArgument,
                   absl::StrCat("the job lacks blob ", digest.text(), ", which an image names"));
}

absl::StatusOr<NamedImage> ReadImage(const v1::SavedImage& wire, const OpenBlobs& blobs,
                                     const Limits& limits) {
  MSB_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(wire.manifest_digest()));
  MSB_ASSIGN_OR_RETURN(const OpenBlob* blob, Find(blobs, digest));
  std::string bytes;
  if (blob->size > limits.max_manifest_bytes) {
    return MakeError(Reason::kImageTooLarge, "the manifest is too large");
  }
  MSB_RETURN_IF_ERROR(ReadBlob(digest, *blob, [&](absl::string_view piece) {
    absl::StrAppend(&bytes, piece);
    return absl::OkStatus();
  }));
  MSB_ASSIGN_OR_RETURN(auto parsed, ParseManifest(bytes, "", limits));
  Manifest* manifest = std::get_if<Manifest>(&parsed);
  if (manifest == nullptr) {
    return MakeError(Reason::kInvalidArgument, "what is to be saved is an index, not an image");
  }
  NamedImage image{.descriptor = {manifest->media_type, std::move(digest), blob->size},
                   .manifest = std::move(*manifest)};
  MSB_RETURN_IF_ERROR(Find(blobs, image.manifest.config.digest));
  for (const Descriptor& layer : image.manifest.layers) {
    MSB_RETURN_IF_ERROR(Find(blobs, layer.digest));
  }
  for (const std::string& name : wire.names()) {
    if (!IsPlausibleName(name))
      return MakeError(Reason::kInvalidArgument, "an image has a bad name");
    image.names.push_back(name);
  }
  return image;
}

absl::Status AddText(TarWriter& writer, const std::string& name, absl::string_view text) {
  MSB_RETURN_IF_ERROR(writer.BeginFile(name, text.size()));
  return writer.Append(text);
}

absl::Status AddBlobs(TarWriter& writer, const OpenBlobs& blobs, EventChannel& channel) {
  uint64_t total = 0;
  for (const auto& [digest, blob] : blobs) total += blob.size;
  const auto append = [&](absl::string_view piece) {
    channel.Progress("", writer.written_bytes(), total);
    return writer.Append(piece);
  };
  for (const auto& [digest, blob] : blobs) {
    MSB_RETURN_IF_ERROR(writer.BeginFile(LayoutPath(digest), blob.size));
    MSB_RETURN_IF_ERROR(ReadBlob(digest, blob, append));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::JobDone> SaveArchive(const v1::SaveJob& job, const Limits& limits,
                                        EventChannel& channel) {
  TarWriter writer{UniqueFd(job.archive_fd())};
  MSB_ASSIGN_OR_RETURN(const OpenBlobs blobs, TakeBlobs(job));
  std::vector<NamedImage> images;
  for (const v1::SavedImage& wire : job.images()) {
    MSB_ASSIGN_OR_RETURN(NamedImage image, ReadImage(wire, blobs, limits));
    images.push_back(std::move(image));
  }
  if (images.empty()) return MakeError(Reason::kInvalidArgument, "the job names no image");
  MSB_RETURN_IF_ERROR(AddText(writer, "oci-layout", kLayoutVersion));
  MSB_RETURN_IF_ERROR(AddText(writer, "index.json", WriteLayoutIndex(images)));
  MSB_RETURN_IF_ERROR(AddText(writer, "manifest.json", WriteDockerManifest(images)));
  MSB_RETURN_IF_ERROR(writer.AddDirectory("blobs"));
  MSB_RETURN_IF_ERROR(writer.AddDirectory("blobs/sha256"));
  MSB_RETURN_IF_ERROR(AddBlobs(writer, blobs, channel));
  MSB_RETURN_IF_ERROR(writer.Finish());
  v1::JobDone done;
  done.set_bytes(writer.written_bytes());
  return done;
}

}  // namespace msb::image
