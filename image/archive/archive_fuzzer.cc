// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Archives: whatever they hold, what stays in the directory are blobs that an image names, and
// nothing after an error.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "image/archive/archive_contents.h"
#include "image/archive/archive_images.h"
#include "image/archive/archive_stream.h"
#include "image/blob/blob_directory.h"
#include "tests/support/temp_dir.h"

namespace msb::image {
namespace {

const Limits kLimits{.max_manifest_bytes = 1 << 16,
                     .max_layers = 16,
                     .max_blob_bytes = 1 << 20,
                     .max_image_bytes = 4 << 20};

UniqueFd FileOf(absl::string_view bytes) {
  UniqueFd file(::memfd_create("archive", MFD_CLOEXEC));
  MSB_CHECK(::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  MSB_CHECK(::lseek(file.get(), 0, SEEK_SET) == 0);
  return file;
}

// The blobs of all images, empty when the archive is refused.
std::set<Digest> Load(const ArchiveContents& contents) {
  const auto images = FindImages(contents, {"linux", "amd64", ""}, kLimits);
  std::set<Digest> blobs;
  if (!images.ok()) return blobs;
  MSB_CHECK(!images->empty());
  for (const ArchivedImage& image : *images) {
    MSB_CHECK(contents.FindDigest(image.manifest.config.digest) != nullptr);
    blobs.insert(image.manifest.config.digest);
    for (const Descriptor& layer : image.manifest.layers) {
      MSB_CHECK(contents.FindDigest(layer.digest)->size == layer.size);
      blobs.insert(layer.digest);
    }
    for (const std::string& name : image.names) MSB_CHECK(IsPlausibleName(name));
  }
  return blobs;
}

void Fuzz(absl::string_view bytes) {
  static const TempDir& staging = *new TempDir;
  BlobDirectory directory(UniqueFd(::open(staging.path().c_str(), O_RDONLY | O_DIRECTORY)));
  std::set<Digest> blobs;
  {
    ArchiveStream stream(FileOf(bytes), kLimits);
    ArchiveContents contents(directory);
    if (contents.ReadAll(stream, kLimits, [] {}).ok()) blobs = Load(contents);
    contents.Discard([&](const Digest& digest) { return blobs.contains(digest); });
  }
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(staging.path())) {
    left.push_back(entry.path().filename());
  }
  MSB_CHECK(left.size() == blobs.size());
  for (const Digest& digest : blobs) {
    MSB_CHECK(directory.Has(digest).value_or(false));
    directory.Remove(digest);
  }
}

}  // namespace
}  // namespace msb::image

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::image::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
