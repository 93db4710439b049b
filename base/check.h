// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// For conditions that only a bug of our own can break.

#ifndef MSB_BASE_CHECK_H_
#define MSB_BASE_CHECK_H_

namespace msb {

// Prints file, line and text to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* text);

}  // namespace msb

// Kept in release builds: a broken invariant in a process that faces hostile input must not go on.
#define MSB_CHECK(condition)                                              \
  do {                                                                    \
    if (!(condition)) ::msb::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#endif  // MSB_BASE_CHECK_H_
