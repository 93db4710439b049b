// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Files of this machine as the tree entries of the API, in both directions.

#ifndef MSB_SDKS_MSBCTL_LOCAL_TREE_H_
#define MSB_SDKS_MSBCTL_LOCAL_TREE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "msb/v1/files.pb.h"
#include "sdks/msbctl/local_file.h"

namespace msb {

// Hands `top`, through a symlink if it is one, and all below it to `entry`, parents before
// children, and a regular file's content to `data` behind its entry, exactly as many bytes as the
// entry says (zeros where the file has shrunk meanwhile; a file without a size of its own is read
// first, up to kMaxUnsizedBytes). Devices, FIFOs and sockets are left out, and what is inside of a
// directory of proc or its like that is not `top` itself.
// Both callbacks return false to end it early. `data` may swap the string for another; without
// `data` no file is read.
using EntrySink = std::function<bool(const msb::v1::TreeEntry&)>;
using DataSink = std::function<bool(std::string& data)>;
absl::Status ReadLocalTree(const std::string& top, const EntrySink& entry, const DataSink& data);

// Hands all of a file to `data`, as long as it turns out to be: those of proc do not say.
absl::Status ReadLocalFile(int fd, const std::string& path, const DataSink& data);

// Bytes of the regular files that ReadLocalTree would hand out.
uint64_t LocalTreeBytes(const std::string& top);

// Writes a tree that comes from a guest, which is hostile: an entry cannot leave the destination,
// neither by its name nor through a symlink that an earlier entry made, and no file gets setuid,
// setgid or another owner. A file that was there stays until the one that replaces it is whole.
class LocalTreeWriter {
 public:
  // Entries go below `top`, which is the name of the first entry (the one with an empty path).
  explicit LocalTreeWriter(std::string top) : top_(std::move(top)) {}

  absl::Status Entry(const msb::v1::TreeEntry& entry);
  // Content of the entry before.
  absl::Status Data(absl::string_view data);
  // After the last one: sets times and modes of directories.
  absl::Status Finish();

 private:
  absl::Status WriteTop(const msb::v1::TreeEntry& entry);
  absl::Status WriteBelow(const msb::v1::TreeEntry& entry);
  absl::Status CloseFile();
  absl::StatusOr<UniqueFd> OpenParent(const std::string& path) const;

  const std::string top_;
  bool has_top_ = false;
  UniqueFd root_;  // the directory `top_`, when it is one
  std::unique_ptr<LocalFile> file_;
  uint64_t left_ = 0;
  msb::v1::TreeEntry current_;
  std::vector<msb::v1::TreeEntry> directories_;
};

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_LOCAL_TREE_H_
