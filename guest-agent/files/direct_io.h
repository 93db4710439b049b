// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What reading and writing past the page cache need.

#ifndef MSB_GUEST_AGENT_FILES_DIRECT_IO_H_
#define MSB_GUEST_AGENT_FILES_DIRECT_IO_H_

#include <cstddef>
#include <memory>

namespace msb {

// What is read or written at once.
inline constexpr size_t kPieceBytes = size_t{1} << 20;

// Memory that O_DIRECT takes.
struct FreePiece {
  void operator()(char* bytes) const;
};
using Piece = std::unique_ptr<char[], FreePiece>;
Piece NewPiece();

// False when nothing has changed: the file system cannot, or it is so already.
bool SetDirect(int fd, bool direct);

}  // namespace msb

#endif  // MSB_GUEST_AGENT_FILES_DIRECT_IO_H_
