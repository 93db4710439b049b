// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What reading and writing past the page cache need.

#ifndef MSB_GUEST_AGENT_FILES_DIRECT_IO_H_
#define MSB_GUEST_AGENT_FILES_DIRECT_IO_H_

#include <cstddef>
#include <memory>
#include <new>

namespace msb {

// Two huge pages: in those, the kernel describes a piece to the disk by some large segments in
// place of 1024 small ones, which is most of its work; and the threads that hand pieces to each
// other take turns less often.
inline constexpr size_t kMaxPieceBytes = size_t{4} << 20;
inline constexpr size_t kMinPieceBytes = size_t{256} << 10;

// What is read or written at once past the page cache: kMaxPieceBytes, less where it would be more
// than 1/256 of the machine's memory. A power of two.
size_t PieceBytes();

// Memory that O_DIRECT takes, on a huge page where the kernel has one.
struct FreePiece {
  void operator()(char* bytes) const { ::operator delete (bytes, std::align_val_t{PieceBytes()}); }
};
using Piece = std::unique_ptr<char[], FreePiece>;
Piece NewPiece();

// False when nothing has changed: the file system cannot, or it is so already.
bool SetDirect(int fd, bool direct);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_FILES_DIRECT_IO_H_
