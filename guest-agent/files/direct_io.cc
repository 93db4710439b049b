// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/direct_io.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace msb {

size_t PieceBytes() {
  static const size_t bytes = [] {
    struct sysinfo info {};
    ::sysinfo(&info);
    const uint64_t part = uint64_t{info.totalram} * info.mem_unit / 256;
    return std::clamp<uint64_t>(std::bit_floor(part), kMinPieceBytes, kMaxPieceBytes);
  }();
  return bytes;
}

Piece NewPiece() {
  const size_t bytes = PieceBytes();
  Piece piece(static_cast<char*>(::operator new (bytes, std::align_val_t{bytes})));
  ::madvise(piece.get(), bytes, MADV_HUGEPAGE);  // small pages do as well
  return piece;
}

bool SetDirect(int fd, bool direct) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ((flags & O_DIRECT) != 0) == direct) return false;
  return ::fcntl(fd, F_SETFL, flags ^ O_DIRECT) == 0;
}

}  // namespace msb
