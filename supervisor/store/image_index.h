// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Which images there are, of which layers, under which names. A database of its own beside the
// files that it speaks of: a row is written when the files are there and durable, and goes before
// they do.

#ifndef MSB_SUPERVISOR_STORE_IMAGE_INDEX_H_
#define MSB_SUPERVISOR_STORE_IMAGE_INDEX_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "supervisor/store/database.h"
#include "supervisor/store/image_record.h"

namespace msb {

// Threading: one thread at a time. Errors: kJournalError.
class ImageIndex {
 public:
  static absl::StatusOr<ImageIndex> Open(const std::string& path);

  // Image and names at once, or nothing. What is there already is replaced.
  absl::Status Put(const ImageRecord& image, const std::vector<ImageName>& names);
  // The names first, then the images, at once.
  absl::Status Delete(const std::vector<ImageName>& names, const std::vector<std::string>& digests);

  absl::StatusOr<std::vector<ImageRecord>> LoadImages();
  absl::StatusOr<std::vector<ImageName>> LoadNames();

 private:
  explicit ImageIndex(Database database) : database_(std::move(database)) {}
  absl::Status PutImage(const ImageRecord& image);
  absl::Status PutName(const ImageName& name);
  absl::Status DeleteRows(const std::vector<ImageName>& names,
                          const std::vector<std::string>& digests);
  absl::Status EndTransaction(absl::Status outcome);

  Database database_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_STORE_IMAGE_INDEX_H_
