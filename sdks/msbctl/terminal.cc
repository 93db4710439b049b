// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/terminal.h"

#include <sys/ioctl.h>

namespace msb {

std::optional<msb::v1::TerminalSize> TerminalSizeOf(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) return std::nullopt;
  msb::v1::TerminalSize result;
  result.set_rows(size.ws_row > 0 ? size.ws_row : 24);
  result.set_columns(size.ws_col > 0 ? size.ws_col : 80);
  return result;
}

RawMode::RawMode(int fd) : fd_(fd) {
  termios mode{};
  if (::tcgetattr(fd, &mode) != 0) return;
  saved_ = mode;
  ::cfmakeraw(&mode);
  ::tcsetattr(fd, TCSADRAIN, &mode);
}

RawMode::~RawMode() {
  if (saved_) ::tcsetattr(fd_, TCSADRAIN, &*saved_);
}

}  // namespace msb
