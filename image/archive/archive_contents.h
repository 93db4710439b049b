// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What an image archive holds: each file is a blob in the staging directory, found by the name that
// it has in the archive. No file is ever made under such a name.

#ifndef MSB_IMAGE_ARCHIVE_ARCHIVE_CONTENTS_H_
#define MSB_IMAGE_ARCHIVE_ARCHIVE_CONTENTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/archive/archive_stream.h"
#include "image/blob/blob_directory.h"
#include "image/limits.h"
#include "image/tar/tar_reader.h"

namespace msb::image {

struct StoredBlob {
  Digest digest;
  uint64_t size = 0;
};

// `name` without "." parts and double slashes; nullopt when it is absolute, has ".." parts, is
// longer than any name of an archive or has characters that none has. Pure.
std::optional<std::string> NormalName(absl::string_view name);

// Where a link at `name` leads to, in the same form. Pure.
std::optional<std::string> LinkTarget(absl::string_view name, absl::string_view target);

class ArchiveContents {
 public:
  // `directory` outlives the contents.
  explicit ArchiveContents(BlobDirectory& directory) : directory_(directory) {}

  // Stores all entries. `on_progress` is called now and then. Whatever the result, what was stored
  // is in the directory until Discard.
  absl::Status ReadAll(ArchiveStream& stream, const Limits& limits,
                       const std::function<void()>& on_progress);

  // The file of this name, links followed; nullptr when there is none.
  const StoredBlob* Find(absl::string_view name) const;
  const StoredBlob* FindDigest(const Digest& digest) const;

  // The text of a small file.
  absl::StatusOr<std::string> ReadText(const StoredBlob& blob, absl::string_view what,
                                       const Limits& limits) const;
  // The first bytes of a blob.
  absl::StatusOr<std::string> ReadStart(const StoredBlob& blob, size_t count) const {
    return directory_.ReadStart(blob.digest, count);
  }

  // Removes what was stored, but for what `keep` says of.
  void Discard(const std::function<bool(const Digest&)>& keep) const;

 private:
  absl::Status TakeEntry(tar::Reader& reader, const tar::Entry& entry, const Limits& limits,
                         const std::function<void()>& on_progress);
  absl::StatusOr<StoredBlob> Store(tar::Reader& reader, const std::string& name,
                                   const Limits& limits, const std::function<void()>& on_progress);
  absl::Status Remember(const std::string& name, StoredBlob blob);

  BlobDirectory& directory_;
  std::map<std::string, StoredBlob, std::less<>> files_;
  std::map<std::string, std::string, std::less<>> links_;
  std::map<Digest, StoredBlob> blobs_;
  uint64_t stored_bytes_ = 0;
  size_t entries_ = 0;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_ARCHIVE_ARCHIVE_CONTENTS_H_
