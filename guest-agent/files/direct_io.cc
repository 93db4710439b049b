// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/files/direct_io.h"

#include <fcntl.h>

#include <new>

namespace msb {
namespace {

// A multiple of every logical block size: O_DIRECT wants memory, offset and size aligned.
constexpr std::align_val_t kAlignment{4096};

}  // namespace

void FreePiece::operator()(char* bytes) const { ::operator delete(bytes, kAlignment); }

Piece NewPiece() { return Piece(static_cast<char*>(::operator new(kPieceBytes, kAlignment))); }

bool SetDirect(int fd, bool direct) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ((flags & O_DIRECT) != 0) == direct) return false;
  return ::fcntl(fd, F_SETFL, flags ^ O_DIRECT) == 0;
}

}  // namespace msb
