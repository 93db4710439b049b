// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/image/erofs_reader.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "image/erofs/crc32c.h"

namespace msb::image {
namespace {

using erofs::kBlockBytes;
using erofs::Layout;

constexpr uint64_t kMaxContent = uint64_t{16} << 20;
constexpr int kMaxDepth = 4096;

absl::Status Wrong(absl::string_view what) { return absl::DataLossError(what); }

class Reader {
 public:
  explicit Reader(absl::string_view file) : file_(file) {}

  absl::StatusOr<std::map<std::string, ReadInode>> Read() {
    MSB_RETURN_IF_ERROR(ReadSuper());
    MSB_RETURN_IF_ERROR(ReadTree("", super_.root_nid, super_.root_nid, 0));
    std::set<uint64_t> nids;
    std::map<uint64_t, uint32_t> names;
    for (const auto& [path, inode] : found_) {
      nids.insert(inode.nid);
      ++names[inode.nid];
    }
    if (nids.size() != super_.inodes) return Wrong(absl::StrCat(super_.inodes, " inodes"));
    for (const auto& [path, inode] : found_) {
      const uint32_t wanted = S_ISDIR(inode.mode) ? 2 + subdirectories_[path] : names[inode.nid];
      if (inode.links != wanted) return Wrong(absl::StrCat(path, ": ", inode.links, " links"));
    }
    return std::move(found_);
  }

 private:
  template <typename T>
  absl::StatusOr<T> At(uint64_t offset) const {
    MSB_ASSIGN_OR_RETURN(const absl::string_view bytes, Bytes(offset, sizeof(T)));
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }

  absl::StatusOr<absl::string_view> Bytes(uint64_t offset, uint64_t count) const {
    if (offset > file_.size() || count > file_.size() - offset) {
      return Wrong(absl::StrCat("beyond the file: ", count, " at ", offset));
    }
    return file_.substr(offset, count);
  }

  absl::Status ReadSuper() {
    MSB_ASSIGN_OR_RETURN(super_, At<erofs::SuperBlock>(erofs::kSuperOffset));
    if (super_.magic != erofs::kSuperMagic || super_.block_bits != erofs::kBlockBits) {
      return Wrong("no super block");
    }
    if (uint64_t{super_.blocks} * kBlockBytes != file_.size()) return Wrong("size of the file");
    std::string block(file_.substr(erofs::kSuperOffset, kBlockBytes - erofs::kSuperOffset));
    std::memset(&block[offsetof(erofs::SuperBlock, checksum)], 0, sizeof(uint32_t));
    if (Crc32c(block) != super_.checksum) return Wrong("checksum");
    return absl::OkStatus();
  }

  static absl::StatusOr<std::string> XattrName(uint8_t index, absl::string_view rest) {
    switch (index) {
      case erofs::kXattrUser:
        return absl::StrCat("user.", rest);
      case erofs::kXattrTrusted:
        return absl::StrCat("trusted.", rest);
      case erofs::kXattrSecurity:
        return absl::StrCat("security.", rest);
      case erofs::kXattrAclAccess:
        if (rest.empty()) return std::string("system.posix_acl_access");
        break;
      case erofs::kXattrAclDefault:
        if (rest.empty()) return std::string("system.posix_acl_default");
        break;
    }
    return Wrong("name of an attribute");
  }

  absl::Status ReadXattrs(uint64_t offset, uint16_t count, ReadInode& inode) const {
    uint64_t left = (uint64_t{count} - 1) * 4;
    offset += sizeof(erofs::XattrHeader);
    while (left > 0) {
      MSB_ASSIGN_OR_RETURN(const auto entry, At<erofs::XattrEntry>(offset));
      const uint64_t used = sizeof(entry) + entry.name_bytes + entry.value_bytes;
      const uint64_t aligned = (used + 3) / 4 * 4;
      if (aligned > left) return Wrong("an attribute beyond the others");
      MSB_ASSIGN_OR_RETURN(const absl::string_view text,
                           Bytes(offset + sizeof(entry), used - sizeof(entry)));
      MSB_ASSIGN_OR_RETURN(const std::string name,
                           XattrName(entry.name_index, text.substr(0, entry.name_bytes)));
      if (!inode.xattrs.emplace(name, text.substr(entry.name_bytes)).second) {
        return Wrong("an attribute comes twice");
      }
      offset += aligned;
      left -= aligned;
    }
    return absl::OkStatus();
  }

  absl::Status ReadChunks(uint64_t map, uint32_t format, ReadInode& inode) {
    const uint64_t chunk = uint64_t{kBlockBytes} << (format & erofs::kMaxChunkBits);
    inode.content.assign(std::min(inode.size, kMaxContent), '\0');
    for (uint64_t offset = 0; offset < inode.size; offset += chunk, map += sizeof(uint32_t)) {
      MSB_ASSIGN_OR_RETURN(const uint32_t block, At<uint32_t>(map));
      const uint64_t bytes = std::min(chunk, inode.size - offset);
      if (block == erofs::kHole) {
        inode.hole_bytes += bytes;
        continue;
      }
      MSB_ASSIGN_OR_RETURN(const absl::string_view data,
                           Bytes(uint64_t{block} * kBlockBytes, bytes));
      if (offset < inode.content.size()) {
        const size_t shown = std::min<uint64_t>(bytes, inode.content.size() - offset);
        std::copy_n(data.begin(), shown, inode.content.begin() + static_cast<ptrdiff_t>(offset));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadContent(uint64_t behind, uint32_t place, ReadInode& inode) {
    const uint64_t tail = inode.layout == Layout::kInline ? inode.size % kBlockBytes : 0;
    if (inode.layout == Layout::kInline && tail == 0) return Wrong("nothing inline");
    MSB_ASSIGN_OR_RETURN(
        const absl::string_view blocks,
        Bytes(inode.size == tail ? 0 : uint64_t{place} * kBlockBytes, inode.size - tail));
    if (tail > 0 && behind % kBlockBytes + tail > kBlockBytes) return Wrong("inline across blocks");
    MSB_ASSIGN_OR_RETURN(const absl::string_view rest, Bytes(tail > 0 ? behind : 0, tail));
    if (inode.size <= kMaxContent) inode.content = absl::StrCat(blocks, rest);
    return absl::OkStatus();
  }

  absl::StatusOr<ReadInode> ReadOne(uint64_t nid) {
    ReadInode inode;
    inode.nid = nid;
    const uint64_t offset = uint64_t{super_.meta_block} * kBlockBytes + nid * erofs::kSlotBytes;
    MSB_ASSIGN_OR_RETURN(const auto compact, At<erofs::CompactInode>(offset));
    inode.compact = (compact.format & 1) == erofs::kCompact;
    inode.layout = static_cast<Layout>(compact.format >> 1);
    inode.mode = compact.mode;
    uint64_t behind = offset + sizeof(compact);
    uint32_t place = compact.place;
    if (inode.compact) {
      inode.links = compact.links;
      inode.size = compact.size;
      inode.uid = compact.uid;
      inode.gid = compact.gid;
      inode.mtime = {static_cast<int64_t>(super_.build_time), super_.build_time_nsec};
    } else {
      MSB_ASSIGN_OR_RETURN(const auto extended, At<erofs::ExtendedInode>(offset));
      if (offset % kBlockBytes + sizeof(extended) > kBlockBytes)
        return Wrong("inode across blocks");
      behind = offset + sizeof(extended);
      inode.links = extended.links;
      inode.size = extended.size;
      inode.uid = extended.uid;
      inode.gid = extended.gid;
      inode.mtime = {static_cast<int64_t>(extended.mtime), extended.mtime_nsec};
      place = extended.place;
    }
    if (compact.xattr_count > 0) {
      MSB_RETURN_IF_ERROR(ReadXattrs(behind, compact.xattr_count, inode));
      behind += sizeof(erofs::XattrHeader) + (uint64_t{compact.xattr_count} - 1) * 4;
    }
    if (!S_ISREG(inode.mode) && !S_ISDIR(inode.mode) && !S_ISLNK(inode.mode)) {
      inode.device = place;
      return inode;
    }
    switch (inode.layout) {
      case Layout::kChunked:
        MSB_RETURN_IF_ERROR(ReadChunks(behind, place, inode));
        return inode;
      case Layout::kPlain:
      case Layout::kInline:
        MSB_RETURN_IF_ERROR(ReadContent(behind, place, inode));
        return inode;
    }
    return Wrong("layout");
  }

  static erofs::FileType TypeOf(uint16_t mode) {
    switch (mode & S_IFMT) {
      case S_IFDIR:
        return erofs::FileType::kDirectory;
      case S_IFCHR:
        return erofs::FileType::kCharDevice;
      case S_IFBLK:
        return erofs::FileType::kBlockDevice;
      case S_IFIFO:
        return erofs::FileType::kFifo;
      case S_IFSOCK:
        return erofs::FileType::kSocket;
      case S_IFLNK:
        return erofs::FileType::kSymlink;
      default:
        return erofs::FileType::kRegular;
    }
  }

  struct Entry {
    std::string name;
    uint64_t nid;
    erofs::FileType type;
  };

  static absl::StatusOr<std::vector<Entry>> Entries(absl::string_view content) {
    std::vector<Entry> entries;
    while (!content.empty()) {
      const absl::string_view block = content.substr(0, kBlockBytes);
      content.remove_prefix(block.size());
      std::vector<erofs::DirectoryEntry> raw(1);
      if (block.size() < sizeof(raw[0])) return Wrong("a directory's block");
      std::memcpy(raw.data(), block.data(), sizeof(raw[0]));
      const size_t count = raw[0].name_offset / sizeof(raw[0]);
      if (count == 0 || count * sizeof(raw[0]) > block.size()) return Wrong("a directory's block");
      raw.resize(count);
      std::memcpy(raw.data(), block.data(), count * sizeof(raw[0]));
      for (size_t i = 0; i < count; ++i) {
        const size_t begin = raw[i].name_offset;
        size_t end = i + 1 < count ? raw[i + 1].name_offset : block.size();
        if (begin >= end || end > block.size()) return Wrong("a name's place");
        if (i + 1 == count) end = begin + ::strnlen(block.data() + begin, end - begin);
        const std::string name(block.substr(begin, end - begin));
        if (name.empty() || name.size() > erofs::kMaxNameBytes ||
            name.find_first_of(absl::string_view("/\0", 2).data(), 0, 2) != std::string::npos) {
          return Wrong("a name");
        }
        if (!entries.empty() && entries.back().name >= name) return Wrong("the order of names");
        entries.push_back({name, raw[i].nid, static_cast<erofs::FileType>(raw[i].file_type)});
      }
    }
    return entries;
  }

  absl::Status ReadTree(const std::string& path, uint64_t nid, uint64_t parent, int depth) {
    MSB_ASSIGN_OR_RETURN(ReadInode inode, ReadOne(nid));
    if (!S_ISDIR(inode.mode)) {
      found_.emplace(path, std::move(inode));
      return absl::OkStatus();
    }
    if (depth > kMaxDepth || !directories_.insert(nid).second) return Wrong("a loop");
    MSB_ASSIGN_OR_RETURN(const std::vector<Entry> entries, Entries(inode.content));
    inode.content.clear();
    found_.emplace(path, std::move(inode));
    int dots = 0;
    for (const Entry& entry : entries) {
      if (entry.name == "." || entry.name == "..") {
        if (entry.nid != (entry.name == "." ? nid : parent)) return Wrong("'.' or '..'");
        ++dots;
        continue;
      }
      const std::string below = path.empty() ? entry.name : absl::StrCat(path, "/", entry.name);
      MSB_RETURN_IF_ERROR(ReadTree(below, entry.nid, nid, depth + 1));
      const uint16_t mode = found_.at(below).mode;
      if (TypeOf(mode) != entry.type) return Wrong("a type");
      if (S_ISDIR(mode)) ++subdirectories_[path];
    }
    return dots == 2 ? absl::OkStatus() : Wrong("no '.' or no '..'");
  }

  const absl::string_view file_;
  erofs::SuperBlock super_ = {};
  std::map<std::string, ReadInode> found_;
  std::map<std::string, uint32_t> subdirectories_;
  std::set<uint64_t> directories_;
};

}  // namespace

absl::StatusOr<std::map<std::string, ReadInode>> ReadErofs(absl::string_view file) {
  return Reader(file).Read();
}

}  // namespace msb::image
