// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/direct_io.h"

#include <fcntl.h>
#include <sys/mman.h>

namespace msb {

Piece NewPiece() {
  Piece piece(static_cast<char*>(::operator new (kPieceBytes, std::align_val_t{kPieceBytes})));
  ::madvise(piece.get(), kPieceBytes, MADV_HUGEPAGE);  // small pages do as well
  return piece;
}

bool SetDirect(int fd, bool direct) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ((flags & O_DIRECT) != 0) == direct) return false;
  return ::fcntl(fd, F_SETFL, flags ^ O_DIRECT) == 0;
}

}  // namespace msb
