// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What one pull or load has so far, in a folder of its own below staging/:
//
//   fetch/          belongs to the jobs' user: what msb-image writes, finished or not
//   blobs/<hex>     ours: hashed by the daemon, beyond the reach of any job
//   layers/<name>   ours: built of these blobs
//
// A pull's folder outlives a pull that broke off, and the daemon: the next one goes on with it.

#ifndef MSB_SUPERVISOR_IMAGES_STAGING_H_
#define MSB_SUPERVISOR_IMAGES_STAGING_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "supervisor/images/content_store.h"

namespace msb {

// Threading: TakeBlob by one thread; the rest from any.
class Staging {
 public:
  // Makes what is missing. `uid` is that of the jobs.
  static absl::StatusOr<Staging> Open(const std::string& path, uint32_t uid);

  const std::string& path() const { return path_; }
  // fetch/ as a job gets it: a mount of its own, which ".." does not lead out of.
  absl::StatusOr<UniqueFd> OpenForJob() const;

  // Takes a finished blob out of fetch/ and away from its writer, hashes it and keeps it.
  // kImageDigestMismatch, kImageInvalid for what is no file, kImageTooLarge.
  absl::Status TakeBlob(absl::string_view digest, uint64_t max_bytes) const;
  // Keeps bytes of ours.
  absl::Status PutBlob(absl::string_view digest, absl::string_view bytes) const;

  // What is on the disk of all that came, finished or not.
  uint64_t FetchedBytes() const;
  // Of this blob, in fetch/.
  uint64_t FetchedBytes(absl::string_view digest) const;
  bool HasBlob(absl::string_view digest) const;
  std::vector<std::string> Blobs() const;  // digests
  std::string BlobPath(absl::string_view digest) const;
  absl::StatusOr<std::string> ReadBlob(absl::string_view digest, size_t max_bytes) const;

  // A layer while it is built, and when it is whole.
  absl::StatusOr<UniqueFd> NewLayer(const LayerKey& key) const;
  absl::Status KeepLayer(const LayerKey& key, const UniqueFd& file) const;
  void DropLayer(const LayerKey& key) const;  // one that will not be whole
  bool HasLayer(const LayerKey& key) const;
  std::string LayerPath(const LayerKey& key) const;

  // All that there is of these blobs, and the layers that were made of them.
  void Drop(const std::vector<std::string>& digests) const;
  // Whether there is nothing to go on with.
  bool IsEmpty() const;
  // With all that is in it.
  absl::Status Remove() const;

 private:
  explicit Staging(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

// Which folders of pulls that broke off may stay.
struct KeptPartials {
  absl::Duration age;
  uint64_t bytes = 0;
};
inline constexpr absl::string_view kPullPrefix = "pull-";

// Deletes all folders below `staging` but those of pulls that are young and small enough together;
// the oldest go first. Folders whose names are in `busy` are left alone. Blocks.
absl::Status ExpireStaging(const std::string& staging, const KeptPartials& kept,
                           const std::set<std::string>& busy);

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_STAGING_H_
