// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Reads a tar front to back: ustar, pax, GNU, star and what was before them, with sparse files.
//
// Where tars can be read in more than one way, they are read as Go's archive/tar does, which all of
// Docker, containerd and podman use: a layer must not be one thing to a scanner and another here.
// So links, devices and directories have no content whatever their size says, a pax header goes
// before the fields, a GNU long name before both, and global pax headers count for nothing.

#ifndef MSB_IMAGE_TAR_TAR_READER_H_
#define MSB_IMAGE_TAR_TAR_READER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/erofs/attributes.h"
#include "image/erofs/erofs_writer.h"
#include "image/tar/byte_source.h"
#include "image/tar/format.h"
#include "image/tar/header_fields.h"
#include "image/tar/pax_records.h"

namespace msb::image::tar {

struct Entry {
  enum class Type {
    kFile,
    kHardLink,
    kSymlink,
    kCharDevice,
    kBlockDevice,
    kDirectory,
    kFifo,
  };
  Type type = Type::kFile;
  std::string name;  // as it stands there, not empty, without NUL
  std::string link;  // of links, the same
  Attributes attributes;
  uint64_t size = 0;  // of a file, with its holes
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  // Of a sparse file: what the content is of. Set, in order, and within the size.
  std::optional<std::vector<Extent>> extents;
};

class Reader {
 public:
  // `source` outlives this.
  explicit Reader(ByteSource& source) : source_(source) {}

  // The next entry, past what is left of this one's content; nullopt at the end of the archive,
  // behind which the source may still have bytes. kImageInvalid; kImageTooLarge for headers beyond
  // 1 MiB; what the source says.
  absl::StatusOr<std::optional<Entry>> Next();
  // The next piece of the entry's content (of a sparse file: of its extents), empty at its end.
  // Valid until the next call.
  absl::StatusOr<absl::string_view> ReadContent();

 private:
  // What headers before an entry's own have said.
  struct Pending {
    std::optional<std::string> long_name;
    std::optional<std::string> long_link;
    PaxRecords pax;
  };

  absl::StatusOr<std::optional<std::string>> ReadHeader();
  absl::StatusOr<std::string> ReadExactly(uint64_t bytes);
  absl::Status Skip(uint64_t bytes);
  absl::Status SkipPadding();
  // The content of a header entry.
  absl::StatusOr<std::string> ReadSpecial(uint64_t bytes);
  // True when the header belongs to a later entry.
  absl::StatusOr<bool> TakeSpecial(const HeaderFields& fields, Pending& pending);
  absl::StatusOr<Entry> MakeEntry(const std::string& header, HeaderFields fields, Pending pending);
  absl::Status ReadSparseMap(const std::string& header, const PaxRecords& pax, Entry& entry);
  absl::StatusOr<std::vector<Extent>> ReadOldSparseMap(const std::string& header);
  absl::StatusOr<std::vector<Extent>> ReadSparseMap10();

  ByteSource& source_;
  uint64_t content_left_ = 0;
  uint64_t padding_ = 0;  // behind the content
};

}  // namespace msb::image::tar

#endif  // MSB_IMAGE_TAR_TAR_READER_H_
