// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/layer/build_layer.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/erofs/erofs_writer.h"
#include "image/layer/layer_input.h"
#include "image/layer/layer_name.h"
#include "image/layer/layer_tree.h"
#include "image/tar/tar_reader.h"

namespace msb::image {
namespace {

using Type = tar::Entry::Type;

constexpr size_t kMaxSymlinkBytes = 4095;  // PATH_MAX, less its NUL
// What overlayfs would take for its own: where a directory was before, whose data a file has.
constexpr absl::string_view kOverlayXattrs = "trusted.overlay.";

// What the format has no place for is left out, as it would be by a tool that unpacks the layer
// onto a file system without it.
bool IsKept(const Xattr& xattr) {
  return HasXattrPlace(xattr.name) && !absl::StartsWith(xattr.name, kOverlayXattrs);
}

class LayerBuilder {
 public:
  LayerBuilder(LayerInput& input, int erofs_fd, const LayerLimits& limits)
      : limits_(limits),
        input_(input),
        reader_(input),
        writer_(erofs_fd, Nearest(limits.max_bytes, RoomInStore(limits.room_bytes))),
        tree_(limits.max_entries) {}

  absl::Status AddAll() {
    while (true) {
      MSB_ASSIGN_OR_RETURN(std::optional<tar::Entry> entry, reader_.Next());
      if (!entry) return absl::OkStatus();
      const std::string name = entry->name;
      if (absl::Status added = Add(*std::move(entry)); !added.ok()) {
        if (ReasonOf(added) == Reason::kUnspecified) return added;  // the caller's own
        return MakeError(ReasonOf(added),
                         absl::StrCat("layer entry '", EscapeForLog(name), "': ", added.message()));
      }
    }
  }

  absl::StatusOr<LayerSummary> Finish(const Digest& digest) {
    Uuid uuid;
    const std::string bytes = absl::HexStringToBytes(digest.hex());
    std::copy_n(bytes.begin(), uuid.size(), uuid.begin());
    LayerSummary summary;
    summary.diff_id = digest.text();
    summary.entries = tree_.entries();
    MSB_RETURN_IF_ERROR(writer_.Finish(tree_.root(), uuid));
    summary.erofs_bytes = writer_.bytes();
    summary.tar_bytes = input_.tar_bytes();
    return summary;
  }

 private:
  absl::Status Add(tar::Entry entry) {
    if (++entries_ > limits_.max_entries) {
      return MakeError(Reason::kImageTooLarge,
                       absl::StrCat("the layer has more than ", limits_.max_entries,
                                    " entries (images.max_entries)"));
    }
    MSB_ASSIGN_OR_RETURN(std::vector<std::string> path,
                         SplitLayerName(entry.name, limits_.max_name_bytes));
    MSB_ASSIGN_OR_RETURN(const LayerName name, ClassifyLayerName(std::move(path)));
    std::vector<Xattr>& xattrs = entry.attributes.xattrs;
    xattrs.erase(std::remove_if(xattrs.begin(), xattrs.end(),
                                [](const Xattr& xattr) { return !IsKept(xattr); }),
                 xattrs.end());
    switch (name.kind) {
      case NameKind::kIgnored:
        return absl::OkStatus();
      case NameKind::kOpaque:
        return tree_.MakeOpaque(name.path);
      case NameKind::kWhiteout:
        return AddWhiteout(name.path, entry.attributes.mtime);
      case NameKind::kOrdinary:
        break;
    }
    return AddOrdinary(name.path, std::move(entry));
  }

  absl::Status AddWhiteout(LayerTree::Path path, FileTime mtime) {
    MSB_ASSIGN_OR_RETURN(const bool needed, tree_.NeedsWhiteout(path));
    if (!needed) return absl::OkStatus();
    MSB_ASSIGN_OR_RETURN(const InodeRef inode,
                         writer_.AddSpecial({.mtime = mtime}, erofs::FileType::kCharDevice, 0, 0));
    return tree_.PutWhiteout(path, inode);
  }

  absl::Status AddOrdinary(LayerTree::Path path, tar::Entry entry) {
    if (entry.type == Type::kDirectory) {
      return tree_.PutDirectory(path, std::move(entry.attributes));
    }
    // Before the content goes out: an entry that cannot be is refused at once.
    if (path.empty()) return MakeError(Reason::kImageInvalid, "the root is no directory");
    MSB_RETURN_IF_ERROR(tree_.ParentOf(path));
    MSB_ASSIGN_OR_RETURN(const InodeRef inode, MakeInode(entry));
    const bool hides = entry.type == Type::kCharDevice && entry.dev_major == 0 &&
                       entry.dev_minor == 0;  // overlayfs's own whiteout, as it stands in some tars
    return hides ? tree_.PutWhiteout(path, inode) : tree_.PutInode(path, inode);
  }

  absl::StatusOr<InodeRef> MakeInode(const tar::Entry& entry) {
    using erofs::FileType;
    switch (entry.type) {
      case Type::kFile:
        return AddFile(entry);
      case Type::kHardLink: {
        MSB_ASSIGN_OR_RETURN(const std::vector<std::string> target,
                             SplitLayerName(entry.link, limits_.max_name_bytes));
        return tree_.LinkTarget(target);
      }
      case Type::kSymlink:
        if (entry.link.empty() || entry.link.size() > kMaxSymlinkBytes) {
          return MakeError(Reason::kImageInvalid,
                           absl::StrCat("a symbolic link of ", entry.link.size(), " bytes; 1 to ",
                                        kMaxSymlinkBytes, " are possible"));
        }
        return writer_.AddSymlink(entry.attributes, entry.link);
      case Type::kCharDevice:
        return writer_.AddSpecial(entry.attributes, FileType::kCharDevice, entry.dev_major,
                                  entry.dev_minor);
      case Type::kBlockDevice:
        return writer_.AddSpecial(entry.attributes, FileType::kBlockDevice, entry.dev_major,
                                  entry.dev_minor);
      case Type::kFifo:
        return writer_.AddSpecial(entry.attributes, FileType::kFifo, 0, 0);
      case Type::kDirectory:
        break;
    }
    return MakeError(Reason::kInternalBug, "a directory is no inode of its own");
  }

  absl::StatusOr<InodeRef> AddFile(const tar::Entry& entry) {
    if (entry.size > limits_.max_bytes.bytes - file_bytes_) {
      return limits_.max_bytes.Exceeded("the layer's files have");
    }
    file_bytes_ += entry.size;
    MSB_ASSIGN_OR_RETURN(const InodeRef inode,
                         entry.extents
                             ? writer_.AddSparseFile(entry.attributes, entry.size, *entry.extents)
                             : writer_.AddFile(entry.attributes, entry.size));
    while (true) {
      MSB_ASSIGN_OR_RETURN(const absl::string_view piece, reader_.ReadContent());
      if (piece.empty()) return inode;
      MSB_RETURN_IF_ERROR(writer_.AppendContent(piece));
    }
  }

  const LayerLimits limits_;
  LayerInput& input_;
  tar::Reader reader_;
  ErofsWriter writer_;
  LayerTree tree_;
  uint64_t entries_ = 0;     // of the tar
  uint64_t file_bytes_ = 0;  // of all files, holes among them
};

}  // namespace

absl::StatusOr<LayerSummary> BuildLayer(int tar_fd, int erofs_fd, absl::string_view diff_id,
                                        const LayerLimits& limits, const LayerProgress& progress) {
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<LayerInput> input,
                       LayerInput::Open(tar_fd, limits, progress));
  LayerBuilder builder(*input, erofs_fd, limits);
  MSB_RETURN_IF_ERROR(builder.AddAll());
  MSB_ASSIGN_OR_RETURN(const Digest digest, input->ReadToEnd());
  if (!diff_id.empty() && digest.text() != diff_id) {
    return MakeError(
        Reason::kImageDigestMismatch,
        absl::StrCat("the layer's diff id is ", digest.text(), ", not ", EscapeForLog(diff_id)));
  }
  return builder.Finish(digest);
}

}  // namespace msb::image
