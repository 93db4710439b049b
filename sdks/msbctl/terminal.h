// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The user's terminal.

#ifndef MSB_SDKS_MSBCTL_TERMINAL_H_
#define MSB_SDKS_MSBCTL_TERMINAL_H_

#include <termios.h>

#include <optional>

#include "msb/v1/exec.pb.h"

namespace msb {

// nullopt when `fd` is no terminal.
std::optional<msb::v1::TerminalSize> TerminalSizeOf(int fd);

// Raw mode of a terminal, for as long as the object lives.
class RawMode {
 public:
  explicit RawMode(int fd);
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  ~RawMode();

 private:
  int fd_;
  std::optional<termios> saved_;
};

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_TERMINAL_H_
