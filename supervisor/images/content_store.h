// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The files of all images:
//
//   blobs/sha256/<hex>                    manifests, configurations, compressed layers
//   layers/sha256/<diff id>.<blob>.erofs  a layer as a file system
//   staging/<name>/                       what is on its way (staging.h)
//   trash/                                what is being deleted
//
// A layer is named by its diff id, and by the blob that it was made of: a hostile blob that breaks
// the process which unpacks it can spoil the layer of that blob, and never that of an honest one
// whose diff id it claims.
//
// Nothing comes into blobs/ and layers/ but by rename, whole and durable.

#ifndef MSB_SUPERVISOR_IMAGES_CONTENT_STORE_H_
#define MSB_SUPERVISOR_IMAGES_CONTENT_STORE_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace msb {

struct LayerKey {
  std::string diff_id;
  std::string blob_digest;

  std::string FileName() const;
  bool operator<(const LayerKey& other) const {
    return diff_id != other.diff_id ? diff_id < other.diff_id : blob_digest < other.blob_digest;
  }
};

// kNoSpace for a full disk, kHostError otherwise.
absl::Status StoreError(absl::string_view what, const absl::Status& status);
// Makes what was renamed in a folder, or into it, last.
absl::Status SyncDirectory(const std::string& path);

// Threading: the methods do not disturb each other; who removes and who adds is for the caller to
// order.
class ContentStore {
 public:
  // Makes what is missing of the folders, and empties the trash.
  static absl::StatusOr<ContentStore> Open(const std::string& path);

  const std::string& path() const { return path_; }
  std::string staging() const { return path_ + "/staging"; }
  std::string BlobPath(absl::string_view digest) const;
  std::string LayerPath(const LayerKey& key) const;

  bool HasBlob(absl::string_view digest) const;
  bool HasLayer(const LayerKey& key) const;
  // A small blob, hashed again. kImageInvalid when it is damaged or larger.
  absl::StatusOr<std::string> ReadBlob(absl::string_view digest, size_t max_bytes) const;

  // Moves a file that is durable already to its place. OK when something is there: it is the same.
  absl::Status AddBlob(absl::string_view digest, const std::string& file) const;
  absl::Status AddLayer(const LayerKey& key, const std::string& file) const;
  // After a number of additions.
  absl::Status Sync() const;

  // Moves all but these into the trash: nobody finds them any more. By file name.
  struct Kept {
    std::set<std::string> blobs;
    std::set<std::string> layers;
  };
  absl::Status DiscardAllBut(const Kept& kept) const;
  // Deletes what is in the trash; blocks. The bytes that it took.
  uint64_t EmptyTrash() const;

  // What blobs, layers and staging take of the disk. Blocks.
  uint64_t UsedBytes() const;

 private:
  explicit ContentStore(std::string path) : path_(std::move(path)) {}
  absl::Status Discard(const std::string& folder, const std::set<std::string>& kept) const;

  std::string path_;
};

inline constexpr uint64_t kStatBlockBytes = 512;  // of st_blocks: stat(2)
inline constexpr uint64_t kBytesPerMib = 1u << 20;

// Bytes that files below `path` take of the disk; 0 for what cannot be read.
uint64_t DiskUsage(const std::string& path);

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_CONTENT_STORE_H_
