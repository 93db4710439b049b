// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A tar's header block: POSIX 1003.1-2017, pax, "ustar Interchange Format", and what GNU tar
// (tar.h, "OLDGNU_FORMAT") and star put in its place.

#ifndef MSB_IMAGE_TAR_FORMAT_H_
#define MSB_IMAGE_TAR_FORMAT_H_

#include <cstddef>

namespace msb::image::tar {

inline constexpr size_t kBlockBytes = 512;

struct Header {
  char name[100];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char type;
  char link_name[100];
  char magic[6];
  char version[2];
  char user_name[32];
  char group_name[32];
  char dev_major[8];
  char dev_minor[8];
  char prefix[155];
  char padding[12];
};
static_assert(sizeof(Header) == kBlockBytes);

inline constexpr char kUstarMagic[] = "ustar";         // with its NUL, and version "00"
inline constexpr char kGnuMagicVersion[] = "ustar  ";  // both fields, with the NUL
inline constexpr size_t kStarTrailerOffset = 508;      // "tar\0", where star's prefix is shorter
inline constexpr size_t kStarPrefixBytes = 131;

// An extent of an old GNU sparse file: in the header, then in blocks of their own.
struct SparseEntry {
  char offset[12];
  char bytes[12];
};
inline constexpr size_t kSparseInHeaderOffset = 386;
inline constexpr size_t kSparseInHeader = 4;
inline constexpr size_t kSparseExtendedOffset = 482;  // not 0: a block of entries follows
inline constexpr size_t kSparseRealSizeOffset = 483;  // 12 bytes
inline constexpr size_t kSparseInBlock = 21;
inline constexpr size_t kSparseMoreOffset = 504;  // in such a block: not 0: another follows

enum Type : char {
  kFileOld = '\0',  // a directory when its name ends with '/'
  kFile = '0',
  kHardLink = '1',
  kSymlink = '2',
  kCharDevice = '3',
  kBlockDevice = '4',
  kDirectory = '5',
  kFifo = '6',
  kContiguousFile = '7',
  kPaxHeader = 'x',
  kPaxGlobalHeader = 'g',
  kGnuLongLink = 'K',
  kGnuLongName = 'L',
  kGnuSparse = 'S',
};

}  // namespace msb::image::tar

#endif  // MSB_IMAGE_TAR_FORMAT_H_
