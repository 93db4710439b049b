// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/layer/layer_tree.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb::image {
namespace {

constexpr uint16_t kImpliedPermissions = 0755;
constexpr char kOpaqueXattr[] = "trusted.overlay.opaque";
// Directories are written last, so their attributes are kept until then.
constexpr uint64_t kMaxKeptXattrBytes = uint64_t{64} << 20;

Directory* DirectoryIn(Node& node) {
  auto* const directory = std::get_if<std::unique_ptr<Directory>>(&node);
  return directory == nullptr ? nullptr : directory->get();
}

const Directory* DirectoryIn(const Node& node) { return DirectoryIn(const_cast<Node&>(node)); }

bool IsOpaque(const Directory& directory) {
  const auto& xattrs = directory.attributes.xattrs;
  return std::any_of(xattrs.begin(), xattrs.end(),
                     [](const Xattr& xattr) { return xattr.name == kOpaqueXattr; });
}

void SetOpaque(Directory& directory) {
  if (!IsOpaque(directory)) {
    directory.attributes.xattrs.push_back({.name = kOpaqueXattr, .value = "y"});
  }
}

std::unique_ptr<Directory> NewDirectory() {
  auto directory = std::make_unique<Directory>();
  directory->attributes.permissions = kImpliedPermissions;
  return directory;
}

std::string Shown(LayerTree::Path path) {
  return absl::StrCat("'", EscapeForLog(absl::StrJoin(path, "/")), "'");
}

uint64_t EntriesIn(const Directory& directory) {
  uint64_t count = directory.children.size();
  for (const auto& [name, node] : directory.children) {
    if (const Directory* child = DirectoryIn(node)) count += EntriesIn(*child);
  }
  return count;
}

}  // namespace

LayerTree::LayerTree(uint64_t max_entries) : max_entries_(max_entries) {
  root_.attributes.permissions = kImpliedPermissions;
}

absl::Status LayerTree::Count() {
  if (++made_ <= max_entries_) return absl::OkStatus();
  return MakeError(Reason::kImageTooLarge, absl::StrCat("the layer has more than ", max_entries_,
                                                        " entries (images.max_entries)"));
}

bool LayerTree::IsWhiteout(const Node& node) const {
  const InodeRef* const inode = std::get_if<InodeRef>(&node);
  return inode != nullptr && whiteouts_.contains(inode->index);
}

// The directory `name` of `parent`, made when there is none.
absl::StatusOr<Directory*> LayerTree::Enter(Directory& parent, const std::string& name) {
  const auto found = parent.children.find(name);
  if (found == parent.children.end()) {
    MSB_RETURN_IF_ERROR(Count());
    return DirectoryIn(parent.children.emplace(name, NewDirectory()).first->second);
  }
  if (Directory* const directory = DirectoryIn(found->second)) return directory;
  if (!IsWhiteout(found->second)) {
    return MakeError(
        Reason::kImageInvalid,
        absl::StrCat("'", EscapeForLog(name), "' on the way to it is ",
                     std::get<InodeRef>(found->second).type == erofs::FileType::kSymlink
                         ? "a symbolic link"
                         : "no directory"));
  }
  found->second = NewDirectory();
  Directory* const directory = DirectoryIn(found->second);
  SetOpaque(*directory);
  return directory;
}

absl::StatusOr<Directory*> LayerTree::ParentOf(Path path) {
  Directory* directory = &root_;
  for (const std::string& name : path.first(path.size() - 1)) {
    MSB_ASSIGN_OR_RETURN(directory, Enter(*directory, name));
  }
  return directory;
}

absl::Status LayerTree::PutDirectory(Path path, Attributes attributes) {
  for (const Xattr& xattr : attributes.xattrs) {
    kept_xattr_bytes_ += xattr.name.size() + xattr.value.size();
  }
  if (kept_xattr_bytes_ > kMaxKeptXattrBytes) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat("the directories' extended attributes have more than ",
                                  kMaxKeptXattrBytes, " bytes"));
  }
  Directory* directory = &root_;
  if (!path.empty()) {
    MSB_ASSIGN_OR_RETURN(Directory* const parent, ParentOf(path));
    Node* const old =
        parent->children.contains(path.back()) ? &parent->children[path.back()] : nullptr;
    if (old != nullptr && DirectoryIn(*old) == nullptr && !IsWhiteout(*old)) {
      parent->children.erase(path.back());
    }
    MSB_ASSIGN_OR_RETURN(directory, Enter(*parent, path.back()));
  }
  const bool opaque = IsOpaque(*directory);
  directory->attributes = std::move(attributes);
  if (opaque) SetOpaque(*directory);
  return absl::OkStatus();
}

absl::Status LayerTree::PutInode(Path path, InodeRef inode) {
  if (path.empty()) return MakeError(Reason::kImageInvalid, "the root is no directory");
  MSB_ASSIGN_OR_RETURN(Directory* const parent, ParentOf(path));
  MSB_RETURN_IF_ERROR(Count());
  parent->children.insert_or_assign(path.back(), Node(inode));
  return absl::OkStatus();
}

absl::StatusOr<bool> LayerTree::NeedsWhiteout(Path path) {
  MSB_ASSIGN_OR_RETURN(Directory* const parent, ParentOf(path));
  const auto found = parent->children.find(path.back());
  if (found == parent->children.end()) return true;
  if (Directory* const directory = DirectoryIn(found->second)) SetOpaque(*directory);
  return false;
}

absl::Status LayerTree::PutWhiteout(Path path, InodeRef inode) {
  whiteouts_.insert(inode.index);
  return PutInode(path, inode);
}

absl::Status LayerTree::MakeOpaque(Path directory) {
  Directory* opaque = &root_;
  if (!directory.empty()) {
    MSB_ASSIGN_OR_RETURN(Directory* const parent, ParentOf(directory));
    MSB_ASSIGN_OR_RETURN(opaque, Enter(*parent, directory.back()));
  }
  SetOpaque(*opaque);
  return absl::OkStatus();
}

absl::StatusOr<InodeRef> LayerTree::LinkTarget(Path path) const {
  const Directory* directory = &root_;
  for (size_t i = 0; i < path.size(); ++i) {
    const auto found = directory->children.find(path[i]);
    if (found == directory->children.end() || IsWhiteout(found->second)) break;
    const Directory* const below = DirectoryIn(found->second);
    if (i + 1 == path.size() && below == nullptr) return std::get<InodeRef>(found->second);
    if (below == nullptr) break;
    directory = below;
  }
  return MakeError(Reason::kImageInvalid,
                   absl::StrCat("a hard link to ", Shown(path),
                                ", which is no file that this layer had before"));
}

uint64_t LayerTree::entries() const { return 1 + EntriesIn(root_); }

}  // namespace msb::image
