// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The part of EROFS's on-disk format (fs/erofs/erofs_fs.h of Linux 6.1; Documentation/filesystems/
// erofs.rst, "On-disk details") that an uncompressed file system on one device needs. Values and
// layouts only; all fields are little-endian, as the processors are that this is built for.

#ifndef MSB_IMAGE_EROFS_FORMAT_H_
#define MSB_IMAGE_EROFS_FORMAT_H_

#include <bit>
#include <cstdint>

namespace msb::image::erofs {

static_assert(std::endian::native == std::endian::little);

inline constexpr uint32_t kBlockBits = 12;
inline constexpr uint32_t kBlockBytes = 1u << kBlockBits;
// An inode's number (nid) counts these from the beginning of the metadata area.
inline constexpr uint32_t kSlotBytes = 32;

inline constexpr uint32_t kSuperOffset = 1024;
inline constexpr uint32_t kSuperMagic = 0xe0f5e1e2;
inline constexpr uint32_t kCompatChecksum = 0x1;
inline constexpr uint32_t kCompatMtime = 0x2;
inline constexpr uint32_t kIncompatChunkedFile = 0x4;

struct SuperBlock {
  uint32_t magic;
  uint32_t checksum;  // CRC-32C (not inverted) of the rest of the block from here, this as 0
  uint32_t feature_compat;
  uint8_t block_bits;
  uint8_t ext_slots;
  uint16_t root_nid;
  uint64_t inodes;
  uint64_t build_time;  // of all compact inodes
  uint32_t build_time_nsec;
  uint32_t blocks;
  uint32_t meta_block;   // where nid 0 is
  uint32_t xattr_block;  // of shared attributes
  uint8_t uuid[16];
  uint8_t volume_name[16];
  uint32_t feature_incompat;
  uint16_t compression_algorithms;
  uint16_t extra_devices;
  uint16_t device_table_slot;
  uint8_t reserved[38];
};
static_assert(sizeof(SuperBlock) == 128);

// Bit 0 of an inode's format: the version; bits 1 to 3: the layout of its data.
inline constexpr uint16_t kCompact = 0;
inline constexpr uint16_t kExtended = 1;
enum class Layout : uint16_t {
  kPlain = 0,    // consecutive blocks
  kInline = 2,   // consecutive blocks, and the rest behind the inode, within one block with it
  kChunked = 4,  // chunks of one size, which a map behind the inode places or leaves out
};
constexpr uint16_t FormatOf(uint16_t version, Layout layout) {
  return static_cast<uint16_t>(version | (static_cast<uint16_t>(layout) << 1));
}

struct CompactInode {
  uint16_t format;
  uint16_t xattr_count;
  uint16_t mode;
  uint16_t links;
  uint32_t size;
  uint32_t reserved;
  uint32_t place;  // first block, device number, or chunk format
  uint32_t number;
  uint16_t uid;
  uint16_t gid;
  uint32_t reserved2;
};
static_assert(sizeof(CompactInode) == 32);

struct ExtendedInode {
  uint16_t format;
  uint16_t xattr_count;
  uint16_t mode;
  uint16_t reserved;
  uint64_t size;
  uint32_t place;
  uint32_t number;
  uint32_t uid;
  uint32_t gid;
  uint64_t mtime;
  uint32_t mtime_nsec;
  uint32_t links;
  uint8_t reserved2[16];
};
static_assert(sizeof(ExtendedInode) == 64);

// Behind an inode with attributes: 12 bytes, then entries of XattrEntry, name, value, each filled
// up to 4 bytes. An inode's xattr_count is 1 for the header and 1 for every 4 bytes.
struct XattrHeader {
  uint32_t reserved;
  uint8_t shared_count;
  uint8_t reserved2[7];
};
static_assert(sizeof(XattrHeader) == 12);

struct XattrEntry {
  uint8_t name_bytes;  // without the prefix that name_index stands for
  uint8_t name_index;
  uint16_t value_bytes;
};
static_assert(sizeof(XattrEntry) == 4);
inline constexpr uint32_t kMaxXattrCount = 0xffff;

enum XattrIndex : uint8_t {
  kXattrUser = 1,
  kXattrAclAccess = 2,
  kXattrAclDefault = 3,
  kXattrTrusted = 4,
  kXattrSecurity = 6,
};

// Chunk format: the chunk's size is a block's << its lowest bits. The map behind the inode and its
// attributes, on 4 bytes, has a block for each chunk, or kHole.
inline constexpr uint32_t kMaxChunkBits = 0x1f;
inline constexpr uint32_t kHole = 0xffffffff;

// Each block of a directory begins with its entries, sorted by name over the whole directory; the
// first one's name_offset tells how many there are. The names follow; the last one ends with the
// block, the directory or a NUL.
struct [[gnu::packed]] DirectoryEntry {
  uint64_t nid;
  uint16_t name_offset;
  uint8_t file_type;
  uint8_t reserved;
};
static_assert(sizeof(DirectoryEntry) == 12);
inline constexpr uint32_t kMaxNameBytes = 255;

// FT_* of the kernel.
enum class FileType : uint8_t {
  kRegular = 1,
  kDirectory = 2,
  kCharDevice = 3,
  kBlockDevice = 4,
  kFifo = 5,
  kSocket = 6,
  kSymlink = 7,
};

}  // namespace msb::image::erofs

#endif  // MSB_IMAGE_EROFS_FORMAT_H_
