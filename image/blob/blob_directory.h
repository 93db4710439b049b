// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The staging directory of a job: a blob is "sha256-<hex>" once it is whole and has been hashed,
// and "sha256-<hex>.part" until then. A part outlives its job, so that a later one goes on with it.
//
// Nothing is synced to the disk here: the daemon reads and hashes each file before it uses it.

#ifndef MSB_IMAGE_BLOB_BLOB_DIRECTORY_H_
#define MSB_IMAGE_BLOB_BLOB_DIRECTORY_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "image/blob/digest.h"

namespace msb::image {

// The beginning of a blob whose digest and size are known. Its file is locked: one writer at a
// time.
class PartialBlob {
 public:
  uint64_t size() const { return size_; }

  absl::Status Append(absl::string_view bytes);
  // Back to nothing.
  absl::Status Restart();
  // Gives the file its name. kImageDigestMismatch when the hash is another one; the part is then
  // removed, since nothing that could follow would make it right.
  absl::Status Finish();

 private:
  friend class BlobDirectory;
  PartialBlob(int directory, Digest digest, UniqueFd file)
      : directory_(directory), digest_(std::move(digest)), file_(std::move(file)) {}
  absl::Status HashWhatIsThere();

  int directory_;
  Digest digest_;
  UniqueFd file_;
  Sha256 hash_;
  uint64_t size_ = 0;
};

// A blob whose digest comes out at its end. Without Finish, nothing of it stays.
class NewBlob {
 public:
  NewBlob(NewBlob&& other) noexcept;
  NewBlob& operator=(NewBlob&&) = delete;
  ~NewBlob();

  uint64_t size() const { return size_; }
  absl::Status Append(absl::string_view bytes);
  // Gives the file its name; a blob of the same content is replaced.
  absl::StatusOr<Digest> Finish();

 private:
  friend class BlobDirectory;
  NewBlob(int directory, std::string name, UniqueFd file)
      : directory_(directory), name_(std::move(name)), file_(std::move(file)) {}

  int directory_;
  std::string name_;  // empty once finished or moved from
  UniqueFd file_;
  Sha256 hash_;
  uint64_t size_ = 0;
};

// One thread at a time a digest. Blobs refer to the directory, which outlives them.
class BlobDirectory {
 public:
  explicit BlobDirectory(UniqueFd directory) : directory_(std::move(directory)) {}

  // Whether a whole blob of this digest is there; one whose bytes are not those is removed.
  absl::StatusOr<bool> Has(const Digest& digest) const;

  // What an earlier job has left, or nothing yet. kUnavailable, without a reason, while another
  // process writes the same blob.
  absl::StatusOr<PartialBlob> Continue(const Digest& digest) const;

  absl::StatusOr<NewBlob> Create();
  // Of a small blob: all of its bytes. kImageTooLarge when there are more than `max_bytes`.
  absl::StatusOr<std::string> Read(const Digest& digest, uint64_t max_bytes) const;
  // The first bytes of a blob, at most `count`.
  absl::StatusOr<std::string> ReadStart(const Digest& digest, size_t count) const;
  absl::StatusOr<UniqueFd> Open(const Digest& digest) const;
  void Remove(const Digest& digest) const;

 private:
  const UniqueFd directory_;
  uint64_t next_new_ = 0;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_BLOB_BLOB_DIRECTORY_H_
